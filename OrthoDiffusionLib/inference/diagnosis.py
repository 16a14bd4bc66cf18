"""From each plane's logits to one probability per finding, with what each plane contributed."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.bundles.manifest import BundleManifest, FindingCalibration
from OrthoDiffusionLib.inference.fusing import FusedAnswer, PlaneAnswer
from OrthoDiffusionLib.inference.result import FindingRecord

UNCALIBRATED = FindingCalibration(temperature=1.0, threshold=0.5)


def finding_records(
    manifest: BundleManifest,
    answers: Mapping[Plane, PlaneAnswer],
    fused: FusedAnswer,
    calibrations: Mapping[str, FindingCalibration],
) -> tuple[FindingRecord, ...]:
    """The findings' records, in the bundle's order.

    Args:
        manifest: names the findings.
        answers: of each plane that was assessed.
        fused: what they say together.
        calibrations: of the fused logits, by finding.
    """
    records = []
    for index, finding in enumerate(manifest.findings):
        calibration = calibrations.get(finding.key, UNCALIBRATED)
        probability = _probability(fused.logits[index], calibration)
        records.append(
            FindingRecord(
                key=finding.key,
                name=finding.name,
                probability=probability,
                threshold=calibration.threshold,
                present=probability >= calibration.threshold,
                plane_probabilities={
                    plane: _probability(float(answers[plane].logits[index]), calibration)
                    for plane in Plane
                    if plane in answers
                },
                plane_weights={plane: float(fused.weights[plane][index]) for plane in Plane if plane in fused.weights},
            )
        )
    return tuple(records)


def _probability(logit: float, calibration: FindingCalibration) -> float:
    return float(torch.sigmoid(torch.tensor(logit / calibration.temperature, dtype=torch.float64)))
