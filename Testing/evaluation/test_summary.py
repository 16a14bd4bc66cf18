"""Figures of an evaluation from a table whose means are known."""

from __future__ import annotations

import numpy as np
import pytest

from OrthoDiffusionLib.evaluation.summary import summary

STUDIES = 40


def test_means_and_intervals_of_a_known_table() -> None:
    nan = float("nan")
    generator = np.random.default_rng(0)
    table = np.empty((STUDIES, 2, 2))
    # Axial: 0.9 in all, and a structure that half of the studies lack. Sagittal: 0.5 +- 0.2, and one that none shows.
    table[:, 0, 0] = 0.9
    table[:, 0, 1] = np.where(np.arange(STUDIES) % 2, 0.7, nan)
    table[:, 1, 0] = 0.5 + 0.2 * np.resize([1, -1], STUDIES)
    table[:, 1, 1] = nan
    present = np.repeat([[1.0, 0.0], [0.0, 0.0]], STUDIES // 2, axis=0)
    probabilities = np.column_stack([0.25 + 0.5 * present[:, 0], generator.uniform(0, 0.2, STUDIES)])
    found = summary(
        "b 1", 0, "island", ["axial", "sagittal"], ["femur", "lcl"], ["ACL", "MM"], table, probabilities, present
    )
    assert found.plane_dice == pytest.approx({"axial": 0.8, "sagittal": 0.5})
    assert found.mean_dice == pytest.approx((0.9 + 0.7 + 0.5) / 3)
    assert found.dice["axial"] == pytest.approx({"femur": 0.9, "lcl": 0.7})
    assert np.isnan(found.dice["sagittal"]["lcl"])
    # No study has the second finding: the mean is that of the other one.
    assert found.auroc["ACL"] == found.macro_auroc == 1.0 and np.isnan(found.auroc["MM"])
    told = found.to_json_dict()
    assert told["undefined_auroc"] == ["MM"] and told["macro_auroc_findings"] == 1 and told["rates"] == "balanced"
    assert "have MM, whose AUROC is not defined; the macro-AUROC is of the other 1 of 2 findings" in found.conditions()
    assert "trained on" not in found.conditions() and told["seeds_seen_in_training"] is None
    assert found.intervals["dice/axial/femur"] == pytest.approx((0.9, 0.9))
    low, high = found.intervals["plane_dice/sagittal"]
    # The mean of 40 draws of 0.5 +- 0.2 spreads by 0.2 / sqrt(40) = 0.032, of which 95 % is 1.96 to each side.
    assert low == pytest.approx(0.5 - 0.062, abs=0.015) and high == pytest.approx(0.5 + 0.062, abs=0.015)
