"""The bundled study in Slicer's module Sample Data."""

from __future__ import annotations

import hashlib
import logging

from slicer.i18n import tr as _

from OrthoDiffusionSlicer.environment import find_installation


def register_sample_data(module_file: str) -> None:
    """Offer the bundled study; without it, Slicer starts all the same.

    Args:
        module_file: path of the scripted module, beside which the installation is looked for.
    """
    import SampleData

    try:
        study = find_installation(module_file).sample_study()
        checksums = [f"SHA256:{hashlib.sha256(path.read_bytes()).hexdigest()}" for path in study.values()]
    except OSError as error:
        logging.warning(f"OrthoDiffusion: no sample study ({error})")
        return
    SampleData.SampleDataLogic.registerCustomSampleDataCategory("OrthoDiffusion", title=_("OrthoDiffusion"))
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="OrthoDiffusion",
        sampleName="KneePhantom",
        uris=[path.as_uri() for path in study.values()],
        fileNames=[f"KneePhantom-{path.name}" for path in study.values()],
        nodeNames=[f"KneePhantom {plane}" for plane in study],
        checksums=checksums,
    )
