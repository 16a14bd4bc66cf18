"""Pictures of a phantom: its slices plain and with their truth, and a real series' between them if there is one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.phantom.study import PhantomStudy
from OrthoDiffusionLib.volumes.orientation import to_network_axes
from OrthoDiffusionLib.volumes.volume import Volume

OUTER = 0.15
"""Share of a stack at either end that is not shown; of the shorter one, where a real series is shown as well."""

SIDE = 2.4
"""Inches of a slice's picture."""

TITLE = 0.35
"""Inches over all pictures."""

RULER = 50.0
"""mm of the line that tells the scale."""


class _Stack(NamedTuple):
    """Slices on the network's axes, and the mm between voxels along each axis."""

    array: npt.NDArray[Any]
    spacing: npt.NDArray[np.float64]

    @classmethod
    def of(cls, volume: Volume, plane: Plane) -> _Stack:
        turned = to_network_axes(volume, plane)
        return cls(turned.array, np.linalg.norm(turned.affine[:3, :3], axis=0))

    @property
    def extent(self) -> npt.NDArray[np.float64]:
        """mm along each axis."""
        return self.spacing * self.array.shape

    def slice_at(self, offset: float) -> npt.NDArray[Any]:
        """The slice nearest to so many mm from the middle of the stack, as a picture's rows and columns."""
        depth = self.array.shape[2]
        k = round((depth - 1) / 2 + offset / self.spacing[2])
        return self.array[:, :, min(max(k, 0), depth - 1)].T


def montage(study: PhantomStudy, columns: int = 5, beside: Mapping[Plane, Volume] | None = None) -> Figure:
    """Slices of each plane through its middle, plain above and with the truth's colours below.

    A column's slices lie equally far, in mm, from the middle of their stacks, which is about where the joint is; the
    pictures of a plane have one scale.

    Args:
        study: to be drawn.
        columns: slices a plane.
        beside: a real volume for some planes, whose slices come as a row between the two.
    """
    structures = load_joint(study.joint).structures
    colours = ListedColormap([(0.0, 0.0, 0.0)] + [tuple(c / 255 for c in s.color) for s in structures])
    beside = beside or {}
    rows = sum(3 if plane in beside else 2 for plane in study.planes)
    height = SIDE * rows + TITLE
    figure = Figure(figsize=(SIDE * columns, height), facecolor="black")
    axes = figure.subplots(rows, columns, squeeze=False)
    row = 0
    for plane, series in study.planes.items():
        phantom = _Stack.of(series.volume, plane)
        truth = _Stack.of(Volume(series.labels, series.volume.affine), plane)
        shown = [(phantom, f"{plane.value} {series.contrast}")]
        if plane in beside:
            shown.append((_Stack.of(beside[plane], plane), f"{plane.value}, real"))
        shown.append((phantom, f"{plane.value}, truth"))
        extents = [stack.extent for stack, _ in shown]
        half_view = np.max(extents, axis=0)[:2].max() / 2
        reach = (0.5 - OUTER) * min(float(extent[2]) for extent in extents)
        offsets = np.linspace(-reach, reach, columns) if columns > 1 else np.zeros(1)
        for across, (stack, title) in zip(axes[row : row + len(shown)], shown, strict=True):
            for axis, offset in zip(across, offsets, strict=True):
                _draw(axis, stack, offset, half_view)
            _title(across[0], title)
        for axis, offset in zip(axes[row + len(shown) - 1], offsets, strict=True):
            coloured = np.ma.masked_equal(truth.slice_at(offset), 0)
            axis.imshow(
                coloured, cmap=colours, origin="lower", extent=_frame(truth), vmin=0, vmax=len(structures), alpha=0.55
            )
        for axis, offset in zip(axes[row], offsets, strict=True):
            axis.text(0.98, 0.02, f"{offset:+.0f} mm", color="white", fontsize=7, ha="right", transform=axis.transAxes)
        _ruler(axes[row, 0], half_view)
        row += len(shown)
    title = f"Phantom {study.seed}, {study.laterality} {study.joint}, {study.centre}: {_findings(study)}"
    figure.suptitle(title, color="white", fontsize=10, y=1 - 0.3 * TITLE / height, va="top")
    figure.tight_layout(pad=0.3, rect=(0, 0, 1, 1 - TITLE / height))
    return figure


def _findings(study: PhantomStudy) -> str:
    if not study.findings:
        return "findings unknown"
    return ", ".join(f"{key} {value:.1f}" for key, value in study.findings.items() if value) or "healthy"


def _frame(stack: _Stack) -> tuple[float, float, float, float]:
    """Left, right, lower and upper edge of a slice, mm from its middle."""
    width, height, _ = stack.extent / 2
    return -width, width, -height, height


def _draw(axis: Axes, stack: _Stack, offset: float, half_view: float) -> None:
    image = stack.slice_at(offset)
    brightest = max(float(np.percentile(image, 99.5)), 1e-6)
    axis.imshow(image, cmap="gray", origin="lower", extent=_frame(stack), vmin=0, vmax=brightest)
    axis.set(xlim=(-half_view, half_view), ylim=(-half_view, half_view), autoscale_on=False)
    axis.set_axis_off()


def _ruler(axis: Axes, half_view: float) -> None:
    left, low = -0.95 * half_view, -0.95 * half_view
    axis.plot((left, left + RULER), (low, low), color="white", linewidth=2, scalex=False, scaley=False)
    axis.text(left, low + 0.04 * half_view, f"{RULER:.0f} mm", color="white", fontsize=7)


def _title(axis: Axes, text: str) -> None:
    axis.set_title(text, color="white", fontsize=9, loc="left")
