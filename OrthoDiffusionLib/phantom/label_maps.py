"""Label maps of real knees as anatomy: a hospital can train on its masks without its images.

Structures come from the map; skin, fat, muscles and fluid around them are the phantom's own, and every draw bends the
whole a little, so that one map gives many joints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt, map_coordinates

from OrthoDiffusionLib.anatomy import Joint, load_joint
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas, Region
from OrthoDiffusionLib.phantom.distances import Field, Points
from OrthoDiffusionLib.phantom.knee import CORTEX, HIGH, LOW
from OrthoDiffusionLib.phantom.knee_fluid import paint_capsule, paint_fluid
from OrthoDiffusionLib.phantom.knee_shape import KneeShape, draw_shape
from OrthoDiffusionLib.phantom.knee_soft_tissue import paint_soft_tissue
from OrthoDiffusionLib.phantom.study import Anatomy
from OrthoDiffusionLib.phantom.tissues import Tissue
from OrthoDiffusionLib.volumes.reading import read_series
from OrthoDiffusionLib.volumes.volume import Volume

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

MARGIN = 12.0
"""mm around a structure in which its distance is computed; further away it is taken to be this."""


def read_label_map(path: Path) -> Volume:
    """A label map from a file.

    Raises:
        OrthoDiffusionError: BAD_LABEL_MAP for values that are no whole numbers; what reading a series raises.
    """
    volumes = read_series(path)
    if len(volumes) != 1:
        raise _unusable("The file holds several volumes.")
    volume = volumes[0]
    if not np.array_equal(volume.array, np.rint(volume.array)):
        raise _unusable("The volume holds values that are no labels.")
    return Volume(volume.array.astype(np.int16), volume.affine, volume.source)


def anatomy_from_labels(labels: Volume, seed: int) -> Anatomy:
    """A joint whose structures are those of a label map.

    The map's structures are interpolated by their signed distances, so that thick slices leave no steps.

    Args:
        labels: integers (i, j, k) with the knee's structure labels, on any grid; -1 counts as background. It must hold
            femur and tibia, and tell the side by fibula, menisci or collateral ligaments.
        seed: of the bending and of the tissue around.

    Returns:
        an anatomy without findings: a label map says nothing about them.

    Raises:
        OrthoDiffusionError: BAD_LABEL_MAP, when femur or tibia is missing, when a value is no label of the knee, or
            when nothing tells left from right.
    """
    joint = load_joint("knee")
    known = {structure.key: structure.label for structure in joint.structures}
    if strangers := set(np.unique(labels.array).astype(int).tolist()) - {-1, 0, *known.values()}:
        raise _unusable(f"The value {min(strangers)} is no label of the knee.")
    present = {key: label for key, label in known.items() if (labels.array == label).any()}
    if not {"femur", "tibia"} <= present.keys():
        raise _unusable("The label map has no femur or no tibia.")
    centres = {key: _centre(labels, label) for key, label in present.items()}
    laterality = _laterality(centres)
    from_joint = np.eye(4)
    from_joint[:3, 3] = _origin(labels, present["tibia"])
    if laterality == "left":
        from_joint[0, 0] = -1
    generator = np.random.Generator(np.random.PCG64(seed))
    shape = _fitting(draw_shape(generator), labels, present, from_joint)
    canvas = AnatomyCanvas(LOW, HIGH, shape.describe, shape.scale)
    region = canvas.everywhere()
    distances = {
        key: _distance(labels, label, np.linalg.inv(labels.affine) @ from_joint, region.points, shape.scale)
        for key, label in present.items()
    }
    _paint(canvas, region, shape, distances, joint, generator)
    canvas.close_sides()
    return Anatomy("knee", canvas, {}, laterality, seed)


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
        fine = region.fine(distance * canvas.scale)
        inside = (fine < 0) & ~canvas.labelled(region)
        canvas.paint(region, inside, TISSUES.get(key, Tissue.CORTEX), joint.structure(key).label)
        if key not in TISSUES:
            canvas.paint(region, inside & (fine < -CORTEX[key]), Tissue.MARROW)


def _distance(labels: Volume, label: int, to_index: npt.NDArray[np.float64], points: Points, scale: float) -> Field:
    """Signed distance (in standard mm, negative inside) of a structure at points of the standard joint."""
    mask = labels.array == label
    spacing = np.linalg.norm(labels.affine[:3, :3], axis=0)
    beyond = np.ceil(MARGIN / spacing).astype(int)
    found = np.argwhere(mask)
    low = np.maximum(found.min(axis=0) - beyond, 0)
    high = np.minimum(found.max(axis=0) + beyond + 1, mask.shape)
    part = mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    # Half a voxel: the border lies between a voxel that is inside and one that is not.
    outside = distance_transform_edt(~part, sampling=spacing) - 0.5 * spacing.min()
    inside = distance_transform_edt(np.pad(part, 1), sampling=spacing)[1:-1, 1:-1, 1:-1] - 0.5 * spacing.min()
    signed = np.where(part, -inside, outside).astype(np.float32)
    index = [
        sum(to_index[axis, other] * scale * points[other] for other in range(3)) + to_index[axis, 3] - low[axis]
        for axis in range(3)
    ]
    sampled = map_coordinates(signed, index, order=1, mode="constant", cval=MARGIN)
    return np.asarray(sampled / scale, np.float32)


def _centre(labels: Volume, label: int) -> npt.NDArray[np.float64]:
    index = np.argwhere(labels.array == label).mean(axis=0)
    return np.asarray((labels.affine @ [*index, 1])[:3])


def _positions(labels: Volume, label: int) -> npt.NDArray[np.float64]:
    index = np.argwhere(labels.array == label)
    return np.asarray(index @ labels.affine[:3, :3].T + labels.affine[:3, 3])


def _laterality(centres: Mapping[str, npt.NDArray[np.float64]]) -> str:
    """RAS x grows to the person's right: there lies the lateral side of a right knee."""
    pairs = (("fibula", "tibia"), ("lateral_meniscus", "medial_meniscus"), ("lcl", "tibia"), ("tibia", "mcl"))
    for lateral, medial in pairs:
        if lateral in centres and medial in centres:
            return "right" if centres[lateral][0] > centres[medial][0] else "left"
    raise _unusable("Nothing in the label map tells a left knee from a right one.")


def _origin(labels: Volume, tibia: int) -> npt.NDArray[np.float64]:
    """RAS position between the plateaus: over the middle of the tibia's uppermost 15 mm."""
    positions = _positions(labels, tibia)
    top = float(np.percentile(positions[:, 2], 99.5))
    upper = positions[positions[:, 2] > top - 15]
    middle = 0.5 * (upper.min(axis=0) + upper.max(axis=0))
    # 4 mm: the spines stand that much over the plateaus.
    return np.array([middle[0], middle[1], top - 4.0])


def _fitting(
    shape: KneeShape, labels: Volume, present: Mapping[str, int], from_joint: npt.NDArray[np.float64]
) -> KneeShape:
    """The drawn shape with this knee's size, so that the tissue around fits."""
    across = _positions(labels, present["femur"])[:, 0]
    width = float(np.percentile(across, 99.8) - np.percentile(across, 0.2))
    return replace(shape, scale=float(np.clip(width / 78.0, 0.8, 1.25)), flexion=0.0)


def _unusable(sentence: str) -> OrthoDiffusionError:
    return OrthoDiffusionError(
        ErrorKind.BAD_LABEL_MAP,
        sentence,
        "Give a label map of a knee with this extension's labels: 1 femur, 2 tibia, and so on.",
    )
