"""The phantom is reproducible, plausible, and right about itself."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.phantom import PhantomStudy, make_study
from OrthoDiffusionLib.phantom.writing import write_study
from OrthoDiffusionLib.volumes.nifti import read_nifti
from OrthoDiffusionLib.volumes.orientation import plane_of
from OrthoDiffusionLib.volumes.resampling import resample_labels_nearest

KNEE = load_joint("knee")
LEFT, RIGHT = 3, 1


@pytest.fixture(scope="module")
def healthy() -> dict[str, PhantomStudy]:
    studies = [make_study(seed, findings={}) for seed in (LEFT, RIGHT)]
    return {study.laterality: study for study in studies}


# ml on the axial grid, the one that always holds the patella; the field of view cuts the long bones.
PLAUSIBLE_ML = {
    "femur": (60, 220),
    "tibia": (50, 200),
    "fibula": (2, 20),
    "patella": (5, 25),
    "cartilage": (10, 45),
    "medial_meniscus": (0.8, 4),
    "lateral_meniscus": (0.6, 4),
    "acl": (0.8, 5),
    "pcl": (1, 6),
    "mcl": (0.8, 5),
    "lcl": (0.3, 2),
}


def test_all_structures_are_there_in_plausible_volumes(healthy: dict[str, PhantomStudy]) -> None:
    assert healthy.keys() == {"left", "right"}
    for study in healthy.values():
        series = study.planes[Plane.AXIAL]
        voxel_ml = abs(np.linalg.det(series.volume.affine[:3, :3])) / 1000
        for structure in KNEE.structures:
            low, high = PLAUSIBLE_ML[structure.key]
            assert low < (series.labels == structure.label).sum() * voxel_ml < high, structure.key


def test_the_fibula_is_lateral(healthy: dict[str, PhantomStudy]) -> None:
    for laterality, study in healthy.items():
        series = study.planes[Plane.AXIAL]
        right = {}
        for key in ("fibula", "tibia"):
            index = np.argwhere(series.labels == KNEE.structure(key).label).mean(axis=0)
            right[key] = (series.volume.affine @ [*index, 1])[0]
        assert (right["fibula"] > right["tibia"]) == (laterality == "right")


def test_planes_agree_about_the_same_place(healthy: dict[str, PhantomStudy]) -> None:
    study = healthy["right"]
    sagittal, coronal = study.planes[Plane.SAGITTAL], study.planes[Plane.CORONAL]
    moved = resample_labels_nearest(
        coronal.labels, coronal.volume.affine, sagittal.volume.affine, sagittal.volume.shape
    )
    femur = KNEE.structure("femur").label
    both = 2 * ((moved == femur) & (sagittal.labels == femur)).sum()
    # 3 to 4 mm slices in both planes keep even a perfect agreement under one.
    assert both / ((moved == femur).sum() + (sagittal.labels == femur).sum()) > 0.85


def test_planes_are_stored_as_dcm2niix_does(healthy: dict[str, PhantomStudy]) -> None:
    for study in healthy.values():
        for plane, series in study.planes.items():
            assert plane_of(series.volume.affine, series.volume.shape) is plane
            assert nibabel.aff2axcodes(series.volume.affine) == plane.network_axcodes


def test_same_seed_same_bytes() -> None:
    first, second = make_study(7), make_study(7)
    assert first.findings == second.findings
    for plane in Plane:
        assert np.array_equal(first.planes[plane].volume.array, second.planes[plane].volume.array)
        assert np.array_equal(first.planes[plane].labels, second.planes[plane].labels)


@pytest.mark.parametrize("finding", [finding.key for finding in KNEE.findings])
def test_each_finding_changes_the_image(healthy: dict[str, PhantomStudy], finding: str) -> None:
    ill = make_study(RIGHT, findings={finding: 0.9})
    changed = 0
    for plane in Plane:
        before = healthy["right"].planes[plane].volume.array.astype(float)
        after = ill.planes[plane].volume.array.astype(float)
        assert before.shape == after.shape
        # 250 of 1000: over eight standard deviations of the noise.
        changed += int((np.abs(after / after.mean() - before / before.mean()) * before.mean() > 250).sum())
    assert changed > 150


def test_unknown_finding_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown findings: XYZ"):
        make_study(1, findings={"XYZ": 1.0})


def test_written_study_comes_back(healthy: dict[str, PhantomStudy], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("phantom")
    study = healthy["left"]
    write_study(study, folder)
    for plane, series in study.planes.items():
        volume = read_nifti(folder / "study" / f"{plane.value}.nii.gz")
        assert np.array_equal(volume.array, series.volume.array)
        assert np.allclose(volume.affine, series.volume.affine, atol=1e-4)
        assert np.array_equal(read_nifti(folder / "truth" / f"{plane.value}.nii.gz").array, series.labels)
