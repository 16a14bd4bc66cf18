"""Measures over many phantoms, with how sure they are."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from OrthoDiffusionLib.evaluation.evaluation import Evaluation
from OrthoDiffusionLib.evaluation.metrics import bootstrap_interval, expected_calibration_error


def summary(
    bundle: str,
    seed: int,
    centre: str,
    planes: list[str],
    structures: list[str],
    findings: list[str],
    table: npt.NDArray[np.float64],
    probabilities: npt.NDArray[np.float64],
    present: npt.NDArray[np.float64],
) -> Evaluation:
    """Measures and their 95 % bootstrap intervals.

    Args:
        bundle: name and version.
        seed: of the first phantom; also of the bootstrap.
        centre: where they were scanned.
        planes: that were segmented.
        structures: keys.
        findings: keys.
        table: Dice, (studies, planes, structures), 0 to 1; not a number where neither truth nor label map has it.
        probabilities: (studies, findings), 0 to 1.
        present: 1 where the phantom has the finding, else 0, (studies, findings).
    """
    count = len(table)

    def structure_dice(rows: npt.NDArray[np.intp], plane: int, structure: int) -> float:
        values = table[rows, plane, structure]
        return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")

    def mean_of(values: Sequence[float]) -> float:
        known = [value for value in values if math.isfinite(value)]
        return float(np.mean(known)) if known else float("nan")

    def mean_dice(rows: npt.NDArray[np.intp]) -> float:
        return mean_of([structure_dice(rows, p, s) for p in range(len(planes)) for s in range(len(structures))])

    def plane_dice(rows: npt.NDArray[np.intp], plane: int) -> float:
        return mean_of([structure_dice(rows, plane, structure) for structure in range(len(structures))])

    def auroc(rows: npt.NDArray[np.intp], finding: int) -> float:
        truth = present[rows, finding]
        if truth.min() == truth.max():
            return float("nan")
        return float(roc_auc_score(truth, probabilities[rows, finding]))

    def macro_auroc(rows: npt.NDArray[np.intp]) -> float:
        return mean_of([auroc(rows, finding) for finding in range(len(findings))])

    def ece(rows: npt.NDArray[np.intp]) -> float:
        if not findings:
            return float("nan")
        return expected_calibration_error(probabilities[rows].ravel(), present[rows].ravel())

    measures: dict[str, Callable[[npt.NDArray[np.intp]], float]] = {
        "mean_dice": mean_dice,
        "macro_auroc": macro_auroc,
        "ece": ece,
    }
    for p, plane in enumerate(planes):
        measures[f"plane_dice/{plane}"] = partial(plane_dice, plane=p)
        for s, structure in enumerate(structures):
            measures[f"dice/{plane}/{structure}"] = partial(structure_dice, plane=p, structure=s)
    for f, finding in enumerate(findings):
        measures[f"auroc/{finding}"] = partial(auroc, finding=f)
    everything = np.arange(count)
    values = {name: measure(everything) for name, measure in measures.items()}
    return Evaluation(
        bundle=bundle,
        studies=count,
        seed=seed,
        centre=centre,
        dice={plane: {s: values[f"dice/{plane}/{s}"] for s in structures} for plane in planes},
        auroc={finding: values[f"auroc/{finding}"] for finding in findings},
        ece=values["ece"],
        mean_dice=values["mean_dice"],
        plane_dice={plane: values[f"plane_dice/{plane}"] for plane in planes},
        macro_auroc=values["macro_auroc"],
        intervals={name: bootstrap_interval(measure, count, seed) for name, measure in measures.items()},
    )
