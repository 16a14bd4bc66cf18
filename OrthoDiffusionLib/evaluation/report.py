"""An evaluation as Markdown, for model cards and the README."""

from __future__ import annotations

import math
import re

from OrthoDiffusionLib.evaluation.evaluation import Evaluation

HEADING = "## Measured"


def markdown(evaluation: Evaluation) -> str:
    """A section of headed tables: overall figures, Dice by structure and plane, AUROC by finding."""

    def cell(value: float, key: str) -> str:
        if not math.isfinite(value):
            return "not defined"
        low, high = evaluation.intervals[key]
        return f"{value:.2f} ({low:.2f} to {high:.2f})"

    planes = list(evaluation.dice)
    overall = {
        "mean Dice": (evaluation.mean_dice, "mean_dice"),
        **{f"mean Dice, {plane}": (value, f"plane_dice/{plane}") for plane, value in evaluation.plane_dice.items()},
        "macro-AUROC": (evaluation.macro_auroc, "macro_auroc"),
        "expected calibration error": (evaluation.ece, "ece"),
    }
    lines = [HEADING, "", f"{evaluation.conditions()} 95 % bootstrap intervals in brackets.", ""]
    lines += ["| measure | value |", "|---|---|"]
    lines += [f"| {name} | {cell(*measure)} |" for name, measure in overall.items() if math.isfinite(measure[0])]
    if planes:
        lines += ["", f"| Dice | {' | '.join(planes)} |", "|---" * (len(planes) + 1) + "|"]
        for structure in evaluation.dice[planes[0]]:
            cells = [cell(evaluation.dice[plane][structure], f"dice/{plane}/{structure}") for plane in planes]
            lines.append(f"| {structure.replace('_', ' ')} | {' | '.join(cells)} |")
    if evaluation.auroc:
        lines += ["", "| finding | AUROC |", "|---|---|"]
        lines += [f"| {finding} | {cell(value, f'auroc/{finding}')} |" for finding, value in evaluation.auroc.items()]
    return "\n".join(lines) + "\n"


def with_measurements(card: str, section: str) -> str:
    """A model card with this section of figures at its end, in place of one that it has; its other sections stay."""
    # A section ends where another of its level or above begins. A heading that only begins alike is another's.
    others = re.sub(rf"^{HEADING}[ \t]*$.*?(?=^##? |\Z)", "", card, flags=re.MULTILINE | re.DOTALL)
    return f"{others.rstrip()}\n\n{section}"
