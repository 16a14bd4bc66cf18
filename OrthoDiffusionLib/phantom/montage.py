"""Pictures of a phantom: its slices plain and with their truth, and a real series' beside them if there is one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
"""Share of a stack at either end that is not shown."""


def montage(study: PhantomStudy, columns: int = 5, beside: Mapping[Plane, Volume] | None = None) -> Figure:
    """Slices of each plane through its middle, plain above and with the truth's colours below.

    Args:
        study: to be drawn.
        columns: slices a plane.
        beside: a real volume for some planes, whose slices come as a third row.
    """
    structures = load_joint(study.joint).structures
    colours = ListedColormap([(0.0, 0.0, 0.0)] + [tuple(c / 255 for c in s.color) for s in structures])
    beside = beside or {}
    rows = 2 * len(study.planes) + len(beside)
    figure = Figure(figsize=(2.4 * columns, 2.4 * rows), facecolor="black")
    axes = figure.subplots(rows, columns, squeeze=False)
    row = 0
    for plane, series in study.planes.items():
        image = to_network_axes(series.volume, plane)
        truth = to_network_axes(Volume(series.labels, series.volume.affine), plane)
        _draw(axes[row], image.array, image.affine)
        _draw(axes[row + 1], image.array, image.affine)
        for axis, k in zip(axes[row + 1], _slices(truth.array.shape[2], columns), strict=True):
            shown = np.ma.masked_equal(truth.array[:, :, k].T, 0)
            axis.imshow(
                shown,
                cmap=colours,
                origin="lower",
                aspect=_aspect(image.affine),
                vmin=0,
                vmax=len(structures),
                alpha=0.55,
            )
        _title(axes[row, 0], f"{plane.value} {series.contrast}")
        row += 2
        if plane in beside:
            real = to_network_axes(beside[plane], plane)
            _draw(axes[row], real.array, real.affine)
            _title(axes[row, 0], f"{plane.value}, real")
            row += 1
    title = f"Phantom {study.seed}, {study.laterality} {study.joint}, {study.centre}: {_findings(study)}"
    figure.suptitle(title, color="white", fontsize=10)
    figure.tight_layout(pad=0.3)
    return figure


def _findings(study: PhantomStudy) -> str:
    if not study.findings:
        return "findings unknown"
    return ", ".join(f"{key} {value:.1f}" for key, value in study.findings.items() if value) or "healthy"


def _slices(depth: int, columns: int) -> npt.NDArray[np.int_]:
    return np.linspace(OUTER * (depth - 1), (1 - OUTER) * (depth - 1), columns).round().astype(int)


def _aspect(affine: npt.NDArray[np.float64]) -> float:
    along_i, along_j = np.linalg.norm(affine[:3, :2], axis=0)
    return float(along_j / along_i)


def _draw(axes: npt.NDArray[Any], stack: npt.NDArray[Any], affine: npt.NDArray[np.float64]) -> None:
    for axis, k in zip(axes, _slices(stack.shape[2], len(axes)), strict=True):
        image = stack[:, :, k].T
        brightest = max(float(np.percentile(image, 99.5)), 1e-6)
        axis.imshow(image, cmap="gray", origin="lower", aspect=_aspect(affine), vmin=0, vmax=brightest)
        axis.set_axis_off()


def _title(axis: Axes, text: str) -> None:
    axis.set_title(text, color="white", fontsize=9, loc="left")
