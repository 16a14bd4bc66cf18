"""A joint's anatomy on disk, for scans that are drawn when a training asks for them.

The canvas of a knee takes 150 MB with what its tissues share, and its file 3. Along a line of the grid tissues change
every 50 points, so that runs of them are written, which unroll four times as fast as deflate gives back the points.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from OrthoDiffusionLib.phantom.canvas import SPACING
from OrthoDiffusionLib.phantom.partial_volume import SharedPoints
from OrthoDiffusionLib.phantom.study import Anatomy
from OrthoDiffusionLib.phantom.tissue_grid import GridPart

Bytes = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.uint32]
Vector = npt.NDArray[np.float64]

BESIDE = 2
"""Points of the grid that are kept round what a scanner reaches: it looks up the nearest ones."""


class Runs(NamedTuple):
    """An array as runs of equal values, in C order."""

    values: Bytes
    lengths: Counts

    @classmethod
    def of(cls, array: Bytes) -> Runs:
        """The runs of an array, which is not empty."""
        flat = array.ravel()
        starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
        return cls(flat[starts], np.diff(starts, append=flat.size).astype(np.uint32))

    def unrolled(self, shape: tuple[int, ...]) -> Bytes:
        """The array."""
        return np.repeat(self.values, self.lengths).reshape(shape)


@dataclass(frozen=True)
class KeptAnatomy:
    """An anatomy as it is kept.

    Attributes:
        joint: whose vocabulary the labels are of.
        laterality: `right` or `left`.
        low: position of the grid's first point in the joint frame, mm.
        shape: of the grid.
        tissue: of its points.
        labels: of its points.
        steps: from each point that several tissues share to the next one, in C order.
        others: as `SharedPoints` has them.
        share: for each of the others, which of the levels it has, uint8, (2, points).
        levels: float32, the shares that there are.
    """

    joint: str
    laterality: str
    low: Vector
    shape: tuple[int, int, int]
    tissue: Runs
    labels: Runs
    steps: Counts
    others: Bytes
    share: Bytes
    levels: npt.NDArray[np.float32]

    def between(self, low: Vector, high: Vector) -> GridPart:
        """What a scanner sees that reaches from one corner of the joint frame to another, mm: all that it would see of
        the whole canvas.

        Beyond the canvas its border holds, which then is the part's.
        """
        first = np.clip(np.floor((low - self.low) / SPACING).astype(int) - BESIDE, 0, np.array(self.shape) - 2)
        end = np.clip(np.ceil((high - self.low) / SPACING).astype(int) + BESIDE + 1, first + 2, self.shape)
        box = (slice(first[0], end[0]), slice(first[1], end[1]), slice(first[2], end[2]))
        tissue, labels = (np.ascontiguousarray(runs.unrolled(self.shape)[box]) for runs in (self.tissue, self.labels))
        return GridPart(self.low + SPACING * first, tissue, labels, self._shared(first, tissue))

    def _shared(self, first: npt.NDArray[np.int_], tissue: Bytes) -> SharedPoints:
        # numpy's `unravel_index` knows 64 bits alone: 0.14 s for a knee's 1.8 million points, and all of this 0.07.
        rest = np.cumsum(self.steps, dtype=np.int32)
        inside = np.ones(len(rest), bool)
        place = np.empty((3, len(rest)), np.int16)
        for axis, (begin, count) in enumerate(zip(first, tissue.shape, strict=True)):
            stride = np.int32(np.prod(self.shape[axis + 1 :]))
            index = rest // stride
            rest -= index * stride
            index -= np.int32(begin)
            inside &= (index >= 0) & (index < count)
            place[axis] = index
        there = np.flatnonzero(inside)
        place = place.take(there, axis=1)
        others, share = (of_each.take(there, axis=1) for of_each in (self.others, self.share))
        return SharedPoints(place, tissue[tuple(place)], others, self.levels[share])


def packed(anatomy: Anatomy) -> bytes:
    """The content of the file that `read_anatomy` reads."""
    canvas = anatomy.canvas
    shared = canvas.shared
    index = np.ravel_multi_index(tuple(shared.place.astype(np.intp)), canvas.tissue.shape)
    # Of 0.6 mm in steps of 1/128 mm there are 40 shares.
    levels, share = np.unique(shared.shares, return_inverse=True)
    tissue, labels = Runs.of(canvas.tissue), Runs.of(canvas.labels)
    content = io.BytesIO()
    np.savez_compressed(
        content,
        joint=np.array(anatomy.joint),
        laterality=np.array(anatomy.laterality),
        low=canvas.low,
        shape=np.array(canvas.tissue.shape),
        tissue=tissue.values,
        tissue_lengths=tissue.lengths,
        labels=labels.values,
        labels_lengths=labels.lengths,
        steps=np.diff(index, prepend=0).astype(np.uint32),
        others=shared.others,
        share=share.reshape(shared.shares.shape).astype(np.uint8),
        levels=levels,
    )
    return content.getvalue()


def read_anatomy(path: Path) -> KeptAnatomy:
    """An anatomy from its file.

    Raises:
        OSError, ValueError, KeyError, zipfile.BadZipFile: for a file that is not there, or not what `packed` made.
    """
    with np.load(path, allow_pickle=False) as file:
        x, y, z = (int(n) for n in file["shape"])
        return KeptAnatomy(
            str(file["joint"]),
            str(file["laterality"]),
            file["low"],
            (x, y, z),
            Runs(file["tissue"], file["tissue_lengths"]),
            Runs(file["labels"], file["labels_lengths"]),
            file["steps"],
            file["others"],
            file["share"],
            file["levels"],
        )
