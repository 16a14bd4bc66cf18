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
import torch

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.datasets.cache import RANDOM_SCAN
from OrthoDiffusionLib.datasets.stacks import nearest_labels
from OrthoDiffusionLib.phantom import PhantomSeries, make_anatomy, scan_anatomy
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
    """One study.

    Attributes:
        planes: as a centre scanned them.
        random: the same joint scanned again with a contrast of chance; for segmentation alone.
        present: which findings are there: float32, (findings,), 0 or 1.
    """

    planes: Mapping[Plane, PlaneStack]
    random: Mapping[Plane, PlaneStack]
    present: npt.NDArray[np.float32]


def load_studies(folder: Path, seeds: Sequence[int], size: int, processes: int) -> list[StudyStacks]:
    """Studies of these seeds, in order; those that the folder lacks are made first."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [seed for seed in seeds if not _file(folder, seed, size).exists()]
    with ProcessPoolExecutor(processes, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for _ in pool.map(partial(_make, folder=folder, size=size), missing, chunksize=4):
            continue
    return [_read(_file(folder, seed, size)) for seed in seeds]


def _file(folder: Path, seed: int, size: int) -> Path:
    return folder / f"phantom-{size}-{seed:06d}.npz"


def _make(seed: int, folder: Path, size: int) -> None:
    anatomy = make_anatomy(seed)
    findings = load_joint("knee").findings
    arrays: dict[str, npt.NDArray[Any]] = {
        "present": np.array([anatomy.findings[finding.key] > 0 for finding in findings], np.float32)
    }
    scans = {
        "scan": scan_anatomy(anatomy, seed),
        "random": scan_anatomy(anatomy, seed + RANDOM_SCAN, contrast="random"),
    }
    for name, study in scans.items():
        for plane, series in study.planes.items():
            arrays[f"{plane.value}_{name}"], arrays[f"{plane.value}_{name}_labels"] = _stack(series, plane, size)
    target = _file(folder, seed, size)
    unfinished = target.with_suffix(f".{os.getpid()}.part.npz")
    np.savez_compressed(unfinished, **arrays)  # type: ignore[arg-type]
    unfinished.replace(target)


def _stack(series: PhantomSeries, plane: Plane, size: int) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.int8]]:
    image = to_network_axes(series.volume, plane).array
    labels = to_network_axes(Volume(series.labels, series.volume.affine), plane).array
    return resize_slices(image, size).astype(np.float16), nearest_labels(labels, size)


def _read(path: Path) -> StudyStacks:
    with np.load(path) as arrays:
        scans = [
            {
                plane: PlaneStack(arrays[f"{plane.value}_{name}"], arrays[f"{plane.value}_{name}_labels"])
                for plane in Plane
            }
            for name in ("scan", "random")
        ]
        return StudyStacks(scans[0], scans[1], arrays["present"])
