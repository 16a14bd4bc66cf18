"""A phantom study on disk: series and truth as NIfTI, findings as JSON."""

from __future__ import annotations

import json
from pathlib import Path

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.phantom.study import PhantomStudy
from OrthoDiffusionLib.volumes.writing import write_labels, write_volume


def series_files(plane: Plane) -> tuple[str, str]:
    """Image and label map of a plane, relative to the study's folder."""
    return f"study/{plane.value}.nii.gz", f"truth/{plane.value}.nii.gz"


def write_study(study: PhantomStudy, folder: Path) -> None:
    """Write `study/<plane>.nii.gz` as dcm2niix stores them, and `truth/` with labels on the same grids and findings."""
    truth = folder / "truth"
    for plane, series in study.planes.items():
        image, labels = (folder / name for name in series_files(plane))
        for path in (image, labels):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_volume(image, series.volume)
        write_labels(labels, series.labels, series.volume.affine)
    content: dict[str, object] = {
        "joint": study.joint,
        "seed": study.seed,
        "centre": study.centre,
        "laterality": study.laterality,
        "findings": dict(study.findings),
        "contrasts": {plane.value: series.contrast for plane, series in study.planes.items()},
    }
    if study.sex is not None:
        content["sex"] = study.sex
    if study.label_map is not None:
        content["label_map"] = study.label_map
    (truth / "truth.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
