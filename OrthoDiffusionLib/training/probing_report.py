"""A sweep of probes as a table, as JSON and as the curve that rises and then falls."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from OrthoDiffusionLib.training.probing import ProbeScore


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
    best = max(scores, key=lambda score: score.macro)
    content = {**about, "best": {"block": best.block, "timestep": best.timestep}, "scores": rows}
    (folder / "probe.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    _plot(scores, about).savefig(folder / "probe.png", dpi=110)


def _plot(scores: Sequence[ProbeScore], about: Mapping[str, Any]) -> Figure:
    figure = Figure(figsize=(6.4, 4.2))
    axes = figure.subplots()
    for block in dict.fromkeys(score.block for score in scores):
        curve = sorted((score.timestep, score.macro) for score in scores if score.block == block)
        axes.plot(*zip(*curve, strict=True), marker="o", markersize=4, label=block)
    axes.set_xlabel("timestep of the noise")
    axes.set_ylabel("macro-AUROC of a linear probe, out of fold")
    axes.set_title(f"{about['plane']} plane, {about['studies']} studies", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.tight_layout()
    return figure
