"""An evaluation as Markdown, for model cards and the README."""

from __future__ import annotations

from OrthoDiffusionLib.evaluation.phantoms import Evaluation

HEADING = "## Measured"


def markdown(evaluation: Evaluation) -> str:
    """A section of headed tables: overall figures, Dice by structure and plane, AUROC by finding."""

    def cell(value: float, key: str) -> str:
        low, high = evaluation.intervals[key]
        return f"{value:.2f} ({low:.2f} to {high:.2f})"

    planes = list(evaluation.dice)
    lines = [
        HEADING,
        "",
        f"{evaluation.conditions()} 95 % bootstrap intervals in brackets.",
        "",
        "| measure | value |",
        "|---|---|",
        f"| mean Dice | {cell(evaluation.mean_dice, 'mean_dice')} |",
        f"| macro-AUROC | {cell(evaluation.macro_auroc, 'macro_auroc')} |",
        f"| expected calibration error | {cell(evaluation.ece, 'ece')} |",
        "",
        f"| Dice | {' | '.join(planes)} |",
        "|---" * (len(planes) + 1) + "|",
    ]
    for structure in evaluation.dice[planes[0]]:
        cells = [cell(evaluation.dice[plane][structure], f"dice/{plane}/{structure}") for plane in planes]
        lines.append(f"| {structure.replace('_', ' ')} | {' | '.join(cells)} |")
    lines += ["", "| finding | AUROC |", "|---|---|"]
    lines += [f"| {finding} | {cell(value, f'auroc/{finding}')} |" for finding, value in evaluation.auroc.items()]
    return "\n".join(lines) + "\n"


def with_measurements(card: str, section: str) -> str:
    """A model card with this section of figures at its end, in place of one that it has."""
    return f"{card.split(HEADING)[0].rstrip()}\n\n{section}"
