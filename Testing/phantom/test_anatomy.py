"""The painted knee, before any scanner: whole structures of human size, and lesions that stay where they belong."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from OrthoDiffusionLib.anatomy import load_joint
from OrthoDiffusionLib.phantom import knee_bones as bones
from OrthoDiffusionLib.phantom import knee_findings
from OrthoDiffusionLib.phantom.canvas import SPACING, AnatomyCanvas
from OrthoDiffusionLib.phantom.distances import Field, curve
from OrthoDiffusionLib.phantom.findings import MILDEST, draw_findings
from OrthoDiffusionLib.phantom.knee import dislocated, paint_knee
from OrthoDiffusionLib.phantom.knee_ligaments import restraint_course
from OrthoDiffusionLib.phantom.knee_shape import draw_shape
from OrthoDiffusionLib.phantom.tissues import Tissue

KNEE = load_joint("knee")
FINDINGS = [finding.key for finding in KNEE.findings]

# ml, over small women and large men; the canvas cuts the long bones 98 mm below and 126 mm above the joint line.
PLAUSIBLE_ML = {
    "femur": (120, 300),
    "tibia": (110, 270),
    "fibula": (9, 26),
    "patella": (12, 38),
    "cartilage": (13, 42),
    "medial_meniscus": (2, 5),
    "lateral_meniscus": (1.4, 4.5),
    "acl": (1.2, 4.0),
    "pcl": (1.3, 4),
    "mcl": (1.5, 5),
    "lcl": (0.4, 1.2),
}

# Corners (mm, joint frame of a right knee) of the region that a finding may change at its most severe.
REACH = {
    "ACL": ((-20, -36, -26), (44, 36, 52)),
    "PCL": ((-28, -50, -42), (36, 38, 42)),
    "MM": ((-58, -40, -12), (10, 36, 18)),
    "LM": ((-4, -38, -12), (58, 32, 18)),
    "MCL": ((-66, -30, -74), (52, 34, 52)),
    "LCL": ((22, -42, -38), (64, 16, 52)),
    "EFFU": ((-62, -60, -30), (64, 76, 120)),
}

# Structures whose extent a finding may change: its own, and what a displaced one comes to lie against.
RELABELLED = {
    "ACL": {"acl", "pcl"},
    "PCL": {"pcl"},
    "MM": {"medial_meniscus", "mcl", "acl", "pcl"},
    "LM": {"lateral_meniscus", "acl", "pcl"},
    "MCL": {"mcl"},
    "LCL": {"lcl"},
    "EFFU": set(),
}


@functools.lru_cache(maxsize=12)
def painted(shape_seed: int, **findings: float) -> AnatomyCanvas:
    severity = {key: findings.get(key, 0.0) for key in FINDINGS}
    return paint_knee(draw_shape(np.random.default_rng(shape_seed)), severity, np.random.default_rng(5))


@pytest.fixture(scope="module")
def healthy() -> AnatomyCanvas:
    return painted(0)


@pytest.mark.parametrize("shape_seed", [0, 3])
def test_structures_are_whole_and_of_human_size(shape_seed: int) -> None:
    canvas = painted(shape_seed)
    for structure in KNEE.structures:
        inside = canvas.labels == structure.label
        low, high = PLAUSIBLE_ML[structure.key]
        assert low < inside.sum() * SPACING**3 / 1000 < high, structure.key
        box = ndimage.find_objects(inside.astype(np.uint8))[0]
        parts, _ = ndimage.label(inside[box])
        sizes = np.sort(np.bincount(parts.ravel())[1:])[::-1]
        # Cartilage covers four surfaces that may or may not touch, and wears into islands.
        pieces = 6 if structure.key == "cartilage" else 1
        assert sizes[:pieces].sum() > 0.99 * sizes.sum(), structure.key


@pytest.mark.parametrize("finding", list(REACH))
def test_a_finding_changes_only_its_own_region(healthy: AnatomyCanvas, finding: str) -> None:
    ill = painted(0, **{finding: 1.0})
    moved = ill.labels != healthy.labels
    places = healthy.low + SPACING * np.argwhere(moved | (ill.tissue != healthy.tissue))
    assert len(places) * SPACING**3 > 500
    low, high = REACH[finding]
    assert (places.min(axis=0) >= low).all()
    assert (places.max(axis=0) <= high).all()
    touched = set(np.unique(healthy.labels[moved])) | set(np.unique(ill.labels[moved]))
    assert touched - {0} <= {KNEE.structure(key).label for key in RELABELLED[finding]}


@pytest.mark.parametrize(("finding", "key"), [("ACL", "acl"), ("PCL", "pcl"), ("MCL", "mcl"), ("LCL", "lcl")])
def test_a_complete_tear_parts_the_ligament_and_does_not_thicken_it(
    healthy: AnatomyCanvas, finding: str, key: str
) -> None:
    label = KNEE.structure(key).label
    torn = painted(0, **{finding: 1.0}).labels == label
    parts, _ = ndimage.label(torn)
    sizes = np.sort(np.bincount(parts.ravel())[1:])[::-1]
    assert sizes[1] > 0.1 * sizes.sum()
    whole = (healthy.labels == label).sum()
    assert 0.4 * whole < torn.sum() < whole


def test_a_dislocated_patella_lies_lateral_of_its_groove(healthy: AnatomyCanvas) -> None:
    label = KNEE.structure("patella").label
    x_healthy, x_ill = (
        float(canvas.low[0] + SPACING * np.argwhere(canvas.labels == label)[:, 0].mean())
        for canvas in (healthy, painted(0, PD=1.0))
    )
    # Over half of its width of 43 to 48 mm.
    assert x_ill - x_healthy > 20
    assert (painted(0, PD=1.0).tissue[:, -1] == Tissue.AIR).all()


def test_the_medial_restraint_of_a_dislocated_patella_is_torn(healthy: AnatomyCanvas) -> None:
    shape = draw_shape(np.random.default_rng(0))
    shares = []
    for canvas, severity in ((healthy, 0.0), (painted(0, PD=0.6), 0.6)):
        region = canvas.region((-60, -20, 10), (60, 90, 60))
        distance, along = curve(region.points, restraint_course(dislocated(shape, severity)), (1, 1, 6), reach=9)
        band = region.below(distance - 0.6) & ~canvas.labelled(region)
        tissue, position = canvas.tissue[region.slices], region.fine(along)
        # The other half lies in the vastus medialis.
        patellar = tissue[band & (position > 0.72) & (position < 0.84)]
        shares.append([float((patellar == kind).mean()) for kind in (Tissue.TENDON, Tissue.FLUID)])
    whole, torn = shares
    assert whole[0] > 0.9
    assert torn[0] < 0.1
    assert torn[1] > 0.9


def test_swelling_tapers_towards_the_ends_of_a_torn_ligament() -> None:
    canvas = painted(0, MCL=0.6)
    medial = canvas.tissue[: round(float(-canvas.low[0]) / SPACING) - 40] == Tissue.SOFT_OEDEMA
    areas = ndimage.uniform_filter1d(medial.sum(axis=(0, 1)).astype(float), 5)
    swollen = np.flatnonzero(areas > 0)
    first, last = swollen[0], swollen[-1]
    tenth = max(1, (last - first) // 10)
    assert areas[first : first + tenth].max() < 0.5 * areas.max()
    assert areas[last - tenth : last].max() < 0.5 * areas.max()


def test_a_bruise_fades_into_the_marrow(healthy: AnatomyCanvas) -> None:
    """Smoothed over a slice's thickness, a bruise has a wide margin between none of it and all."""
    ill = painted(0, PD=1.0)
    bruise = ndimage.uniform_filter((ill.tissue == Tissue.OEDEMA).astype(np.float32), 5)
    part, most = ((bruise > low) & (bruise <= high) for low, high in ((0.1, 0.8), (0.8, 1.0)))
    assert not (healthy.tissue == Tissue.OEDEMA).any()
    assert most.sum() > 1000
    assert part.sum() > most.sum()


def test_an_effusion_fills_the_suprapatellar_recess(healthy: AnatomyCanvas) -> None:
    depths = []
    for canvas in (healthy, painted(0, EFFU=0.3), painted(0, EFFU=1.0)):
        middle = int(-canvas.low[0] / SPACING)
        above = slice(int((52 - canvas.low[2]) / SPACING), int((78 - canvas.low[2]) / SPACING))
        depths.append(float((canvas.tissue[middle, :, above] == Tissue.FLUID).sum(axis=0).max() * SPACING))
    # Physiological up to 5 mm, then deeper with the severity.
    assert depths[0] < 5 < depths[1] < depths[2] < 30


ANATOMY = Path(__file__).parents[3] / "shared" / "data" / "anatomy"


@pytest.mark.skipif(not ANATOMY.exists(), reason="a real knee's surfaces (../shared/data/anatomy) are not here")
@pytest.mark.parametrize(
    ("file", "body", "within"),
    [
        ("lenhart2015-R-femur-subchondral-bone", bones.femur, 3.0),
        ("smith2019-R-tibia-bone", bones.tibia, 3.0),
        ("smith2019-R-fibula-bone", bones.fibula, 4.0),
    ],
)
def test_bones_lie_where_a_real_knees_surfaces_do(file: str, body: Callable[..., Field], within: float) -> None:
    """One adult's surfaces, scaled to the standard knee: mean distance of their points to the phantom's surface, mm."""
    triangles = np.fromfile(
        ANATOMY / f"{file}.stl", dtype=[("normal", "<3f4"), ("points", "<9f4"), ("attribute", "<u2")], offset=84
    )
    # The files' axes are anterior, superior, lateral; the tibia's frame is that of the femur moved by 2 and -3 mm.
    anterior, superior, lateral = triangles["points"].reshape(-1, 3)[::7].T
    if "femur" not in file:
        anterior, superior, lateral = anterior + 2, superior - 3, lateral - 4
    points = tuple((1.12 * axis).astype(np.float32) for axis in (lateral, anterior - 7, superior + 26))
    straight = replace(draw_shape(np.random.default_rng(0)), scale=1.0, slope=7, notch_width=20.0, groove_depth=6.5)
    inside_view = points[2] > -80
    distance = np.abs(body(points, replace(straight, femoral_cartilage=2.2, tibial_cartilage=2.4)))[inside_view]
    assert distance.mean() < within


def test_findings_are_drawn_at_the_rates_asked_for() -> None:
    generator = np.random.default_rng(0)
    for rates in knee_findings.RATES.values():
        drawn = [draw_findings(generator, rates) for _ in range(4000)]
        assert set(drawn[0]) == set(FINDINGS)
        severities = np.array([[row[key] for key in FINDINGS] for row in drawn])
        assert (severities[severities > 0] >= MILDEST).all()
        assert severities.max() <= 1
        present = {key: severities[:, FINDINGS.index(key)] > 0 for key in FINDINGS}
        torn = present["ACL"]
        uncaused = ~np.any([present[cause] for cause in rates.with_cause], axis=0)
        for key in FINDINGS:
            # 0.05: three standard errors of the rarer group.
            expected = 0 if key in rates.with_cause else rates.alone[key]
            assert present[key][uncaused].mean() == pytest.approx(expected, abs=0.05)
            if key != "ACL":
                expected = rates.with_cause["ACL"].get(key, rates.alone[key])
                assert present[key][torn].mean() == pytest.approx(expected, abs=0.05)
        assert torn.mean() == pytest.approx(rates.alone["ACL"], abs=0.03)


def test_patients_have_an_effusion_with_what_causes_one_and_in_half_of_all() -> None:
    generator = np.random.default_rng(0)
    drawn = [draw_findings(generator, knee_findings.CLINICAL) for _ in range(12000)]
    present = {key: np.array([bool(row[key]) for row in drawn]) for key in FINDINGS}
    often = {"ACL": 0.22, "PCL": 0.03, "MM": 0.37, "LM": 0.21, "MCL": 0.15, "LCL": 0.04, "PD": 0.04, "EFFU": 0.5}
    assert {key: present[key].mean() for key in FINDINGS} == pytest.approx(often, abs=0.015)
    for cause, least in (("ACL", 0.8), ("PCL", 0.7), ("MCL", 0.55), ("PD", 0.8)):
        assert present["EFFU"][present[cause]].mean() > least
    none = ~np.any([present[cause] for cause in ("ACL", "PCL", "MCL", "PD")], axis=0)
    assert present["EFFU"][none].mean() < 0.4
