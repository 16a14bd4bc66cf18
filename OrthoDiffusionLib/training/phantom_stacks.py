"""Phantom studies as the trainer takes them: stacks at the network's resolution, made once and kept on disk."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.phantom import make_study
from OrthoDiffusionLib.volumes.orientation import to_network_axes
from OrthoDiffusionLib.volumes.volume import Volume
from OrthoDiffusionLib.volumes.windows import resize_slices


@dataclass(frozen=True)
class PlaneStack:
    """One plane of one study.

    Attributes:
        image: float16, (k, size, size), intensities as scanned.
        labels: int8, the same shape.
    """

    image: npt.NDArray[np.float16]
    labels: npt.NDArray[np.int8]


@dataclass(frozen=True)
class StudyStacks:
    """The planes of one study, and which findings are present: float32, (findings,), 0 or 1."""

    planes: Mapping[Plane, PlaneStack]
    present: npt.NDArray[np.float32]


def load_studies(folder: Path, seeds: Sequence[int], size: int, processes: int) -> list[StudyStacks]:
    """Studies of these seeds, in order; those that the folder lacks are made first."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [seed for seed in seeds if not _file(folder, seed, size).exists()]
    with ProcessPoolExecutor(processes) as pool:
        for _ in pool.map(partial(_make, folder=folder, size=size), missing, chunksize=4):
            continue
    return [_read(_file(folder, seed, size)) for seed in seeds]


def _file(folder: Path, seed: int, size: int) -> Path:
    return folder / f"phantom-{size}-{seed:06d}.npz"


def _make(seed: int, folder: Path, size: int) -> None:
    study = make_study(seed)
    findings = load_joint("knee").findings
    arrays: dict[str, npt.NDArray[Any]] = {
        "present": np.array([study.findings[finding.key] > 0 for finding in findings], np.float32)
    }
    for plane, series in study.planes.items():
        image = to_network_axes(series.volume, plane).array
        labels = to_network_axes(Volume(series.labels, series.volume.affine), plane).array
        arrays[f"{plane.value}_image"] = resize_slices(image, size).astype(np.float16)
        arrays[f"{plane.value}_labels"] = nearest_labels(labels, size)
    target = _file(folder, seed, size)
    unfinished = target.with_suffix(f".{os.getpid()}.part.npz")
    np.savez_compressed(unfinished, **arrays)  # type: ignore[arg-type]
    unfinished.replace(target)


def nearest_labels(labels: npt.NDArray[np.int16], size: int) -> npt.NDArray[np.int8]:
    """Labels (i, j, k) at the centres of size x size network pixels, slices first: (k, size, size)."""
    rows, columns = (
        np.rint((np.arange(size) + 0.5) * n / size - 0.5).clip(0, n - 1).astype(int) for n in labels.shape[:2]
    )
    return np.moveaxis(labels[rows][:, columns], 2, 0).astype(np.int8)


def _read(path: Path) -> StudyStacks:
    with np.load(path) as arrays:
        planes = {plane: PlaneStack(arrays[f"{plane.value}_image"], arrays[f"{plane.value}_labels"]) for plane in Plane}
        return StudyStacks(planes, arrays["present"])
