"""A label map as anatomy: what comes out of the scanner is what the map holds, wherever and however it is stored."""

from __future__ import annotations

import numpy as np
import pytest

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.phantom import PhantomStudy, scan_anatomy
from OrthoDiffusionLib.phantom.label_maps import anatomy_from_labels
from OrthoDiffusionLib.volumes.volume import Volume

KNEE = load_joint("knee")


@pytest.fixture(scope="module")
def left_knee(healthy_studies: dict[str, PhantomStudy]) -> PhantomStudy:
    return healthy_studies["left"]


def label_map(study: PhantomStudy, plane: Plane) -> Volume:
    series = study.planes[plane]
    return Volume(series.labels, series.volume.affine)


def test_a_label_map_becomes_the_same_joint(left_knee: PhantomStudy) -> None:
    """The map is oblique, anisotropic and odd-sized; volumes are measured in ml on another grid."""
    labels = label_map(left_knee, Plane.SAGITTAL)
    anatomy = anatomy_from_labels(labels, seed=1)
    assert anatomy.laterality == "left"
    assert not anatomy.findings
    scanned = scan_anatomy(anatomy, seed=5).planes[Plane.SAGITTAL]
    for key, tolerance in (("patella", 0.12), ("pcl", 0.25), ("medial_meniscus", 0.3), ("cartilage", 0.3)):
        label = KNEE.structure(key).label
        before, after = (
            (array == label).sum() * abs(np.linalg.det(affine[:3, :3]))
            for array, affine in ((labels.array, labels.affine), (scanned.labels, scanned.volume.affine))
        )
        assert after == pytest.approx(before, rel=tolerance), key


def test_storage_order_changes_nothing(left_knee: PhantomStudy) -> None:
    labels = label_map(left_knee, Plane.AXIAL)
    flip = np.eye(4)
    flip[0, 0], flip[0, 3] = -1, labels.shape[0] - 1
    swapped = Volume(labels.array[::-1].transpose(1, 0, 2), (labels.affine @ flip)[:, [1, 0, 2, 3]])
    first, second = (anatomy_from_labels(volume, seed=2).canvas for volume in (labels, swapped))
    assert (first.labels == second.labels).mean() > 0.9999


@pytest.mark.parametrize(
    ("keep", "sentence"),
    [((1,), "no femur or no tibia"), ((1, 2, 4), "tells a left knee"), ((1, 2, 3, 40), "40 is no label")],
)
def test_a_map_that_is_no_knee_is_refused(left_knee: PhantomStudy, keep: tuple[int, ...], sentence: str) -> None:
    labels = label_map(left_knee, Plane.AXIAL)
    array = np.where(np.isin(labels.array, keep), labels.array, 0)
    array[0, 0, 0] = keep[-1]
    with pytest.raises(OrthoDiffusionError, match=sentence) as refusal:
        anatomy_from_labels(Volume(array, labels.affine), seed=0)
    assert refusal.value.kind is ErrorKind.BAD_LABEL_MAP
