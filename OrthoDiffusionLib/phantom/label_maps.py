"""Label maps of real knees as anatomy: a hospital can train on its masks without its images.

Structures come from the map; skin, fat, muscles and fluid around them are the phantom's own, and every draw bends the
whole a little, so that one map gives many joints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from OrthoDiffusionLib.anatomy import Joint, load_joint
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas, Region
from OrthoDiffusionLib.phantom.distances import Field
from OrthoDiffusionLib.phantom.knee import CORTEX, HIGH, LOW
from OrthoDiffusionLib.phantom.knee_fluid import paint_capsule, paint_fluid
from OrthoDiffusionLib.phantom.knee_shape import KneeShape, draw_shape
from OrthoDiffusionLib.phantom.knee_soft_tissue import paint_soft_tissue
from OrthoDiffusionLib.phantom.label_map_distances import structure_distance
from OrthoDiffusionLib.phantom.label_map_files import content_name, unusable
from OrthoDiffusionLib.phantom.study import Anatomy
from OrthoDiffusionLib.phantom.tissues import Tissue
from OrthoDiffusionLib.volumes.plausible_anatomy import check_bones
from OrthoDiffusionLib.volumes.volume import Volume

Side = Literal["left", "right"]

TISSUES: Mapping[str, Tissue] = {
    "cartilage": Tissue.CARTILAGE,
    "medial_meniscus": Tissue.MENISCUS,
    "lateral_meniscus": Tissue.MENISCUS,
    "acl": Tissue.LIGAMENT,
    "pcl": Tissue.LIGAMENT,
    "mcl": Tissue.LIGAMENT,
    "lcl": Tissue.LIGAMENT,
}
"""Of the structures that are not bones."""


def anatomy_from_labels(labels: Volume, seed: int, side: Side | None = None) -> Anatomy:
    """A joint whose structures are those of a label map.

    The map's structures are interpolated by their signed distances, so that thick slices leave no steps.

    Args:
        labels: integers (i, j, k) with the knee's structure labels, on any grid; -1 counts as background. It must hold
            femur and tibia, and tell the side by fibula, menisci or collateral ligaments, unless it is given.
        seed: of the bending and of the tissue around.
        side: of the person; None where the map tells it.

    Returns:
        an anatomy without findings: a label map says nothing about them.

    Raises:
        OrthoDiffusionError: BAD_LABEL_MAP, when femur or tibia is missing, when a value is no label of the knee, when
            its bones cannot be a knee's, when nothing tells left from right, or when it tells another side than the
            given one.
    """
    joint = load_joint("knee")
    present, centres, laterality = _looked_at(labels, joint, side)
    from_joint = np.eye(4)
    from_joint[:3, 3] = _origin(labels, present["tibia"])
    if laterality == "left":
        from_joint[0, 0] = -1
    generator = np.random.Generator(np.random.PCG64(seed))
    to_joint = np.linalg.inv(from_joint)
    patella = (to_joint @ [*centres["patella"], 1])[:3] if "patella" in centres else None
    shape = _fitting(draw_shape(generator), labels, present["femur"], patella)
    canvas = AnatomyCanvas(LOW, HIGH, shape.describe, shape.scale)
    region = canvas.everywhere()
    to_index = np.linalg.inv(labels.affine) @ from_joint
    distances = {
        key: structure_distance(labels, key, label, to_index, region.points, shape.scale)
        for key, label in present.items()
    }
    _paint(canvas, region, shape, distances, joint, generator)
    canvas.close_sides()
    return Anatomy("knee", canvas, {}, laterality, seed, content_name(labels))


def check_label_map(labels: Volume, side: Side | None = None) -> None:
    """Refuse a label map that `anatomy_from_labels` would refuse, in the time of a look at its voxels.

    Raises:
        OrthoDiffusionError: as `anatomy_from_labels`.
    """
    _looked_at(labels, load_joint("knee"), side)


def _looked_at(
    labels: Volume, joint: Joint, side: Side | None
) -> tuple[dict[str, int], dict[str, npt.NDArray[np.float64]], Side]:
    """The labels of the structures that the map holds, their centres (RAS, mm), and its side."""
    present = _present(labels, joint)
    check_bones(labels, joint.name, joint.structures)
    centres = {key: _centre(labels, label) for key, label in present.items()}
    told = _laterality(centres)
    if told is None and side is None:
        raise OrthoDiffusionError(
            ErrorKind.BAD_LABEL_MAP,
            "Nothing in the label map tells a left knee from a right one.",
            "Say it with --side, for the maps of left and of right knees by themselves.",
        )
    if told is not None and side not in (None, told):
        raise OrthoDiffusionError(
            ErrorKind.BAD_LABEL_MAP,
            f"The label map is of a {told} knee, as its structures lie, and not of a {side} one.",
            "Leave out --side, or correct the map's orientation.",
        )
    return present, centres, told or side or "right"


def _present(labels: Volume, joint: Joint) -> dict[str, int]:
    """Labels of the structures that the map holds, by key."""
    known = {structure.key: structure.label for structure in joint.structures}
    there = set(np.unique(labels.array).astype(int).tolist())
    if strangers := there - {-1, 0, *known.values()}:
        raise unusable(f"The value {min(strangers)} is no label of the knee.")
    present = {key: label for key, label in known.items() if label in there}
    if not {"femur", "tibia"} <= present.keys():
        raise unusable("The label map has no femur or no tibia.")
    return present


def _paint(
    canvas: AnatomyCanvas,
    region: Region,
    shape: KneeShape,
    distances: Mapping[str, Field],
    joint: Joint,
    generator: np.random.Generator,
) -> None:
    bones = np.minimum.reduce([distance for key, distance in distances.items() if key not in TISSUES])
    paint_soft_tissue(canvas, shape, bones, generator)
    around = canvas.region((-58, -50, -40), (58, 66, 100))
    paint_capsule(canvas, around.part(bones), around)
    paint_fluid(canvas, shape, 0.0, around.part(bones), around)
    for key, distance in distances.items():
        surface = distance * canvas.scale
        inside = region.covered(surface) & ~canvas.labelled(region)
        canvas.paint(region, inside, TISSUES.get(key, Tissue.CORTEX), joint.structure(key).label)
        if key not in TISSUES:
            canvas.paint(region, inside & region.covered(surface, -CORTEX[key]), Tissue.MARROW)


def _centre(labels: Volume, label: int) -> npt.NDArray[np.float64]:
    index = np.argwhere(labels.array == label).mean(axis=0)
    return np.asarray((labels.affine @ [*index, 1])[:3])


def _positions(labels: Volume, label: int) -> npt.NDArray[np.float64]:
    index = np.argwhere(labels.array == label)
    return np.asarray(index @ labels.affine[:3, :3].T + labels.affine[:3, 3])


def _laterality(centres: Mapping[str, npt.NDArray[np.float64]]) -> Side | None:
    """RAS x grows to the person's right: there lies the lateral side of a right knee; None where nothing tells it."""
    pairs = (("fibula", "tibia"), ("lateral_meniscus", "medial_meniscus"), ("lcl", "tibia"), ("tibia", "mcl"))
    for lateral, medial in pairs:
        if lateral in centres and medial in centres:
            return "right" if centres[lateral][0] > centres[medial][0] else "left"
    return None


def _origin(labels: Volume, tibia: int) -> npt.NDArray[np.float64]:
    """RAS position between the plateaus: over the middle of the tibia's uppermost 15 mm."""
    positions = _positions(labels, tibia)
    top = float(np.percentile(positions[:, 2], 99.5))
    upper = positions[positions[:, 2] > top - 15]
    middle = 0.5 * (upper.min(axis=0) + upper.max(axis=0))
    # 4 mm: the spines stand that much over the plateaus.
    return np.array([middle[0], middle[1], top - 4.0])


def _fitting(shape: KneeShape, labels: Volume, femur: int, patella: npt.NDArray[np.float64] | None) -> KneeShape:
    """The drawn shape with this knee's size and its kneecap's place, so that the tissue around fits.

    Args:
        shape: drawn.
        labels: the map.
        femur: its label.
        patella: its centre in the joint frame, mm; None where the map holds none, and the drawn place stays.
    """
    across = _positions(labels, femur)[:, 0]
    width = float(np.percentile(across, 99.8) - np.percentile(across, 0.2))
    scale = float(np.clip(width / 78.0, 0.8, 1.25))
    shape = replace(shape, scale=scale, flexion=0.0)
    if patella is None:
        return shape
    # Heights are drawn from 28 to 38 mm: of a kneecap 15 mm higher no tendon reached the lower pole.
    return replace(shape, patella_height=float(patella[2]), patella_shift=float(patella[0]) / scale)
