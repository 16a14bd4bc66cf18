"""Pictures of a phantom: a row for each plane, images beside their truth."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from OrthoDiffusionLib.anatomy import load_joint
from OrthoDiffusionLib.phantom.study import PhantomStudy


def montage(study: PhantomStudy, columns: int = 5) -> Figure:
    """Slices of each plane through its middle, plain above and with the truth's colours below.

    Args:
        study: to be drawn.
        columns: slices a plane.
    """
    colors = [(0.0, 0.0, 0.0)] + [tuple(c / 255 for c in s.color) for s in load_joint("knee").structures]
    figure = Figure(figsize=(2.4 * columns, 2.4 * 2 * len(study.planes)), facecolor="black")
    axes = figure.subplots(2 * len(study.planes), columns)
    for row, (plane, series) in enumerate(study.planes.items()):
        depth = series.labels.shape[2]
        columns_mm, rows_mm = np.linalg.norm(series.volume.affine[:3, :2], axis=0)
        aspect = rows_mm / columns_mm
        for column, k in enumerate(np.linspace(0.15 * depth, 0.85 * depth, columns).round().astype(int)):
            image, labels = series.volume.array[:, :, k].T, series.labels[:, :, k].T
            for below in (0, 1):
                axis = axes[2 * row + below, column]
                axis.imshow(image, cmap="gray", origin="lower", aspect=aspect, vmin=0, vmax=np.percentile(image, 99.5))
                if below:
                    shown = np.ma.masked_equal(labels, 0)
                    axis.imshow(
                        shown, cmap=ListedColormap(colors), origin="lower", aspect=aspect, vmin=0, vmax=11, alpha=0.55
                    )
                axis.set_axis_off()
        axes[2 * row, 0].set_title(f"{plane.value} {series.contrast}", color="white", fontsize=9, loc="left")
    present = ", ".join(f"{key} {value:.1f}" for key, value in study.findings.items() if value) or "healthy"
    figure.suptitle(f"Phantom {study.seed}, {study.laterality} knee: {present}", color="white", fontsize=10)
    figure.tight_layout(pad=0.3)
    return figure
