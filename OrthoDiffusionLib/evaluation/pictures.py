"""Pictures of a result: each plane plain and with its overlay, and the panel of probabilities. No screen is needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, ornt_transform

from OrthoDiffusionLib.anatomy import Plane, Structure
from OrthoDiffusionLib.inference.result import FindingRecord, Result
from OrthoDiffusionLib.volumes.orientation import planes_near, to_network_axes
from OrthoDiffusionLib.volumes.volume import Volume

BACKGROUND, FOREGROUND, ACCENT, QUIET = "#101418", "#e8ecef", "#f2765c", "#5b8fb9"
OPACITY = 0.5
SHAPES = {Plane.AXIAL: ("^", "triangle"), Plane.SAGITTAL: ("s", "square"), Plane.CORONAL: ("o", "circle")}


def overlay_figure(
    volume: Volume, labels: npt.NDArray[np.integer[Any]], plane: Plane, result: Result, columns: int = 4
) -> Figure:
    """Slices of a plane as a radiologist sees them: plain above, with the structures' colours below.

    Args:
        volume: the series.
        labels: on its grid.
        plane: that it is shown in; a 3D volume may be shown in any.
        result: names the structures and gives the notice.
        columns: slices, spread over those that hold labels.
    """
    image, shown = _as_viewed(volume, plane), _as_viewed(Volume(labels, volume.affine), plane)
    aspect = image.pixel[0] / image.pixel[1]
    figure = Figure(figsize=(3.1 * columns, 7.4), facecolor=BACKGROUND)
    axes = figure.subplots(2, columns, squeeze=False)
    low, high = np.percentile(image.slices, (1, 99.5))
    colors = ListedColormap([(0, 0, 0, 0), *(tuple(c / 255 for c in s.color) for s in result.structures)])
    for column, index in enumerate(_labelled_slices(shown.slices, columns)):
        for row in (0, 1):
            axis = axes[row, column]
            axis.imshow(image.slices[index], cmap="gray", vmin=low, vmax=high, aspect=aspect, interpolation="bilinear")
            axis.set_axis_off()
        axes[1, column].imshow(
            np.ma.masked_equal(shown.slices[index], 0),
            cmap=colors,
            vmin=0,
            vmax=len(result.structures),
            aspect=aspect,
            alpha=OPACITY,
            interpolation="nearest",
        )
        axes[0, column].set_title(f"slice {index + 1} of {len(image.slices)}", color=FOREGROUND, fontsize=9)
    present = [s for s in result.structures if (labels == s.label).any()]
    _legend(figure, present)
    figure.suptitle(f"{plane.value.capitalize()}", color=FOREGROUND, fontsize=14, x=0.02, ha="left", weight="bold")
    figure.text(0.98, 0.975, result.notice, color=ACCENT, fontsize=8, ha="right", va="top")
    figure.subplots_adjust(left=0.01, right=0.99, top=0.91, bottom=0.07, wspace=0.02, hspace=0.02)
    return figure


def findings_figure(result: Result) -> Figure:
    """The panel of probabilities: a bar a finding, its threshold, and what each plane alone says."""
    records = result.findings
    figure = Figure(figsize=(9.5, 0.55 * len(records) + 1.9), facecolor=BACKGROUND)
    axis = figure.subplots()
    axis.set_facecolor(BACKGROUND)
    for row, record in enumerate(records):
        axis.barh(row, 1.0, color="#1d252c", height=0.62)
        axis.barh(row, record.probability, color=ACCENT if record.present else QUIET, height=0.62)
        axis.plot([record.threshold] * 2, [row - 0.4, row + 0.4], color=FOREGROUND, linewidth=1.6)
        for plane, value in record.plane_probabilities.items():
            axis.plot(value, row, SHAPES[plane][0], color="white", markersize=4.5, markeredgecolor="black")
        axis.text(1.02, row, f"{record.probability:.2f}", color=FOREGROUND, va="center", fontsize=11)
    axis.set_yticks(range(len(records)), [_row_name(record) for record in records], color=FOREGROUND, fontsize=10)
    axis.set_xlim(0, 1.1)
    axis.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axis.tick_params(colors=FOREGROUND, length=0)
    axis.invert_yaxis()
    for spine in axis.spines.values():
        spine.set_visible(False)
    figure.suptitle("Probability of each finding", color=FOREGROUND, fontsize=14, x=0.02, ha="left", weight="bold")
    planes = [plane for plane in Plane if any(plane in record.plane_probabilities for record in records)]
    key = ", ".join(f"{SHAPES[plane][1]} {plane.value} alone" for plane in planes)
    figure.text(0.02, 0.075, f"White line: threshold; {key}", color=FOREGROUND, fontsize=8)
    figure.text(0.02, 0.02, result.notice, color=ACCENT, fontsize=9)
    figure.subplots_adjust(left=0.36, right=0.97, top=0.89, bottom=0.17)
    return figure


def _row_name(record: FindingRecord) -> str:
    return f"{record.name}  {record.key}"


class _Viewed:
    """Slices first, rows from the top, columns from the left, as a radiologist's screen has them."""

    def __init__(self, slices: npt.NDArray[Any], pixel: tuple[float, float]) -> None:
        self.slices = slices
        self.pixel = pixel


def _as_viewed(volume: Volume, plane: Plane) -> _Viewed:
    near = planes_near(volume.affine, volume.shape)
    own = plane if plane in near else near[0]
    turned = to_network_axes(volume, own)
    # `to_network_axes` takes the volume's own slices for the plane's; another plane's are cut out across them.
    change = ornt_transform(*(axcodes2ornt(shown.network_axcodes) for shown in (own, plane)))
    rows_up = np.moveaxis(apply_orientation(turned.array, change), 2, 0).transpose(0, 2, 1)
    affine = turned.affine @ inv_ornt_aff(change, turned.array.shape)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    # The axial network axes run to the front with j; a screen has the front on top, as head and foot in the others.
    return _Viewed(rows_up[:, ::-1], (float(spacing[1]), float(spacing[0])))


def _labelled_slices(labels: npt.NDArray[Any], count: int) -> list[int]:
    kinds = np.array([len(np.unique(slice_)) for slice_ in labels])
    (rich,) = np.nonzero(kinds >= 0.5 * kinds.max())
    return [int(rich[int(position)]) for position in np.linspace(0, len(rich) - 1, count).round()]


def _legend(figure: Figure, structures: Sequence[Structure]) -> None:
    handles = [Patch(color="#{:02x}{:02x}{:02x}".format(*s.color), label=s.name) for s in structures]
    legend = figure.legend(handles=handles, loc="lower center", ncol=6, frameon=False, fontsize=8)
    for text in legend.get_texts():
        text.set_color(FOREGROUND)
