"""From each plane's logits to one probability per finding, with what each plane contributed."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.bundles.manifest import BundleManifest, FindingCalibration
from OrthoDiffusionLib.inference.result import FindingRecord

UNCALIBRATED = FindingCalibration(temperature=1.0, threshold=0.5)


def finding_records(
    manifest: BundleManifest, logits: Mapping[Plane, torch.Tensor], weights: Mapping[Plane, torch.Tensor]
) -> tuple[FindingRecord, ...]:
    """The findings' records, in the bundle's order.

    Args:
        manifest: names the findings and calibrates them.
        logits: one tensor (findings,) for each plane that was assessed.
        weights: how much each of these planes counts, (findings,); they sum to one over the planes.
    """
    records = []
    for index, finding in enumerate(manifest.findings):
        calibration = manifest.calibration.get(finding.key, UNCALIBRATED)
        fused = sum(float(weights[plane][index]) * float(logits[plane][index]) for plane in logits)
        probability = _probability(fused, calibration)
        records.append(
            FindingRecord(
                key=finding.key,
                name=finding.name,
                probability=probability,
                threshold=calibration.threshold,
                present=probability >= calibration.threshold,
                plane_probabilities={
                    plane: _probability(float(logits[plane][index]), calibration) for plane in Plane if plane in logits
                },
                plane_weights={plane: float(weights[plane][index]) for plane in Plane if plane in weights},
            )
        )
    return tuple(records)


def _probability(logit: float, calibration: FindingCalibration) -> float:
    return float(torch.sigmoid(torch.tensor(logit / calibration.temperature, dtype=torch.float64)))
