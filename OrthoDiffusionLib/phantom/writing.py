"""A phantom study on disk: series and truth as NIfTI, findings as JSON."""

from __future__ import annotations

import json
from pathlib import Path

from OrthoDiffusionLib.phantom.study import PhantomStudy
from OrthoDiffusionLib.volumes.writing import write_labels, write_volume


def write_study(study: PhantomStudy, folder: Path) -> None:
    """Write `study/<plane>.nii.gz` as dcm2niix stores them, and `truth/` with labels on the same grids and findings."""
    images, truth = folder / "study", folder / "truth"
    images.mkdir(parents=True, exist_ok=True)
    truth.mkdir(parents=True, exist_ok=True)
    for plane, series in study.planes.items():
        write_volume(images / f"{plane.value}.nii.gz", series.volume)
        write_labels(truth / f"{plane.value}.nii.gz", series.labels, series.volume.affine)
    content = {
        "joint": study.joint,
        "seed": study.seed,
        "centre": study.centre,
        "laterality": study.laterality,
        "findings": dict(study.findings),
        "contrasts": {plane.value: series.contrast for plane, series in study.planes.items()},
    }
    (truth / "truth.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
