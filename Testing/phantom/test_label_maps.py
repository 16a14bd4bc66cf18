"""A label map as anatomy: what comes out of the scanner is what the map holds, wherever and however it is stored."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.inference.result_folder import SEGMENTATION_FILE
from OrthoDiffusionLib.phantom import Anatomy, PhantomStudy, scan_anatomy
from OrthoDiffusionLib.phantom.canvas import SPACING
from OrthoDiffusionLib.phantom.label_map_files import CORRECTED, content_name, find_label_maps, read_label_map
from OrthoDiffusionLib.phantom.label_maps import anatomy_from_labels, check_label_map
from OrthoDiffusionLib.phantom.montage import montage
from OrthoDiffusionLib.phantom.tissues import Tissue
from OrthoDiffusionLib.volumes.folder_walk import RESULT_IMAGES, RESULT_MARK
from OrthoDiffusionLib.volumes.segmentation_nrrd import write_segmentation_nrrd
from OrthoDiffusionLib.volumes.volume import Volume
from OrthoDiffusionLib.volumes.writing import write_labels

KNEE = load_joint("knee")


@pytest.fixture(scope="module")
def left_knee(healthy_studies: dict[str, PhantomStudy]) -> PhantomStudy:
    return healthy_studies["left"]


def label_map(study: PhantomStudy, plane: Plane) -> Volume:
    series = study.planes[plane]
    return Volume(series.labels, series.volume.affine)


@pytest.fixture(scope="module")
def high_riding(left_knee: PhantomStudy) -> Volume:
    """A sagittal map, oblique, anisotropic and odd-sized; its kneecap is 15 mm higher than the phantom's own, and its
    upper end cuts the femur's shaft lower than an axial stack does."""
    labels = label_map(left_knee, Plane.SAGITTAL)
    patella = labels.array == KNEE.structure("patella").label
    array = np.where(patella, 0, labels.array)
    up = round(15 / np.linalg.norm(labels.affine[:3, 1]))
    moved = np.roll(patella, up, axis=1) & (array == 0)
    array[moved] = KNEE.structure("patella").label
    return Volume(array[:, : np.argwhere(moved)[:, 1].max() + 3], labels.affine)


@pytest.fixture(scope="module")
def made(high_riding: Volume) -> Anatomy:
    return anatomy_from_labels(high_riding, seed=1)


@pytest.fixture(scope="module")
def scanned(made: Anatomy) -> PhantomStudy:
    # Of this seed the axial stack reaches 77 mm over the joint line; the map cuts the femur at 68 to 71 mm.
    return scan_anatomy(made, seed=14)


def test_a_label_map_becomes_the_same_joint(high_riding: Volume, made: Anatomy, scanned: PhantomStudy) -> None:
    """Volumes are measured in ml on another grid, and a ligament that is thin for the map's slices loses of its rim."""
    assert made.laterality == "left"
    assert not made.findings
    series = scanned.planes[Plane.SAGITTAL]
    for key, tolerance in (("patella", 0.12), ("pcl", 0.35), ("medial_meniscus", 0.3), ("cartilage", 0.3)):
        label = KNEE.structure(key).label
        before, after = (
            (array == label).sum() * abs(np.linalg.det(affine[:3, :3]))
            for array, affine in ((high_riding.array, high_riding.affine), (series.labels, series.volume.affine))
        )
        assert after == pytest.approx(before, rel=tolerance), key


def test_shafts_go_on_beyond_the_maps_ends(high_riding: Volume, made: Anatomy, scanned: PhantomStudy) -> None:
    femur = KNEE.structure("femur").label
    assert (high_riding.array[:, -1] == femur).any()
    axial = scanned.planes[Plane.AXIAL]
    assert axial.volume.affine[2, 2] > 0
    assert (axial.labels[:, :, -1] == femur).any()
    labels = made.canvas.labels
    # A shaft is 20 to 36 mm thick at the canvas' end, 126 mm over the joint line.
    assert 314 < (labels[:, :, -1] == femur).sum() * SPACING**2 < 1018
    for key in ("tibia", "fibula"):
        assert (labels[:, :, 0] == KNEE.structure(key).label).any(), key


def test_what_a_maps_side_cuts_ends_there(high_riding: Volume, made: Anatomy) -> None:
    femur = KNEE.structure("femur").label
    assert (high_riding.array[:, :, -1] == femur).any()
    across = made.canvas.low[0] + SPACING * np.argwhere((made.canvas.labels == femur).any(axis=(1, 2)))
    assert np.abs(across).max() < 50


def test_the_leg_ends_at_its_skin(made: Anatomy) -> None:
    """On the inner side its fat is some 10 mm thick, nearly the margin in which distances are computed."""
    tissue = made.canvas.tissue
    level = tissue.shape[2] // 2
    # A leg is 100 to 150 mm wide at the joint, the canvas 168 mm.
    assert (tissue[[4, -5], :, level] == Tissue.AIR).all()
    assert (tissue[:, [4, -5], level] == Tissue.AIR).all()


def test_tendons_meet_the_maps_kneecap(made: Anatomy) -> None:
    patella = np.argwhere(made.canvas.labels == KNEE.structure("patella").label)
    for pole, step in ((patella[patella[:, 2].argmin()], -1), (patella[patella[:, 2].argmax()], 1)):
        x, y, z = pole[0], pole[1], pole[2] + 3 * step
        # 9 mm: the tendons run before the poles.
        around = made.canvas.tissue[x - 15 : x + 16, y - 15 : y + 16, z]
        assert (around == Tissue.TENDON).sum() * SPACING**2 > 30


def test_nothing_is_said_of_a_label_maps_findings(
    scanned: PhantomStudy, healthy_studies: dict[str, PhantomStudy]
) -> None:
    assert montage(scanned, columns=1).get_suptitle().endswith(": findings unknown")
    assert montage(healthy_studies["left"], columns=1).get_suptitle().endswith(": healthy")


def test_a_folder_is_searched_for_label_maps(left_knee: PhantomStudy, tmp_path: Path) -> None:
    labels = label_map(left_knee, Plane.AXIAL)
    for name in ("b.nii.gz", "a/seg.nii.gz", "._b.nii.gz", ".trash/c.nii.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_labels(tmp_path / name, labels.array, labels.affine)
    (tmp_path / "notes.txt").write_text("not a map")
    single = tmp_path / "a" / "seg.nii.gz"
    found = find_label_maps([single, tmp_path])
    assert found == [single, single, tmp_path / "b.nii.gz"]
    # Wherever it lies, it is told by what it holds.
    first, second = (read_label_map(path) for path in found[1:])
    assert content_name(first) == content_name(second)
    changed = first.array.copy()
    changed[0, 0, 0] = 1
    assert content_name(Volume(changed, first.affine)) != content_name(first)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".hidden.nii.gz").touch()
    with pytest.raises(OrthoDiffusionError, match="The folder holds no label maps") as refusal:
        find_label_maps([tmp_path / "empty"])
    assert refusal.value.kind is ErrorKind.EMPTY_STUDY


def test_of_a_result_the_segmentation_is_taken(left_knee: PhantomStudy, tmp_path: Path) -> None:
    labels = label_map(left_knee, Plane.AXIAL)
    for name in RESULT_IMAGES:
        (tmp_path / name).touch()
    assert len(find_label_maps([tmp_path])) == len(RESULT_IMAGES)
    (tmp_path / RESULT_MARK).touch()
    assert CORRECTED == SEGMENTATION_FILE
    write_segmentation_nrrd(tmp_path / CORRECTED, labels.array, labels.affine, KNEE.structures, KNEE.region)
    (found,) = find_label_maps([tmp_path])
    np.testing.assert_array_equal(read_label_map(found).array, labels.array)


def test_storage_order_changes_nothing(left_knee: PhantomStudy) -> None:
    labels = label_map(left_knee, Plane.AXIAL)
    flip = np.eye(4)
    flip[0, 0], flip[0, 3] = -1, labels.shape[0] - 1
    swapped = Volume(labels.array[::-1].transpose(1, 0, 2), (labels.affine @ flip)[:, [1, 0, 2, 3]])
    first, second = (anatomy_from_labels(volume, seed=2).canvas for volume in (labels, swapped))
    assert (first.labels == second.labels).mean() > 0.9999


def test_a_side_is_taken_where_the_map_tells_none_and_never_against_it(left_knee: PhantomStudy) -> None:
    labels = label_map(left_knee, Plane.AXIAL)
    with pytest.raises(OrthoDiffusionError, match="is of a left knee, as its structures lie, and not of a right one"):
        check_label_map(labels, "right")
    check_label_map(labels, "left")
    without = Volume(np.where(np.isin(labels.array, (1, 2, 4, 5)), labels.array, 0), labels.affine)
    for side in ("left", "right"):
        check_label_map(without, side)


def test_a_value_of_more_than_16_bits_is_no_label(left_knee: PhantomStudy, tmp_path: Path) -> None:
    """As 16 bits, 65537 is 1, the femur."""
    labels = label_map(left_knee, Plane.AXIAL)
    image = nibabel.Nifti1Image(np.where(labels.array == 1, np.int32(65537), labels.array), labels.affine)
    nibabel.save(image, tmp_path / "map.nii.gz")
    with pytest.raises(OrthoDiffusionError, match="The value 65537 is no label"):
        read_label_map(tmp_path / "map.nii.gz")


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
