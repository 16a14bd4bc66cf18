"""A dataset of a few tiny studies as a hospital would give it: NIfTI files and a manifest."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np

from OrthoDiffusionLib.anatomy import Plane

SHAPE = (24, 26, 18)
PATIENTS = ("ann", "ann", "ben", "cleo", "dora", "eve", "finn", "gus")


def affine_of(plane: Plane, spacing: tuple[float, float, float]) -> np.ndarray:
    """Of a volume around the origin, stored as dcm2niix stores this plane."""
    directions = {"R": (1, 0, 0), "L": (-1, 0, 0), "A": (0, 1, 0), "P": (0, -1, 0), "S": (0, 0, 1)}
    affine = np.eye(4)
    affine[:3, :3] = np.array([directions[code] for code in plane.network_axcodes], float).T * spacing
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(SHAPE) - 1) / 2)
    return affine


def write_dataset(folder: Path, planes: tuple[Plane, ...] = (Plane.AXIAL,)) -> Path:
    """Write studies with a bright ball, label 1, which is larger where the finding ACL is present; the manifest."""
    generator = np.random.default_rng(0)
    studies = []
    i, j, k = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    for number, patient in enumerate(PATIENTS):
        present = number % 2
        ball = (i - 12) ** 2 + (j - 13) ** 2 + (k - 9) ** 2 < (8 if present else 5) ** 2
        series = []
        for plane in planes:
            image = generator.normal(100, 10, ball.shape) + 300 * ball
            for name, array in (("image", image.astype(np.float32)), ("labels", ball.astype(np.int16))):
                nibabel.save(
                    nibabel.Nifti1Image(array, affine_of(plane, (5.0, 5.0, 5.5))),
                    folder / f"{number}-{plane.value}-{name}.nii.gz",
                )
            series.append(
                {
                    "plane": plane.value,
                    "image": f"{number}-{plane.value}-image.nii.gz",
                    "labels": f"{number}-{plane.value}-labels.nii.gz",
                }
            )
        studies.append(
            {
                "id": f"study-{number}",
                "patient": patient,
                "series": series,
                "findings": {"ACL": present, "MM": None},
                "clinical": {"age": 20 + number, "sex": number % 2},
            }
        )
    path = folder / "dataset.json"
    path.write_text(json.dumps({"studies": studies}), encoding="utf-8")
    return path
