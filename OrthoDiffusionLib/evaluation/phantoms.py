"""How good a bundle is on phantoms: each is run as a study is, and compared with its truth on its own grid."""

from __future__ import annotations

import json
import math
import os
import platform
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cache, partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import roc_auc_score

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.bundles.opening import open_bundle
from OrthoDiffusionLib.bundles.registry import find_bundle
from OrthoDiffusionLib.bundles.training_seeds import seen_seeds
from OrthoDiffusionLib.evaluation.metrics import bootstrap_interval, dice, expected_calibration_error
from OrthoDiffusionLib.inference.engine import Engine
from OrthoDiffusionLib.inference.request import StudyRequest
from OrthoDiffusionLib.inference.result_folder import read_result
from OrthoDiffusionLib.inference.watch import Unwatched
from OrthoDiffusionLib.phantom import make_study
from OrthoDiffusionLib.phantom.findings import Prevalence
from OrthoDiffusionLib.phantom.writing import write_study
from OrthoDiffusionLib.volumes.nifti import read_nifti
from OrthoDiffusionLib.worker.processes import working_processes

Interval = tuple[float, float]
Contrast = Literal["physical", "random"]


@dataclass(frozen=True)
class Evaluation:
    """Measures of one bundle over phantoms.

    Attributes:
        bundle: name and version.
        studies: how many phantoms.
        seed: of the first.
        centre: where they were scanned.
        dice: for each plane and structure, the mean over the studies in which truth or label map has it.
        auroc: of each finding; not a number where none or all of the phantoms have it.
        ece: expected calibration error over all findings.
        mean_dice: mean over structures and planes.
        plane_dice: for each plane, the mean over structures.
        macro_auroc: mean over the findings that have one; as every measure, not a number where the bundle has no such
            heads, or the phantoms do not define it.
        intervals: 95 % bootstrap interval of each measure by its name.
        combined: whether each plane's label map was made of all planes.
        contrast: that of the centre's sequences, or signals, resolution and artefacts of chance.
        rates: how often findings occurred: often enough to be measured, or as in patients.
        seen: seeds among them that the bundle's data card names as trained on; None where it names no seeds.
    """

    bundle: str
    studies: int
    seed: int
    centre: str
    dice: Mapping[str, Mapping[str, float]]
    auroc: Mapping[str, float]
    ece: float
    mean_dice: float
    plane_dice: Mapping[str, float]
    macro_auroc: float
    intervals: Mapping[str, Interval]
    combined: bool = True
    contrast: Contrast = "physical"
    rates: Prevalence = "balanced"
    seen: tuple[int, ...] | None = None

    @property
    def undefined_auroc(self) -> tuple[str, ...]:
        """Findings that none or all of the phantoms have, of which macro_auroc is not the mean."""
        return tuple(finding for finding, value in self.auroc.items() if not math.isfinite(value))

    def to_json_dict(self) -> dict[str, object]:
        """All of it, for `--json`."""
        return {
            "bundle": self.bundle,
            "studies": self.studies,
            "seed": self.seed,
            "centre": self.centre,
            "date": date.today().isoformat(),
            "machine": f"{platform.machine()}, {os.cpu_count()} processors",
            "combined": self.combined,
            "contrast": self.contrast,
            "rates": self.rates,
            "seeds_seen_in_training": None if self.seen is None else list(self.seen),
            "mean_dice": _known(self.mean_dice),
            "plane_dice": _known_ones(self.plane_dice),
            "dice": {plane: _known_ones(values) for plane, values in self.dice.items()},
            "macro_auroc": _known(self.macro_auroc),
            "macro_auroc_findings": len(self.auroc) - len(self.undefined_auroc),
            "auroc": _known_ones(self.auroc),
            "undefined_auroc": list(self.undefined_auroc),
            "ece": _known(self.ece),
            "intervals": {name: [_known(low), _known(high)] for name, (low, high) in self.intervals.items()},
        }

    def table(self) -> list[tuple[str, str, str]]:
        """Rows of measure, value and interval; without those that the phantoms or the bundle leave undefined."""
        rows = [("mean Dice", self.mean_dice, "mean_dice")]
        rows += [(f"mean Dice, {plane}", value, f"plane_dice/{plane}") for plane, value in self.plane_dice.items()]
        rows += [("macro-AUROC", self.macro_auroc, "macro_auroc"), ("calibration error", self.ece, "ece")]
        for structure in next(iter(self.dice.values()), ()):
            for plane in self.dice:
                rows.append((f"Dice {structure}, {plane}", self.dice[plane][structure], f"dice/{plane}/{structure}"))
        rows += [(f"AUROC {finding}", value, f"auroc/{finding}") for finding, value in self.auroc.items()]
        return [
            (name, f"{value:.3f}", "{:.3f} to {:.3f}".format(*self.intervals[key]))
            for name, value, key in rows
            if math.isfinite(value)
        ]

    def conditions(self) -> str:
        """In a few sentences how the figures came about."""
        where = f"at {self.centre}" if self.contrast == "physical" else "in contrasts of chance"
        how_often = ", with findings as often as in patients" if self.rates == "clinical" else ""
        planes = "" if self.combined else " Each plane by itself."
        return (
            f"{self.bundle} on {self.studies} phantoms from seed {self.seed} {where}{how_often},"
            f" {date.today().isoformat()}, {platform.machine()} with {os.cpu_count()} processors."
            f"{planes}{self._left_out()}{self._seen()} Phantoms are not patients."
        )

    def _left_out(self) -> str:
        left = self.undefined_auroc
        if not left:
            return ""
        known = len(self.auroc) - len(left)
        mean = "there is no macro-AUROC"
        if known:
            mean = f"the macro-AUROC is of the other {known} of {len(self.auroc)} findings"
        return f" None or all of the phantoms have {', '.join(left)}, whose AUROC is not defined; {mean}."

    def _seen(self) -> str:
        return f" The bundle was trained on {len(self.seen)} of these phantoms." if self.seen else ""


def _known(value: float) -> float | None:
    """None for what is no number, which JSON has no word for."""
    return value if math.isfinite(value) else None


def _known_ones(values: Mapping[str, float]) -> dict[str, float | None]:
    return {key: _known(value) for key, value in values.items()}


def evaluate_on_phantoms(
    bundle: str | None,
    studies: int,
    seed: int,
    centre: str,
    advance: Callable[[], None],
    processes: int = 1,
    *,
    combine: bool = True,
    contrast: Contrast = "physical",
    rates: Prevalence = "balanced",
) -> Evaluation:
    """Run a bundle on phantoms and measure it.

    Args:
        bundle: name, folder, or None for the default.
        studies: how many phantoms.
        seed: of the first; the others follow.
        centre: where they are scanned, a key of `CENTRES`.
        advance: called after each study.
        processes: that share the studies, each on its part of the cores, with 1.5 GB each; the figures are the same
            up to rounding for any number.
        combine: whether each plane's label map is made of all planes, as in a run, or of itself alone.
        contrast: `random` for signals, resolution and artefacts drawn by chance, in place of the centre's.
        rates: `clinical` for findings as often as in patients; rare ones may then occur in no phantom.

    Raises:
        OrthoDiffusionError: as a run does.
        KeyboardInterrupt: for Ctrl-C and, in the main thread, SIGTERM; the processes are gone then, with their files.
    """
    manifest = open_bundle(find_bundle(bundle)).manifest
    planes = [plane.value for plane in Plane if manifest.segments(plane)]
    structures = {structure.key: structure.label for structure in manifest.structures} if planes else {}
    findings = [finding.key for finding in manifest.findings] if any(map(manifest.diagnoses, Plane)) else []
    numbers = range(seed, seed + studies)
    asked = _Asked(bundle, manifest.joint, centre, structures, bool(findings), combine, contrast, rates)
    measure = partial(_measured, asked)
    measured = []
    with working_processes(processes, partial(_share_cores, processes)) as working:
        for outcome in working.outcomes(measure, numbers):
            measured.append(outcome)
            advance()
    overlaps = [outcome.overlaps for outcome in measured]
    probabilities = [[outcome.probabilities[key] for key in findings] for outcome in measured]
    present = [[float(outcome.severities[key] > 0) for key in findings] for outcome in measured]
    table = np.array([[[row[plane, key] for key in structures] for plane in planes] for row in overlaps])
    summary = _summary(
        f"{manifest.name} {manifest.version}", seed, centre, planes, list(structures), findings, table,
        np.array(probabilities), np.array(present),
    )  # fmt: skip
    seen = seen_seeds(manifest.training_data.seeds, numbers)
    return replace(summary, combined=combine, contrast=contrast, rates=rates, seen=seen)


class _Measured(NamedTuple):
    """One study: Dice by plane and structure, the probabilities, and the true severities."""

    overlaps: dict[tuple[str, str], float]
    probabilities: dict[str, float]
    severities: dict[str, float]


class _Asked(NamedTuple):
    """What is measured: a bundle, on which phantoms, and which of its parts."""

    bundle: str | None
    joint: str
    centre: str
    structures: Mapping[str, int]
    diagnose: bool
    combine: bool
    contrast: Contrast
    rates: Prevalence


def _share_cores(processes: int) -> None:
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // processes))


@cache
def _engine() -> Engine:
    """One for each process, which keeps the bundle's networks."""
    return Engine()


def _measured(asked: _Asked, seed: int) -> _Measured:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # A centre's resolution and artefacts are not among those of chance.
        centre = asked.centre if asked.contrast == "physical" else None
        study = make_study(seed, asked.joint, prevalence=asked.rates, centre=centre, contrast=asked.contrast)
        write_study(study, folder)
        series = {plane: folder / "study" / f"{plane.value}.nii.gz" for plane in Plane}
        request = StudyRequest(
            output=folder / "result",
            series=series,
            bundle=asked.bundle,
            combine=asked.combine,
            segment=bool(asked.structures),
            diagnose=asked.diagnose,
        )
        _engine().run(request, Unwatched())
        result = read_result(folder / "result")
        severities: dict[str, float] = json.loads((folder / "truth" / "truth.json").read_text())["findings"]
        probabilities = {record.key: record.probability for record in result.findings}
        return _Measured(_overlaps(folder, asked.structures), probabilities, severities)


def _overlaps(folder: Path, structures: Mapping[str, int]) -> dict[tuple[str, str], float]:
    overlaps = {}
    for plane in Plane:
        path = folder / "result" / f"labels_{plane.value}.nii.gz"
        if path.exists():
            predicted = read_nifti(path).array
            truth = read_nifti(folder / "truth" / f"{plane.value}.nii.gz").array
            for key, label in structures.items():
                overlaps[plane.value, key] = dice(predicted, truth, label)
    return overlaps


def _summary(
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
    """Measures and intervals; `table` is (studies, planes, structures), the others (studies, findings)."""
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
