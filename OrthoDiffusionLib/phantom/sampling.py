"""The signal between the grid's points: trilinear, worked out as torch's fast interpolation in planes.

The canvas is cut into layers across the axis nearest to the slices' normal, and the layers are laid end to end as the
rows of one tall picture: a point between two layers is then two bilinear look-ups, a layer apart. torch's bilinear
interpolation of pictures is several times as fast as its trilinear one of volumes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from OrthoDiffusionLib.phantom.canvas import SPACING
from OrthoDiffusionLib.phantom.tissue_grid import TissueGrid
from OrthoDiffusionLib.phantom.tissues import Tissue
from OrthoDiffusionLib.phantom.upsampling import extent

Image = npt.NDArray[np.float32]
Index = npt.NDArray[np.float64]


class Body(NamedTuple):
    """The signals of an anatomy as a scanner's stack meets them.

    Attributes:
        signals: (channels, layers, rows, columns) of the canvas' points; the border's values hold beyond it.
        to_point: stack's voxel index to layer, row and column, (3, 4).
        ends: lowest and highest layer, row and column beyond which there is air; infinite where the body goes on.
        air: signal of air, (channels,).
    """

    signals: torch.Tensor
    to_point: npt.NDArray[np.float64]
    ends: npt.NDArray[np.float64]
    air: Image

    @classmethod
    def of(cls, canvas: TissueGrid, tables: npt.NDArray[np.float32], index_to_joint: npt.NDArray[np.float64]) -> Body:
        """An anatomy's signals.

        Args:
            canvas: of the anatomy.
            tables: signal of each tissue, (channels, tissues).
            index_to_joint: stack's voxel index to the joint frame, mm.
        """
        layers = int(np.argmax(np.abs(index_to_joint[:3, 2])))
        axes = [layers, *(axis for axis in range(3) if axis != layers)]
        # Two layers of air: the inner one shares its voxels with tissue, and what the outer one is holds beyond. Two
        # points each way are the least to look up.
        box = extent(canvas.tissue != Tissue.AIR, beyond=2) or (slice(0, 2),) * 3
        tissue = np.ascontiguousarray(canvas.tissue[box].transpose(axes))
        # At the border of a part of a grid there is air that shares with tissue beyond the part, and this box may end
        # before it. No scanner looks at a part's border.
        shared = canvas.shared.within(box)
        within = tuple(shared.place[axis].astype(np.intp) - box[axis].start for axis in axes)
        signals = np.empty((len(tables), *tissue.shape), np.float32)
        for table, channel in zip(tables, signals, strict=True):
            for layer, values in zip(tissue, channel, strict=True):
                # `clip` spares a copy; every tissue is in the table.
                np.take(table, layer, out=values, mode="clip")
            channel[within] = shared.mixed(table)
        to_point = index_to_joint[:3].copy()
        to_point[:, 3] -= canvas.low + SPACING * np.array([piece.start for piece in box])
        faces = [[tissue.take(0, axis), tissue.take(-1, axis)] for axis in range(3)]
        ends = [
            [-np.inf if low.any() else 0, np.inf if high.any() else count - 1]
            for (low, high), count in zip(faces, tissue.shape, strict=True)
        ]
        return cls(torch.from_numpy(signals), to_point[axes] / SPACING, np.array(ends), tables[:, Tissue.AIR])

    def mean_of_planes(self, shape: tuple[int, int], first: int, slices: Index) -> Image:
        """Mean signal over planes parallel to the stack's slices.

        Args:
            shape: points along i and j.
            first: index i of the first point; j begins at 0.
            slices: index k of each plane.

        Returns:
            (channels, i, j).
        """
        image = np.empty((len(self.air), *shape), np.float32)
        image[...] = self.air[:, None, None]
        i, j = np.arange(first, first + shape[0], dtype=float), np.arange(shape[1], dtype=float)
        within_i, within_j = self._reach(i, j, slices)
        i, j = i[within_i], j[within_j]
        if len(i) and len(j):
            image[:, within_i, within_j] = self._sampled(i, j, slices).mean(axis=1)
        return image

    def _reach(self, i: Index, j: Index, slices: Index) -> tuple[slice, slice]:
        """The points along i and j that may lie in the body: some half of a field of view is air."""
        near_i, near_j = np.ones(len(i), bool), np.ones(len(j), bool)
        for a, (low, high) in zip(self.to_point, self.ends, strict=True):
            through = a[2] * slices + a[3]
            for near, along, others in ((near_i, a[0] * i, a[1] * j), (near_j, a[1] * j, a[0] * i)):
                near &= along + through.max() + others.max() > low
                near &= along + through.min() + others.min() < high
        return _span(near_i), _span(near_j)

    def _sampled(self, i: Index, j: Index, slices: Index) -> Image:
        """Signal at the points, (channels, planes, i, j)."""
        layers, rows, columns = self.signals.shape[1:]
        layer, row, column = (
            (a[2] * slices[:, None] + a[3] + a[0] * i).astype(np.float32)[:, :, None] + (a[1] * j).astype(np.float32)
            for a in self.to_point
        )
        np.clip(layer, 0, layers - 1, out=layer)
        lower = np.minimum(np.floor(layer), np.float32(layers - 2))
        layer -= lower
        base, last = int(lower.min()), int(lower.max())
        tall = (last - base + 1) * rows
        np.clip(row, 0, rows - 1, out=row)
        lower -= np.float32(base)
        lower *= np.float32(rows)
        row += lower
        # grid_sample calls the picture's first point -1 and its last one 1.
        grid = np.stack([column * np.float32(2 / (columns - 1)) - 1, row * np.float32(2 / (tall - 1)) - 1], axis=-1)
        flat = torch.from_numpy(grid).reshape(1, -1, len(j), 2)
        near, far = (
            functional.grid_sample(
                self.signals[:, begin : begin + last - base + 1].flatten(1, 2)[None],
                flat,
                mode="bilinear",
                padding_mode="border",
                align_corners=True,
            )[0].numpy()
            for begin in (base, base + 1)
        )
        far -= near
        far *= layer.reshape(1, -1, len(j))
        near += far
        return near.reshape(len(near), len(slices), len(i), len(j))


def _span(mask: npt.NDArray[np.bool_]) -> slice:
    """From the first to the last true one."""
    there = np.flatnonzero(mask)
    return slice(int(there[0]), int(there[-1]) + 1) if len(there) else slice(0, 0)
