"""How a result came about: code, bundle, device, libraries and times."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import version

from OrthoDiffusionLib import __version__
from OrthoDiffusionLib.inference.model import LoadedModel
from OrthoDiffusionLib.inference.result import BundleRecord, Provenance

LIBRARIES = ("torch", "numpy", "scipy", "SimpleITK", "nibabel", "pydicom", "safetensors")
"""The libraries whose version can change a number in the result."""


def provenance(model: LoadedModel, seed: int, started: str, seconds: dict[str, float]) -> Provenance:
    """The provenance of a run with this model.

    Args:
        model: what ran.
        seed: of the noise.
        started: UTC, ISO 8601.
        seconds: what each stage took.
    """
    manifest = model.bundle.manifest
    return Provenance(
        code_version=__version__,
        bundle=BundleRecord(
            name=manifest.name,
            version=manifest.version,
            title=manifest.title,
            intended_use=manifest.intended_use,
            manifest_sha256=model.bundle.manifest_sha256,
        ),
        device=str(model.device),
        precision="float32",
        seed=seed,
        python=platform.python_version(),
        libraries={name: version(name) for name in LIBRARIES},
        started=started,
        seconds=seconds,
        peak_memory_mb=peak_memory_mb(),
    )


def peak_memory_mb() -> float | None:
    """The largest resident size that this process has had, in MB; None where the system does not tell."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Kilobytes on Linux, bytes on macOS.
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3), 1)
