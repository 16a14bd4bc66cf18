"""A sweep of probes as a table, as JSON and as the curve that rises and then falls."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import colormaps
from matplotlib.figure import Figure

from OrthoDiffusionLib.training.probing import ProbeScore

MIDDLE = "mid_"
"""What the names of the network's middle blocks begin with, of which one's features the heads read."""

MIDDLE_COLOURS = ("#d62728", "#111111", "#e377c2")
"""Red, black and pink: none of them is in the palette of the other blocks."""


def best_score(scores: Sequence[ProbeScore]) -> ProbeScore:
    """The block and timestep with the highest macro-AUROC."""
    return max(scores, key=lambda score: score.macro)


def write_report(scores: Sequence[ProbeScore], about: Mapping[str, Any], folder: Path) -> None:
    """Write `probe.tsv`, `probe.json` and `probe.png`.

    Args:
        scores: of every block and timestep.
        about: what was probed: plane, weights, studies.
        folder: made when it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    findings = list(scores[0].auroc)
    with (folder / "probe.tsv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["block", "timestep", "macro_auroc", *findings])
        for score in scores:
            cells = [score.macro, *(score.auroc[finding] for finding in findings)]
            writer.writerow([score.block, score.timestep, *(f"{cell:.4f}" for cell in cells)])
    rows = [{"block": s.block, "timestep": s.timestep, "macro_auroc": s.macro, "auroc": dict(s.auroc)} for s in scores]
    best = best_score(scores)
    told = {"block": best.block, "timestep": best.timestep, "macro_auroc": best.macro}
    content = {**about, "best": told, "scores": rows}
    (folder / "probe.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    plot(scores, about).savefig(folder / "probe.png", dpi=110)


def plot(scores: Sequence[ProbeScore], about: Mapping[str, Any]) -> Figure:
    """The curve of each block over the timesteps, with the best point ringed.

    Args:
        scores: of every block and timestep.
        about: `plane` and `studies`, for the title.
    """
    figure = Figure(figsize=(7.6, 4.4), layout="constrained")
    axes = figure.subplots()
    best = best_score(scores)
    blocks = list(dict.fromkeys(score.block for score in scores))
    for block, style in _styles(blocks).items():
        curve = sorted((score.timestep, score.macro) for score in scores if score.block == block)
        axes.plot(*zip(*curve, strict=True), label=block, **style)
    axes.plot(best.timestep, best.macro, "o", markersize=13, markerfacecolor="none", color="black", zorder=4)
    axes.set_xlabel("timestep of the noise")
    axes.set_ylabel("macro-AUROC of a linear probe, out of fold")
    axes.set_title(
        f"{about['plane']} plane, {about['studies']} studies; best (ringed): {best.block} at timestep"
        f" {best.timestep}, {best.macro:.3f}",
        fontsize=10,
    )
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=8)
    return figure


def _styles(blocks: Sequence[str]) -> dict[str, dict[str, Any]]:
    """How each block's curve is drawn: the way in from pale to dark as the network goes, its middle bold on top."""
    middle = [block for block in blocks if block.startswith(MIDDLE)]
    others = [block for block in blocks if block not in middle]
    # The palette's pale end is hard to see on white.
    shades = colormaps["YlGnBu"]([0.3 + 0.7 * number / max(len(others) - 1, 1) for number in range(len(others))])
    styles: dict[str, dict[str, Any]] = {}
    for block, shade in zip(others, shades, strict=True):
        styles[block] = {"color": shade, "linewidth": 1.2, "marker": "o", "markersize": 3}
    for number, block in enumerate(middle):
        colour = MIDDLE_COLOURS[number % len(MIDDLE_COLOURS)]
        marker = "sD^"[number % 3]
        styles[block] = {"color": colour, "linewidth": 2.6, "marker": marker, "markersize": 6, "zorder": 3}
    return styles
