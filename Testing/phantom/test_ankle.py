"""The painted ankle: human sizes, even contacts, and findings that are there in image and label alike."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.phantom import Anatomy, make_anatomy, scan_anatomy
from OrthoDiffusionLib.phantom.ankle import paint_ankle
from OrthoDiffusionLib.phantom.ankle_shape import AnkleShape, draw_shape
from OrthoDiffusionLib.phantom.canvas import SPACING, AnatomyCanvas
from OrthoDiffusionLib.phantom.distances import Vector
from OrthoDiffusionLib.phantom.tissues import Tissue

# An ankle takes 5 s of a processor; on a busy machine that is minutes.
pytestmark = pytest.mark.timeout(900)

ANKLE = load_joint("ankle")
LABEL = {structure.key: structure.label for structure in ANKLE.structures}


def standard_shape() -> AnkleShape:
    """Of standard size and in neutral position, so that sizes can be read along the axes."""
    return replace(draw_shape(np.random.default_rng(0)), scale=1.0, flexion=0.0)


def painted(**findings: float) -> AnatomyCanvas:
    severity = {finding.key: findings.get(finding.key, 0.0) for finding in ANKLE.findings}
    return paint_ankle(standard_shape(), severity, np.random.default_rng(5))


@pytest.fixture(scope="module")
def healthy() -> AnatomyCanvas:
    return painted()


@pytest.fixture(scope="module")
def partial() -> AnatomyCanvas:
    return painted(ATFL=0.4, CFL=0.4, ATR=0.4, OLT=0.3)


@pytest.fixture(scope="module")
def torn() -> AnatomyCanvas:
    return painted(ATFL=1.0, CFL=1.0, ATR=1.0, OLT=1.0)


def points(canvas: AnatomyCanvas, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Joint-frame positions of the masked points, (n, 3), mm."""
    return np.asarray(canvas.low + SPACING * np.argwhere(mask))


def of(canvas: AnatomyCanvas, key: str) -> npt.NDArray[np.bool_]:
    return np.asarray(canvas.labels == LABEL[key])


def crop(canvas: AnatomyCanvas, low: Vector, high: Vector) -> AnatomyCanvas:
    """The part of a canvas between two corners, mm."""
    part = copy.copy(canvas)
    begin = np.round((np.array(low) - canvas.low) / SPACING).astype(int)
    end = np.round((np.array(high) - canvas.low) / SPACING).astype(int)
    box = tuple(slice(first, last) for first, last in zip(begin, end, strict=True))
    part.low, part.tissue, part.labels = canvas.low + SPACING * begin, canvas.tissue[box], canvas.labels[box]
    return part


def piece_sizes(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int_]:
    """Voxels of each connected piece, the largest first."""
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    parts, _ = ndimage.label(mask[box])
    return np.sort(np.bincount(parts.ravel())[1:])[::-1]


def extent(places: npt.NDArray[np.float64], axis: int) -> float:
    return float(np.ptp(places[:, axis])) + SPACING


def test_sizes_are_those_of_adults(healthy: AnatomyCanvas) -> None:
    """Ranges as cited where the sizes are set, widened by the 1 to 2 mm that an individual's bending adds."""
    talus, calcaneus, tibia, fibula = (
        points(healthy, of(healthy, key)) for key in ("talus", "calcaneus", "tibia", "fibula")
    )
    assert 50 < extent(talus, 1) < 62
    assert 29 < extent(talus, 2) < 37
    assert 70 < extent(calcaneus, 1) < 85
    dome = talus[np.abs(talus[:, 2] + 9) < 1]
    widths = [extent(dome[np.abs(dome[:, 1] - y) < 1], 0) for y in (11, -11)]
    assert 27 < widths[0] < 34
    assert 20 < widths[1] < 27
    assert widths[0] > widths[1] + 3
    # The plafond: from the medial malleolus' inner side to the tibia's lateral edge.
    under, beside = (tibia[np.hypot(tibia[:, 1], tibia[:, 2] - z) < 1][:, 0] for z in (1.5, -9))
    assert 29.5 < under.max() - beside.max() < 36.5
    assert 8 < tibia[:, 2].min() - fibula[:, 2].min() < 15
    achilles = points(healthy, of(healthy, "achilles_tendon"))
    middle = achilles[np.abs(achilles[:, 2]) < SPACING / 2 + 1e-6]
    assert 11 < extent(middle, 0) < 17
    assert 3.6 < extent(middle[np.abs(middle[:, 0] - middle[:, 0].mean()) < 1], 1) < 7


def test_every_structure_is_whole(healthy: AnatomyCanvas) -> None:
    # Cartilage lies on seven surfaces; the lateral ligaments are two.
    pieces = {"cartilage": 8, "lateral_ligaments": 2}
    for key, label in LABEL.items():
        sizes = piece_sizes(healthy.labels == label)
        assert sizes[: pieces.get(key, 1)].sum() > 0.98 * sizes.sum(), key
        assert sizes.sum() * SPACING**3 > 150, key


def test_the_dome_meets_the_plafond_with_cartilage_alone(healthy: AnatomyCanvas) -> None:
    shape = standard_shape()
    healthy = crop(healthy, (-16, -16, -20), (18, 16, 10))
    talus, tibia = of(healthy, "talus"), of(healthy, "tibia")
    to_talus = ndimage.distance_transform_edt(~talus, sampling=SPACING)
    # Edge points of the tibia over the dome, a voxel from it on either side.
    x, y, z = (healthy.low[axis] + SPACING * np.arange(n) for axis, n in enumerate(talus.shape))
    over = (np.abs(x - 1) < 8)[:, None, None] & (np.abs(y) < 8)[:, None] & (np.abs(z) < 6)
    facing = tibia & over & (to_talus < 5) & ~ndimage.binary_erosion(tibia)
    gaps = to_talus[facing] - SPACING
    joint = shape.talar_cartilage + shape.tibial_cartilage
    assert np.median(gaps) == pytest.approx(joint, abs=0.6)
    assert np.ptp(np.quantile(gaps, (0.05, 0.95))) < 1.3
    between = ~talus & ~tibia & over & (to_talus < np.median(gaps)) & (z < 2)
    assert np.isin(healthy.tissue[between], (Tissue.CARTILAGE, Tissue.FLUID)).mean() > 0.98
    assert of(healthy, "cartilage")[between].mean() > 0.7


def test_findings_move_no_other_structure(healthy: AnatomyCanvas, torn: AnatomyCanvas) -> None:
    moved = torn.labels != healthy.labels
    touched = set(np.unique(healthy.labels[moved])) | set(np.unique(torn.labels[moved]))
    assert touched == {0} | {LABEL[key] for key in ("talus", "cartilage", "achilles_tendon", "lateral_ligaments")}


@pytest.mark.parametrize("finding", ["ATFL", "CFL"])
def test_a_complete_tear_parts_the_ligament_with_fluid(
    healthy: AnatomyCanvas, torn: AnatomyCanvas, finding: str
) -> None:
    healthy, torn = (crop(canvas, (6, -36, -66), (46, 40, 6)) for canvas in (healthy, torn))
    band, _ = ndimage.label(of(healthy, "lateral_ligaments"))
    one, two = (np.bincount(band.ravel())[1:]).argsort()[::-1][:2] + 1
    # The calcaneofibular one lies lower.
    heights = {part: points(healthy, band == part)[:, 2].mean() for part in (one, two)}
    mine = min(heights, key=heights.__getitem__) if finding == "CFL" else max(heights, key=heights.__getitem__)
    near = ndimage.binary_dilation(band == mine, iterations=6)
    left = of(torn, "lateral_ligaments") & near
    sizes = piece_sizes(left)
    assert sizes[1] > 0.1 * sizes.sum()
    assert 0.3 * (band == mine).sum() < left.sum() < (band == mine).sum()
    gap = (torn.tissue == Tissue.FLUID) & (healthy.tissue != Tissue.FLUID) & near
    assert gap.sum() * SPACING**3 > 10
    assert (torn.labels[gap] == 0).mean() > 0.9


def test_a_partial_tear_is_bright_but_whole(healthy: AnatomyCanvas, partial: AnatomyCanvas) -> None:
    for key, pieces in (("lateral_ligaments", 2), ("achilles_tendon", 1)):
        mask = of(partial, key)
        sizes = piece_sizes(mask)
        assert sizes[:pieces].sum() > 0.97 * sizes.sum(), key
        assert 0.05 < (partial.tissue[mask] == Tissue.TORN_FIBRES).mean() < 0.8, key
        assert not (healthy.tissue[of(healthy, key)] == Tissue.TORN_FIBRES).any()
    # Sagittal extent in axial slices over the calcaneus; the tear lies somewhere within.
    slices = slice(*(round((z - healthy.low[2]) / SPACING) for z in (-22, 28)))
    thick = [
        float(of(canvas, "achilles_tendon")[:, :, slices].any(axis=0).sum(axis=0).max())
        for canvas in (healthy, partial)
    ]
    assert 1.3 * thick[0] < thick[1] < 2.6 * thick[0]


def test_the_ruptured_achilles_tendon_gapes_two_to_six_centimetres_over_its_insertion(torn: AnatomyCanvas) -> None:
    tendon = points(torn, of(torn, "achilles_tendon"))
    heights = np.arange(-45, 60, SPACING)
    count = np.array([(np.abs(tendon[:, 2] - height) < 0.5 * SPACING).sum() for height in heights])
    inside = heights[count < 6]
    inside = inside[(inside > tendon[:, 2].min()) & (inside < tendon[:, 2].max())]
    insertion = points(torn, of(torn, "calcaneus"))
    upper = insertion[insertion[:, 1] < insertion[:, 1].min() + 6][:, 2].max()
    assert 15 < np.ptp(inside) < 35
    assert inside.min() - upper > 18
    assert inside.max() - upper < 64
    middle = round((float(np.median(inside)) - torn.low[2]) / SPACING)
    where = np.round((tendon[:, :2].mean(axis=0) - torn.low[:2]) / SPACING).astype(int)
    gap = torn.tissue[where[0] - 3 : where[0] + 4, where[1] - 2 : where[1] + 3, middle]
    assert np.isin(gap, (Tissue.FLUID, Tissue.SOFT_OEDEMA)).mean() > 0.9
    assert (gap == Tissue.FLUID).mean() > 0.5


def test_a_dome_lesion_takes_cartilage_and_bone_and_marks_the_marrow(
    healthy: AnatomyCanvas, partial: AnatomyCanvas, torn: AnatomyCanvas
) -> None:
    lost = {}
    for name, canvas in (("mild", partial), ("severe", torn)):
        gone = of(healthy, "cartilage") & ~of(canvas, "cartilage")
        places = points(healthy, gone)
        # At a shoulder of the dome, and nowhere else.
        assert (np.abs(places[:, 0]) > 2).all()
        assert places[:, 2].min() > -24
        crater = of(healthy, "talus") & ~of(canvas, "talus")
        assert np.isin(canvas.tissue[crater], (Tissue.FLUID, Tissue.TORN_FIBRES)).all()
        # Near the crater: a sprain may have bruised the talus elsewhere.
        oedema = points(canvas, (canvas.tissue == Tissue.OEDEMA) & of(canvas, "talus"))
        away = np.linalg.norm(oedema - points(canvas, crater).mean(axis=0), axis=1)
        lost[name] = np.array([gone.sum(), crater.sum(), (away < 15).sum()]) * SPACING**3
    assert (lost["mild"] > (4, 4, 200)).all()
    assert (lost["severe"] > 2 * lost["mild"]).all()


def test_the_same_seed_gives_the_same_bytes_and_a_left_ankle_is_a_right_one_mirrored() -> None:
    first, second = (make_anatomy(3, "ankle") for _ in range(2))
    assert first.findings == second.findings
    assert np.array_equal(first.canvas.tissue, second.canvas.tissue)
    assert np.array_equal(first.canvas.labels, second.canvas.labels)
    centres = {}
    for laterality in ("right", "left"):
        study = scan_anatomy(Anatomy("ankle", first.canvas, first.findings, laterality, 3), 3)
        assert set(LABEL.values()) <= set(np.unique(study.planes[Plane.SAGITTAL].labels))
        series = study.planes[Plane.AXIAL]
        for key in ("fibula", "talus"):
            index = np.argwhere(series.labels == LABEL[key]).mean(axis=0)
            centres[laterality, key] = float((series.volume.affine @ [*index, 1])[0])
    assert centres["right", "fibula"] - centres["right", "talus"] > 15
    assert centres["left", "fibula"] - centres["left", "talus"] < -15
