"""Painted knees have the sizes of adults, measured on their labels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from OrthoDiffusionLib.anatomy import load_joint
from OrthoDiffusionLib.phantom import make_anatomy
from OrthoDiffusionLib.phantom.canvas import SPACING, AnatomyCanvas
from OrthoDiffusionLib.phantom.knee import dislocated
from OrthoDiffusionLib.phantom.knee_bones import femur
from OrthoDiffusionLib.phantom.knee_shape import KneeShape, draw_shape

LABEL = {structure.key: structure.label for structure in load_joint("knee").structures}
ARTHRITIC = 12
"""A seed whose knee has osteophytes of 3.2 mm, nearly the largest drawn."""

BEND = 3.0
"""mm by which the smooth bending may change a size: twice its standard deviation."""

CROSS_BEND = 1.0
"""mm by which it may change what lies as close together as a cord's sides, and the grid what is measured of them."""


def span(mask: npt.NDArray[np.bool_], axis: int) -> float:
    """mm from the first to the last voxel along an axis."""
    (hit,) = np.nonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
    return float((hit[-1] - hit[0] + 1) * SPACING)


def slab(canvas: AnatomyCanvas, low: float, high: float) -> slice:
    return slice(*(round((height - float(canvas.low[2])) / SPACING) for height in (low, high)))


def cord_length(mask: npt.NDArray[np.bool_]) -> float:
    """mm along a cord's axis: its longest extent, less what its thickness adds to that."""
    points = np.argwhere(mask) * SPACING
    centred = points - points.mean(axis=0)
    _, values, axes = np.linalg.svd(centred[:: max(1, len(centred) // 5000)], full_matrices=False)
    along = centred @ axes[0]
    # The ends are oblique cuts: half a thickness at each belongs to the cord's side.
    thickness = 4 * values[1] / np.sqrt(len(centred[:: max(1, len(centred) // 5000)]))
    return float(np.ptp(along) - thickness)


def cross_axes(mask: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """mm across a cord, thickness and width: medians over sections square to its course through the middle of it.

    An ellipse's axes are four standard deviations of its points. Those of the whole cord would be wider by its curve.
    """
    points = np.argwhere(mask) * SPACING
    points -= points.mean(axis=0)
    along = points @ np.linalg.eigh(np.cov(points.T))[1][:, -1]
    stations = np.linspace(*np.quantile(along, (0.25, 0.75)), 9)
    course = [points[np.abs(along - station) < SPACING].mean(axis=0) for station in stations]
    sections = []
    for before, here, after in zip(course, course[1:], course[2:], strict=False):
        offsets = points - here
        away = offsets @ (after - before) / np.linalg.norm(after - before)
        # The slab is thinner than any cord: of the three axes, the smallest is its own.
        sections.append(4 * np.sqrt(np.linalg.eigvalsh(np.cov(offsets[np.abs(away) < SPACING].T))[1:]))
    thickness, width = np.median(sections, axis=0)
    return float(thickness), float(width)


def body_of_meniscus(mask: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Width and height in mm of a meniscus' body: medians over coronal cuts through the middle of its length."""
    (rows,) = np.nonzero(mask.any(axis=(0, 2)))
    middle = (rows[0] + rows[-1]) // 2
    cuts = [mask[:, row] for row in range(middle - 8, middle + 9, 4)]
    width, height = ([cut.any(axis=1 - axis).sum() * SPACING for cut in cuts] for axis in (0, 1))
    return float(np.median(width)), float(np.median(height))


def cartilage_thickness(labels: npt.NDArray[np.uint8], key: str) -> float:
    """mm of the cartilage over a bone: how far from it the outermost twentieth of its own layer lies."""
    others = [other for other in ("femur", "tibia", "patella") if other != key]
    box = ndimage.find_objects((labels == LABEL["cartilage"]).astype(np.uint8))[0]
    near = labels[box]
    own, away = (
        ndimage.distance_transform_edt(~np.isin(near, [LABEL[bone] for bone in bones]), sampling=SPACING)
        for bones in ([key], others)
    )
    return float(np.percentile(own[(near == LABEL["cartilage"]) & (own < away)], 95))


@pytest.mark.parametrize("seed", [1, 3, 7, ARTHRITIC])
def test_sizes_are_those_of_adults(seed: int) -> None:
    canvas = make_anatomy(seed, findings={}).canvas
    labels = canvas.labels
    femur, tibia = labels == LABEL["femur"], labels == LABEL["tibia"]
    sizes = {
        "bicondylar width": (span(femur[:, :, slab(canvas, 8, 36)], 0), 70, 95),
        "plateau's width": (span(tibia[:, :, slab(canvas, -14, 0)], 0), 65, 90),
        "patella's width": (span(labels == LABEL["patella"], 0), 38, 50),
        "ACL": (cord_length(labels == LABEL["acl"]), 28, 40),
        "PCL": (cord_length(labels == LABEL["pcl"]), 32, 40),
        "MCL": (span(labels == LABEL["mcl"], 2), 90, 110),
        "LCL": (cord_length(labels == LABEL["lcl"]), 50, 70),
    }
    wrong = {name: round(size, 1) for name, (size, low, high) in sizes.items() if not low - BEND < size < high + BEND}
    assert not wrong
    # The ACL is drawn nearly round, the PCL as a band: a round one would be as thick as it is wide.
    for key, thin, wide in (("acl", (7.6, 10.4), (7.6, 12)), ("pcl", (5, 6.4), (11, 14))):
        for size, (low, high) in zip(cross_axes(labels == LABEL[key]), (thin, wide), strict=True):
            assert low - CROSS_BEND < size < high + CROSS_BEND, key
    for side in ("medial", "lateral"):
        width, height = body_of_meniscus(labels == LABEL[f"{side}_meniscus"])
        assert 7 <= width <= 12.6, side
        assert 4 <= height <= 8.4, side
    for key in ("femur", "tibia", "patella"):
        assert 1.2 <= cartilage_thickness(labels, key) <= 4.5, key


def test_women_and_men_differ_and_overlap() -> None:
    shapes = [draw_shape(np.random.default_rng(seed)) for seed in range(300)]
    women, men = ([shape for shape in shapes if shape.female is female] for female in (True, False))
    assert 120 < len(women) < 180
    assert max(shape.scale for shape in women) > min(shape.scale for shape in men)
    for key, sign in (("scale", 1), ("muscle", 1), ("fat", -1)):
        means = [np.mean([getattr(shape, key) for shape in group]) for group in (women, men)]
        assert sign * (means[1] - means[0]) > 0, key


def sulcus_angle(shape: KneeShape, height: float) -> float:
    """Degrees between the trochlea's facets in an axial cut through the femur's bone, mm over the joint line: from its
    deepest point to the highest one on either side."""
    x, y = np.arange(-36, 36.1, 0.5, dtype=np.float32), np.arange(10, 50, 0.1, dtype=np.float32)
    points = np.meshgrid(x, y, np.float32([height]), indexing="ij")
    inside = femur((points[0], points[1], points[2]), shape)[:, :, 0] < 0
    front = np.where(inside.any(axis=1), y[len(y) - 1 - inside[:, ::-1].argmax(axis=1)], -np.inf)
    middle = np.flatnonzero(np.abs(x) < 12)
    deepest = middle[front[middle].argmin()]
    peaks = (front[:deepest].argmax(), deepest + front[deepest:].argmax())
    facets = np.array([(x[peak] - x[deepest], front[peak] - front[deepest]) for peak in peaks])
    facets /= np.linalg.norm(facets, axis=1, keepdims=True)
    return float(np.degrees(np.arccos(facets[0] @ facets[1])))


@pytest.mark.parametrize("height", [26, 30, 34])
def test_the_trochlea_of_a_dislocated_patella_is_shallow(height: float) -> None:
    """30 mm over the joint line is where trochleae are measured in axial images: Pfirrmann et al. 2000, Radiology
    216:858."""
    shapes = [draw_shape(np.random.default_rng(seed)) for seed in range(16)]
    healthy = [sulcus_angle(shape, height) for shape in shapes]
    assert min(healthy) > 132 and np.median(healthy) < 142 and max(healthy) < 146
    for shape, angle in zip(shapes, healthy, strict=True):
        for severity in (0.3, 1.0):
            assert sulcus_angle(dislocated(shape, severity), height) > max(145, angle + 4)
