"""The painted knee, before any scanner: whole structures of human size, and lesions that stay where they belong."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from OrthoDiffusionLib.anatomy import load_joint
from OrthoDiffusionLib.phantom.canvas import LOW, SPACING, AnatomyCanvas
from OrthoDiffusionLib.phantom.findings import BALANCED_RATES, CLINICAL_RATES, MILDEST, draw_findings
from OrthoDiffusionLib.phantom.knee import paint_knee
from OrthoDiffusionLib.phantom.knee_shape import draw_shape

KNEE = load_joint("knee")
FINDINGS = [finding.key for finding in KNEE.findings]

# ml, over small women and large men; the canvas cuts the long bones 84 mm below and 94 mm above the joint line.
PLAUSIBLE_ML = {
    "femur": (100, 280),
    "tibia": (95, 270),
    "fibula": (7, 20),
    "patella": (11, 33),
    "cartilage": (15, 45),
    "medial_meniscus": (1.5, 5),
    "lateral_meniscus": (1.2, 4.5),
    "acl": (1.5, 4.5),
    "pcl": (1.8, 6),
    "mcl": (1.5, 4),
    "lcl": (0.4, 1.5),
}

# Corners (mm, joint frame of a right knee) of the region that a finding may change at its most severe.
REACH = {
    "ACL": ((-16, -32, -24), (38, 26, 42)),
    "PCL": ((-20, -48, -28), (20, 28, 36)),
    "MM": ((-52, -36, -6), (-4, 22, 14)),
    "LM": ((2, -32, -6), (52, 20, 14)),
    "MCL": ((-60, -20, -72), (-18, 24, 44)),
    "LCL": ((28, -32, -20), (62, 6, 44)),
    "PD": ((-30, -4, -42), (58, 76, 94)),
    "EFFU": ((-54, -50, -8), (54, 56, 94)),
}

# Structures whose extent a finding may change: its own, and what a displaced one comes to lie against.
RELABELLED = {
    "ACL": {"acl", "pcl"},
    "PCL": {"pcl"},
    "MM": {"medial_meniscus", "mcl"},
    "LM": {"lateral_meniscus", "acl"},
    "MCL": {"mcl"},
    "LCL": {"lcl"},
    "PD": {"patella", "cartilage"},
    "EFFU": set(),
}


def painted(shape_seed: int, **findings: float) -> AnatomyCanvas:
    severity = {key: findings.get(key, 0.0) for key in FINDINGS}
    return paint_knee(draw_shape(np.random.default_rng(shape_seed)), severity, np.random.default_rng(5))


@pytest.fixture(scope="module")
def healthy() -> AnatomyCanvas:
    return painted(0)


@pytest.mark.parametrize("shape_seed", [0, 2, 3])
def test_structures_are_whole_and_of_human_size(shape_seed: int) -> None:
    canvas = painted(shape_seed)
    for structure in KNEE.structures:
        inside = canvas.labels == structure.label
        low, high = PLAUSIBLE_ML[structure.key]
        assert low < inside.sum() * SPACING**3 / 1000 < high, structure.key
        box = ndimage.find_objects(inside.astype(np.uint8))[0]
        parts, _ = ndimage.label(inside[box])
        sizes = np.sort(np.bincount(parts.ravel())[1:])[::-1]
        # Cartilage covers four surfaces that may or may not touch: femur, patella and the two plateaus.
        pieces = 4 if structure.key == "cartilage" else 1
        assert sizes[:pieces].sum() > 0.99 * sizes.sum(), structure.key


@pytest.mark.parametrize("finding", FINDINGS)
def test_a_finding_changes_only_its_own_region(healthy: AnatomyCanvas, finding: str) -> None:
    ill = painted(0, **{finding: 1.0})
    moved = ill.labels != healthy.labels
    places = LOW + SPACING * np.argwhere(moved | (ill.tissue != healthy.tissue))
    assert len(places) * SPACING**3 > 1000
    low, high = REACH[finding]
    assert (places.min(axis=0) >= low).all()
    assert (places.max(axis=0) <= high).all()
    touched = set(np.unique(healthy.labels[moved])) | set(np.unique(ill.labels[moved]))
    assert touched - {0} <= {KNEE.structure(key).label for key in RELABELLED[finding]}


def test_findings_are_drawn_at_the_rates_asked_for() -> None:
    generator = np.random.default_rng(0)
    for rates in (BALANCED_RATES, CLINICAL_RATES):
        drawn = [draw_findings(generator, rates) for _ in range(4000)]
        assert set(drawn[0]) == set(FINDINGS)
        severities = np.array([[row[key] for key in FINDINGS] for row in drawn])
        assert (severities[severities > 0] >= MILDEST).all()
        assert severities.max() <= 1
        torn = severities[:, FINDINGS.index("ACL")] > 0
        for column, key in enumerate(FINDINGS):
            present = severities[:, column] > 0
            # 0.05: three standard errors of the rarer group.
            assert present[~torn].mean() == pytest.approx(0 if key == "ACL" else rates.alone[key], abs=0.05)
            if key != "ACL":
                assert present[torn].mean() == pytest.approx(rates.with_acl.get(key, rates.alone[key]), abs=0.05)
        assert torn.mean() == pytest.approx(rates.alone["ACL"], abs=0.03)
