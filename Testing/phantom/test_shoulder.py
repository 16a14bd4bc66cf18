"""The painted shoulder, before any scanner: of human size, and with findings that image and truth agree about."""

from __future__ import annotations

import copy
import functools

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.phantom import Anatomy, scan_anatomy, shoulder_findings
from OrthoDiffusionLib.phantom.canvas import SPACING, AnatomyCanvas
from OrthoDiffusionLib.phantom.findings import MILDEST, draw_findings
from OrthoDiffusionLib.phantom.shoulder import paint_shoulder
from OrthoDiffusionLib.phantom.shoulder_shape import draw_shape
from OrthoDiffusionLib.phantom.tissues import Tissue

SHOULDER = load_joint("shoulder")
FINDINGS = [finding.key for finding in SHOULDER.findings]
LABEL = {structure.key: structure.label for structure in SHOULDER.structures}
SHAPE_SEED = 0
SHAPE = draw_shape(np.random.default_rng(SHAPE_SEED))

# Most severe ones that do not hide each other's signs.
ILL = (("SSP", 1.0), ("ISP", 0.4), ("AC", 1.0), ("GHJ", 1.0), ("LHBT_EFFUSION", 1.0), ("SASD", 1.0))
MILD = (("SSC", 1.0), ("AC", 0.3), ("GHJ", 0.3), ("LHBT_EFFUSION", 0.3), ("SASD", 0.3), ("LHBT_INJURY", 0.4))

Positions = npt.NDArray[np.float64]


@functools.lru_cache(maxsize=4)
def painted(findings: tuple[tuple[str, float], ...] = ()) -> AnatomyCanvas:
    severity = dict.fromkeys(FINDINGS, 0.0) | dict(findings)
    return paint_shoulder(draw_shape(np.random.default_rng(SHAPE_SEED)), severity, np.random.default_rng(5))


@pytest.fixture(scope="module")
def healthy() -> AnatomyCanvas:
    return painted()


def mask(canvas: AnatomyCanvas, key: str) -> npt.NDArray[np.bool_]:
    return canvas.labels == LABEL[key]


def places(canvas: AnatomyCanvas, inside: npt.NDArray[np.bool_]) -> Positions:
    """Joint frame, mm, (n, 3)."""
    return canvas.low + SPACING * np.argwhere(inside)


def near_head(canvas: AnatomyCanvas) -> AnatomyCanvas:
    """The part of a canvas within 54 mm of the humeral head's middle along each axis."""
    low, high = (((np.array([side * 54.0] * 3) - canvas.low) / SPACING).astype(int) for side in (-1, 1))
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    part = copy.copy(canvas)
    part.low, part.tissue, part.labels = canvas.low + SPACING * low, canvas.tissue[box], canvas.labels[box]
    return part


def along_scapula(positions: Positions) -> Positions:
    """Turned so that x runs along the blade."""
    angle = np.radians(-SHAPE.scapular_plane)
    cos, sin = np.cos(angle), np.sin(angle)
    return positions @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])


def touching(canvas: AnatomyCanvas, key: str, other: str) -> Positions:
    """Points of a structure within two grid steps of another one, near the head."""
    canvas = near_head(canvas)
    near = ndimage.binary_dilation(mask(canvas, other), iterations=2)
    return places(canvas, mask(canvas, key) & near)


def head(canvas: AnatomyCanvas) -> tuple[Positions, float]:
    """Centre and radius of the sphere through the bone under the head's cartilage, mm."""
    canvas = near_head(canvas)
    surface = mask(canvas, "humerus") & ndimage.binary_dilation(mask(canvas, "cartilage"))
    points = places(canvas, surface)
    system = np.column_stack([2 * points, np.ones(len(points))])
    solution, *_ = np.linalg.lstsq(system, (points**2).sum(axis=1), rcond=None)
    return solution[:3], float(np.sqrt(solution[3] + solution[:3] @ solution[:3])) + 0.5 * SPACING


def lengths(canvas: AnatomyCanvas, key: str, start: Positions, directions: Positions) -> npt.NDArray[np.float64]:
    """mm of a structure that each ray from a point meets within 36 mm."""
    steps = np.arange(0, 36, 0.1)
    positions = start + steps[None, :, None] * directions[:, None, :]
    index = np.rint((positions - canvas.low) / SPACING).astype(int)
    return 0.1 * (canvas.labels[tuple(np.moveaxis(index, -1, 0))] == LABEL[key]).sum(axis=1)


def test_every_structure_is_there_and_whole(healthy: AnatomyCanvas) -> None:
    # ml, over small women and large men; the canvas cuts humerus, scapula and clavicle.
    plausible = {
        "humerus": (80, 190), "scapula": (35, 110), "clavicle": (8, 28), "cartilage": (3, 11),
        "supraspinatus": (18, 75), "infraspinatus": (50, 190), "subscapularis": (60, 240), "biceps_tendon": (1.2, 4),
    }  # fmt: skip
    assert plausible.keys() == LABEL.keys()
    for key, (low, high) in plausible.items():
        inside = mask(healthy, key)
        assert low < inside.sum() * SPACING**3 / 1000 < high, key
        parts, _ = ndimage.label(inside[ndimage.find_objects(inside.astype(np.uint8))[0]])
        sizes = np.sort(np.bincount(parts.ravel())[1:])[::-1]
        # Cartilage covers two surfaces.
        assert sizes[: 2 if key == "cartilage" else 1].sum() > 0.98 * sizes.sum(), key


def test_sizes_are_those_of_adults(healthy: AnatomyCanvas) -> None:
    """The ranges and their sources are in `shoulder_shape`; a grid step of tolerance where two borders are found."""
    centre, radius = head(healthy)
    assert 43 < 2 * radius < 52
    rim = along_scapula(touching(healthy, "cartilage", "scapula"))
    assert 33 - SPACING < np.ptp(rim[:, 2]) < 40
    assert 24 - SPACING < np.ptp(rim[:, 1]) < 29
    surface = touching(healthy, "cartilage", "humerus") - centre
    axis = surface.mean(axis=0) / np.linalg.norm(surface.mean(axis=0))
    assert 35 < np.degrees(np.arcsin(axis[2])) < 55
    outwards = surface / np.linalg.norm(surface, axis=1, keepdims=True)
    towards_socket = outwards @ [
        -np.cos(np.radians(SHAPE.scapular_plane)),
        -np.sin(np.radians(SHAPE.scapular_plane)),
        0,
    ]
    middle = outwards[(outwards @ axis > 0.9) & (towards_socket < 0.5)][::7]
    assert 1.2 < lengths(healthy, "cartilage", centre, middle).mean() < 2.0
    both = lengths(healthy, "cartilage", centre, outwards[towards_socket > 0.95][::7]).mean()
    assert 1.2 + 1.5 - SPACING < both < 2.0 + 2.5
    over = np.array([(x, y, 1.0) for x in (-0.05, 0.1, 0.2) for y in (-0.1, 0.0, 0.05)])
    over /= np.linalg.norm(over, axis=1, keepdims=True)
    assert 5 - SPACING < np.median(lengths(healthy, "supraspinatus", centre, over)) < 7 + SPACING
    footprint = along_scapula(touching(healthy, "supraspinatus", "humerus"))
    assert 20 - SPACING < np.ptp(footprint[footprint[:, 0] > 8, 1]) < 25 + SPACING
    near = near_head(healthy)
    from_humerus = ndimage.distance_transform_edt(~mask(near, "humerus"), sampling=SPACING)
    above = mask(near, "scapula")
    above[:, :, : int((centre[2] + 20 - near.low[2]) / SPACING)] = False
    assert 8 < from_humerus[above].min() < 12
    level = int((-15 - healthy.low[2]) / SPACING)
    area = mask(healthy, "biceps_tendon")[:, :, level].sum() * SPACING**2
    assert 4 - SPACING / 2 < 2 * np.sqrt(area / np.pi) < 6 + SPACING / 2
    clavicle = mask(healthy, "clavicle")
    end = int(np.argwhere(clavicle)[:, 0].max() - 12 / SPACING)
    assert 10 - SPACING < clavicle[end].sum(axis=1).max() * SPACING < 14 + SPACING


def test_same_seed_same_bytes(healthy: AnatomyCanvas) -> None:
    again = painted.__wrapped__()
    assert np.array_equal(again.tissue, healthy.tissue)
    assert np.array_equal(again.labels, healthy.labels)


@pytest.mark.parametrize(
    ("findings", "key"),
    [(ILL, "supraspinatus"), (MILD, "subscapularis")],
)
def test_a_complete_tear_parts_the_tendon_from_its_footprint(
    healthy: AnatomyCanvas, findings: tuple[tuple[str, float], ...], key: str
) -> None:
    torn = painted(findings)
    lost = mask(healthy, key) & (torn.labels == 0)
    gap = lost & (torn.tissue == Tissue.FLUID)
    assert gap.sum() * SPACING**3 > 500
    before, after = len(touching(healthy, key, "humerus")), len(touching(torn, key, "humerus"))
    assert after < 0.3 * before
    fat = [
        canvas.tissue[mask(canvas, key)][
            np.isin(canvas.tissue[mask(canvas, key)], (Tissue.FAT, Tissue.FATTY_MUSCLE))
        ].size
        / mask(canvas, key).sum()
        for canvas in (healthy, torn)
    ]
    assert fat[1] > fat[0] + 0.2


def test_a_partial_tear_thins_a_tendon_that_still_holds(healthy: AnatomyCanvas) -> None:
    ill = painted(ILL)
    before, after = (mask(canvas, "infraspinatus") for canvas in (healthy, ill))
    gone = before & ~after & (ill.tissue == Tissue.FLUID) & (ill.labels == 0)
    # Over the tuberosity, where no effusion lifts the tendon.
    lost = along_scapula(places(ill, gone))[:, 0] > 10
    assert 20 < lost.sum() * SPACING**3 < 1500
    bright = after & (ill.tissue == Tissue.TORN_FIBRES)
    assert bright.sum() * SPACING**3 > 50
    assert len(touching(ill, "infraspinatus", "humerus")) > 0.3 * len(touching(healthy, "infraspinatus", "humerus"))


# Corners (mm, joint frame) of where each finding raises the fluid.
FLUID = {
    "GHJ": ((-30, -20, -44), (8, 12, -18)),
    "LHBT_EFFUSION": ((4, 8, -48), (34, 36, -8)),
    "SASD": ((20, -26, -14), (48, 14, 20)),
    "AC": ((-26, -16, 30), (6, 14, 56)),
}


@pytest.mark.parametrize("finding", list(FLUID))
def test_fluid_rises_with_severity_where_it_should(healthy: AnatomyCanvas, finding: str) -> None:
    amounts = []
    for canvas in (healthy, painted(MILD), painted(ILL)):
        low, high = (((np.array(corner) - canvas.low) / SPACING).astype(int) for corner in FLUID[finding])
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        fluid = (canvas.tissue[box] == Tissue.FLUID) & (canvas.labels[box] == 0)
        amounts.append(float(fluid.sum() * SPACING**3))
    assert amounts[1] > amounts[0] + 40
    assert amounts[2] > 1.5 * amounts[1]


def test_worn_acromioclavicular_ends_have_oedema_and_grow(healthy: AnatomyCanvas) -> None:
    ill = painted(ILL)
    for key in ("scapula", "clavicle"):
        assert ((ill.tissue == Tissue.OEDEMA) & mask(ill, key)).sum() * SPACING**3 > 200
        assert mask(ill, key).sum() > mask(healthy, key).sum()
    assert not (healthy.tissue == Tissue.OEDEMA).any()


def test_an_injured_biceps_tendon_is_thick_and_bright(healthy: AnatomyCanvas) -> None:
    ill = painted(MILD)
    inside = mask(ill, "biceps_tendon")
    assert inside.sum() > 1.15 * mask(healthy, "biceps_tendon").sum()
    assert np.isin(ill.tissue[inside], (Tissue.DEGENERATE, Tissue.TORN_FIBRES)).mean() > 0.3


def test_a_left_shoulder_is_a_right_one_mirrored(healthy: AnatomyCanvas) -> None:
    found = {}
    for laterality in ("left", "right"):
        study = scan_anatomy(Anatomy("shoulder", healthy, {}, laterality, 2), 2, centre="hill")
        series = study.planes[Plane.AXIAL]
        centres = {}
        for key, label in LABEL.items():
            index = np.argwhere(series.labels == label)
            assert len(index), key
            centres[key] = (series.volume.affine @ [*index.mean(axis=0), 1])[:3]
        found[laterality] = np.array([centres[key] - centres["humerus"] for key in LABEL])
    # The stack itself is not mirrored, and cuts another piece of what is longer than it.
    assert np.allclose(found["left"] * [-1, 1, 1], found["right"], atol=8)
    assert found["right"][LABEL["scapula"] - 1][0] < -20
    assert found["left"][LABEL["scapula"] - 1][0] > 20


def test_findings_are_drawn_in_the_schemas_order_and_range() -> None:
    generator = np.random.default_rng(0)
    for rates in shoulder_findings.RATES.values():
        assert list(rates.alone) == FINDINGS
        drawn = np.array([list(draw_findings(generator, rates).values()) for _ in range(2000)])
        assert drawn[drawn > 0].min() >= MILDEST
        torn = drawn[:, 0] > 0
        assert torn.mean() == pytest.approx(rates.alone["SSP"], abs=0.04)
        assert (drawn[torn, -1] > 0).mean() > (drawn[~torn, -1] > 0).mean() + 0.1
