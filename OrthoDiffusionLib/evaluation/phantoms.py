"""How good a bundle is on phantoms: each is run as a study is, and compared with its truth on its own grid."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.bundles.opening import open_bundle
from OrthoDiffusionLib.bundles.registry import find_bundle
from OrthoDiffusionLib.bundles.training_seeds import seen_seeds
from OrthoDiffusionLib.evaluation.evaluation import Contrast, Evaluation
from OrthoDiffusionLib.evaluation.metrics import dice
from OrthoDiffusionLib.evaluation.summary import summary
from OrthoDiffusionLib.inference.engine import Engine
from OrthoDiffusionLib.inference.request import StudyRequest
from OrthoDiffusionLib.inference.result_folder import read_result
from OrthoDiffusionLib.inference.watch import Unwatched
from OrthoDiffusionLib.phantom import ANYWHERE, HELD_OUT, make_study
from OrthoDiffusionLib.phantom.findings import Prevalence
from OrthoDiffusionLib.phantom.writing import write_study
from OrthoDiffusionLib.volumes.nifti import read_nifti
from OrthoDiffusionLib.worker.processes import working_processes


def evaluate_on_phantoms(
    bundle: str | None,
    studies: int,
    seed: int,
    centre: str | None,
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
        centre: where they are scanned, a key of `CENTRES`; None for the one that is held out of training, and for a
            random contrast, which has none.
        advance: called after each study.
        processes: that share the studies, each on its part of the cores, with 1.5 GB each; the figures are the same
            up to rounding for any number.
        combine: whether each plane's label map is made of all planes, as in a run, or of itself alone.
        contrast: `random` for signals, resolution and artefacts drawn by chance, in place of a centre's.
        rates: `clinical` for findings as often as in patients; rare ones may then occur in no phantom.

    Raises:
        OrthoDiffusionError: as a run does.
        ValueError: for an unknown centre, or one for a random contrast.
        KeyboardInterrupt: for Ctrl-C and, in the main thread, SIGTERM; the processes are gone then, with their files.
    """
    manifest = open_bundle(find_bundle(bundle)).manifest
    planes = [plane.value for plane in Plane if manifest.segments(plane)]
    structures = {structure.key: structure.label for structure in manifest.structures} if planes else {}
    findings = [finding.key for finding in manifest.findings] if any(map(manifest.diagnoses, Plane)) else []
    numbers = range(seed, seed + studies)
    if centre is None and contrast == "physical":
        centre = HELD_OUT
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
    measures = summary(
        f"{manifest.name} {manifest.version}", seed, centre or ANYWHERE.key, planes, list(structures), findings, table,
        np.array(probabilities), np.array(present),
    )  # fmt: skip
    seen = seen_seeds(manifest.training_data.seeds, numbers)
    return replace(measures, combined=combine, contrast=contrast, rates=rates, seen=seen)


class _Measured(NamedTuple):
    """One study: Dice by plane and structure, the probabilities, and the true severities."""

    overlaps: dict[tuple[str, str], float]
    probabilities: dict[str, float]
    severities: dict[str, float]


class _Asked(NamedTuple):
    """What is measured: a bundle, on which phantoms, and which of its parts."""

    bundle: str | None
    joint: str
    centre: str | None
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
        study = make_study(seed, asked.joint, prevalence=asked.rates, centre=asked.centre, contrast=asked.contrast)
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
