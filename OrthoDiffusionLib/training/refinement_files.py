"""Studies prepared for a refinement, in files: images in detail, what was found in them, and the truth.

A slice takes 1 MB at windows of 128 pixels, a study of three series some 90 MB.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from safetensors import SafetensorError, safe_open

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.bundles.weights import weights_bytes
from OrthoDiffusionLib.datasets.whole_files import write_whole
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.networks.refinement import with_neighbours
from OrthoDiffusionLib.training.losses import NOT_ANNOTATED


class DetailedPlane(NamedTuple):
    """All slices of one plane.

    Attributes:
        images: as `detail_images` makes them, (k, 2 size, 2 size).
        own: class probabilities by the plane's own networks, (k, classes, size, size).
        mean: those of the planes that show the joint alike.
        labels: int8, (k, 2 size, 2 size), -1 for not annotated.
        affine: float64, (4, 4), index (i, j, k) of the probabilities' grid to RAS in mm.
        views: bool, (planes,), which those planes are, in the order of `Plane`.
    """

    images: torch.Tensor
    own: torch.Tensor
    mean: torch.Tensor
    labels: torch.Tensor
    affine: torch.Tensor
    views: torch.Tensor


class RefinementSlices(NamedTuple):
    """Slices as a refinement sees them, each between its neighbours, and the truth about them.

    Attributes:
        images: (slices, 3, 2 size, 2 size).
        own: (slices, classes, size, size).
        mean: (slices, 3, classes, size, size).
        labels: int8, (slices, 2 size, 2 size), -1 for not annotated.
    """

    images: torch.Tensor
    own: torch.Tensor
    mean: torch.Tensor
    labels: torch.Tensor


@dataclass(frozen=True)
class KeptStudy:
    """A study that lies in a file.

    Attributes:
        path: of the file.
        patient: whose it is.
        slices: of each plane with masks, the numbers of those that show a structure, or in which its networks see one.
        first_pass: file of the mean of what a first pass found in all planes; None before there was one.
    """

    path: Path
    patient: str
    slices: Mapping[Plane, tuple[int, ...]]
    first_pass: Path | None = None

    def read(self, plane: Plane, number: int, kind: Literal["own", "mean", "first_pass"] = "mean") -> RefinementSlices:
        """One slice, float32.

        Args:
            plane: of the slice.
            number: of the slice.
            kind: what stands for the mean of all planes.

        Raises:
            OrthoDiffusionError: UNREADABLE_FILE, when a file is gone or broken since it was written.
        """
        with _opened(self.path) as file:
            depth = file.get_slice(f"{plane.value}/labels").get_shape()[0]
            low, high = max(number - 1, 0), min(number + 2, depth)
            images, own, labels = (
                file.get_slice(f"{plane.value}/{name}")[first:last]
                for name, first, last in (
                    ("images", low, high), ("own", number, number + 1), ("labels", number, number + 1)
                )
            )  # fmt: skip
            if kind != "first_pass":
                mean = file.get_slice(f"{plane.value}/{kind}")[low:high]
        if kind == "first_pass":
            assert self.first_pass is not None
            with _opened(self.first_pass) as file:
                mean = file.get_slice(plane.value)[low:high]
        place = number - low
        return RefinementSlices(
            with_neighbours(images.float(), place, place + 1),
            own.float(),
            with_neighbours(mean.float(), place, place + 1),
            labels,
        )

    def planes(self) -> dict[Plane, DetailedPlane]:
        """All planes with all their slices; float32.

        Raises:
            OrthoDiffusionError: UNREADABLE_FILE.
        """
        with _opened(self.path) as file:
            return {
                plane: DetailedPlane(
                    *(_full(file.get_tensor(f"{plane.value}/{name}")) for name in DetailedPlane._fields)
                )
                for plane in Plane
                if f"{plane.value}/own" in file.keys()  # noqa: SIM118, the file is no mapping
            }


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (OSError, SafetensorError) as error:
        raise unreadable(path, str(error)) from error


def _full(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float() if tensor.dtype is torch.float16 else tensor


def write_study(path: Path, planes: Mapping[Plane, DetailedPlane]) -> None:
    """Write what a study's planes hold; probabilities and images at half precision."""
    tensors = {
        f"{plane.value}/{name}": tensor.half() if tensor.dtype is torch.float32 else tensor
        for plane, one in planes.items()
        for name, tensor in {**one._asdict(), "worth_learning": _worth_learning(one)}.items()
    }
    write_whole(path, weights_bytes(tensors))


def kept_study(path: Path, patient: str) -> KeptStudy | None:
    """What a file holds; None for one that is not there or broken."""
    try:
        with safe_open(path, framework="pt") as file:
            there = set(file.keys())
            worth_learning = {
                plane: tuple(file.get_tensor(f"{plane.value}/worth_learning").tolist())
                for plane in Plane
                if f"{plane.value}/worth_learning" in there
            }
    except (OSError, SafetensorError):
        return None
    return KeptStudy(path, patient, {plane: numbers for plane, numbers in worth_learning.items() if numbers})


def unreadable(path: Path, detail: str = "") -> OrthoDiffusionError:
    """What to raise for a file that is gone or broken since it was written."""
    return OrthoDiffusionError(
        ErrorKind.UNREADABLE_FILE,
        "A study that was prepared cannot be read again.",
        "Check that the folder of prepared studies is still there, and start the same command again.",
        detail=f"{path} {detail}",
    )


def _worth_learning(plane: DetailedPlane) -> torch.Tensor:
    """Numbers of the slices with masks that show a structure, or in which the networks see one."""
    annotated = (plane.labels != NOT_ANNOTATED).flatten(1).any(dim=1)
    worth_learning = (plane.labels > 0).flatten(1).any(dim=1) | (plane.mean[:, 0] < 0.5).flatten(1).any(dim=1)
    return torch.nonzero(annotated & worth_learning).flatten()
