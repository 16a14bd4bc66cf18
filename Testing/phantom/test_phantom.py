"""The phantom is reproducible, plausible, and right about itself."""

from __future__ import annotations

import itertools
import json

import nibabel
import numpy as np
import pytest

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.phantom import Anatomy, PhantomStudy, make_anatomy, make_study, scan_anatomy
from OrthoDiffusionLib.phantom.writing import write_study
from OrthoDiffusionLib.resources import resources_folder
from OrthoDiffusionLib.volumes.nifti import read_nifti
from OrthoDiffusionLib.volumes.orientation import plane_of

KNEE = load_joint("knee")
LEFT, RIGHT = 3, 1


@pytest.fixture
def healthy(healthy_studies: dict[str, PhantomStudy]) -> dict[str, PhantomStudy]:
    return healthy_studies


SEVERE = {finding.key: 0.9 for finding in KNEE.findings}


@pytest.fixture(scope="module")
def ill() -> PhantomStudy:
    return make_study(RIGHT, findings=SEVERE)


# ml on the axial grid, the one that always holds the patella; the field of view cuts the long bones.
PLAUSIBLE_ML = {
    "femur": (60, 260),
    "tibia": (40, 220),
    "fibula": (0.5, 22),
    "patella": (8, 38),
    "cartilage": (10, 45),
    "medial_meniscus": (1.5, 5),
    "lateral_meniscus": (1.2, 4.5),
    "acl": (0.8, 5),
    "pcl": (1, 4.5),
    "mcl": (0.8, 5),
    "lcl": (0.3, 1.5),
}


def test_all_structures_are_there_in_plausible_volumes(healthy: dict[str, PhantomStudy]) -> None:
    assert healthy.keys() == {"left", "right"}
    for study in healthy.values():
        series = study.planes[Plane.AXIAL]
        voxel_ml = abs(np.linalg.det(series.volume.affine[:3, :3])) / 1000
        for structure in KNEE.structures:
            low, high = PLAUSIBLE_ML[structure.key]
            assert low < (series.labels == structure.label).sum() * voxel_ml < high, structure.key


def right_of(study: PhantomStudy, plane: Plane, key: str) -> float:
    """RAS x of a structure's centre, mm."""
    series = study.planes[plane]
    index = np.argwhere(series.labels == KNEE.structure(key).label).mean(axis=0)
    return float((series.volume.affine @ [*index, 1])[0])


def test_the_lateral_structures_are_lateral(healthy: dict[str, PhantomStudy]) -> None:
    for laterality, study in healthy.items():
        lateral = 1 if laterality == "right" else -1
        for plane in (Plane.AXIAL, Plane.CORONAL):
            middle = right_of(study, plane, "tibia")
            for key in ("fibula", "lcl", "lateral_meniscus"):
                assert lateral * (right_of(study, plane, key) - middle) > 10, key
            for key in ("mcl", "medial_meniscus"):
                assert lateral * (right_of(study, plane, key) - middle) < -10, key


@pytest.mark.parametrize("laterality", ["left", "right"])
def test_planes_agree_about_the_same_place(healthy: dict[str, PhantomStudy], laterality: str) -> None:
    planes = healthy[laterality].planes
    for first, second in itertools.combinations(Plane, 2):
        here, there = planes[first], planes[second]
        index = np.indices(here.labels.shape).reshape(3, -1)
        carry = np.linalg.inv(there.volume.affine) @ here.volume.affine
        exact = carry[:3, :3] @ index + carry[:3, 3:]
        nearest = np.rint(exact).astype(int)
        apart = np.linalg.norm(there.volume.affine[:3, :3] @ (exact - nearest), axis=0)
        inside = np.all((nearest >= 0) & (nearest < np.array(there.labels.shape)[:, None]), axis=0)
        # Only voxel centres that meet within half a millimetre speak of the same place.
        same = inside & (apart < 0.5)
        ours, theirs = here.labels.reshape(-1)[same], there.labels[tuple(nearest[:, same])]
        assert len(ours) > 10000
        structures = (ours > 0) | (theirs > 0)
        assert (ours == theirs)[structures].mean() > 0.93


def test_planes_are_stored_as_dcm2niix_does(healthy: dict[str, PhantomStudy]) -> None:
    for study in healthy.values():
        for plane, series in study.planes.items():
            assert plane_of(series.volume.affine, series.volume.shape) is plane
            assert nibabel.aff2axcodes(series.volume.affine) == plane.network_axcodes


def test_same_seed_same_bytes(ill: PhantomStudy) -> None:
    first, second = ill, make_study(RIGHT, findings=SEVERE)
    assert first.findings == second.findings
    for plane in Plane:
        assert np.array_equal(first.planes[plane].volume.array, second.planes[plane].volume.array)
        assert np.array_equal(first.planes[plane].labels, second.planes[plane].labels)


def test_findings_change_the_image(healthy: dict[str, PhantomStudy], ill: PhantomStudy) -> None:
    for plane in Plane:
        before = healthy["right"].planes[plane].volume.array.astype(float)
        after = ill.planes[plane].volume.array.astype(float)
        assert before.shape == after.shape
        # A quarter of the brightest grey: over three standard deviations of the noise at a signal to noise of 14.
        brightest = np.percentile(before, 99)
        changed = np.abs(after / after.mean() - before / before.mean()) * before.mean() > 0.25 * brightest
        assert changed.sum() > 1000


def test_unknown_words_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown findings: XYZ"):
        make_study(1, findings={"XYZ": 1.0})
    with pytest.raises(ValueError, match="no phantom of the elbow"):
        make_study(1, joint="elbow")
    with pytest.raises(ValueError, match="unknown centre moon"):
        make_study(1, centre="moon")


def test_a_random_contrast_has_nothing_of_a_centre(healthy_anatomies: dict[str, Anatomy]) -> None:
    with pytest.raises(ValueError, match="nothing of a centre, and hill is asked for"):
        scan_anatomy(healthy_anatomies["right"], 1, centre="hill", contrast="random")


def test_another_scan_of_the_same_joint_shows_the_same_structures(
    healthy: dict[str, PhantomStudy], healthy_anatomies: dict[str, Anatomy]
) -> None:
    anatomy = healthy_anatomies["right"]
    volumes = []
    for study in (healthy["right"], scan_anatomy(anatomy, 12, contrast="random")):
        series = study.planes[Plane.AXIAL]
        voxel_ml = abs(np.linalg.det(series.volume.affine[:3, :3])) / 1000
        volumes.append((series.labels == KNEE.structure("patella").label).sum() * voxel_ml)
        assert study.findings == anatomy.findings
    assert volumes[0] == pytest.approx(volumes[1], rel=0.15)


def test_written_study_comes_back(healthy: dict[str, PhantomStudy], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("phantom")
    study = healthy["left"]
    write_study(study, folder)
    for plane, series in study.planes.items():
        volume = read_nifti(folder / "study" / f"{plane.value}.nii.gz")
        assert np.array_equal(volume.array, series.volume.array)
        assert np.allclose(volume.affine, series.volume.affine, atol=1e-4)
        assert np.array_equal(read_nifti(folder / "truth" / f"{plane.value}.nii.gz").array, series.labels)
    truth = json.loads((folder / "truth" / "truth.json").read_text(encoding="utf-8"))
    assert truth["seed"] == LEFT
    assert truth["laterality"] == "left"
    assert truth["sex"] == study.sex
    assert truth["centre"] == study.centre
    assert truth["findings"] == dict(study.findings)
    assert truth["contrasts"] == {plane.value: series.contrast for plane, series in study.planes.items()}


def test_a_knees_sex_is_the_one_that_its_sizes_were_drawn_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("OrthoDiffusionLib.phantom.joint_models.knee.paint_knee", lambda shape, *_: shape)
    drawn = [make_anatomy(seed, findings={}) for seed in range(40)]
    scales = {sex: [anatomy.canvas.scale for anatomy in drawn if anatomy.sex == sex] for sex in ("female", "male")}
    assert sum(map(len, scales.values())) == len(drawn)
    # Women's condyles are 70 to 80 mm wide and men's 79 to 89, of 78 at scale 1.
    assert min(scales["female"]) > 0.89 and max(scales["female"]) < 1.04
    assert min(scales["male"]) > 1.0 and max(scales["male"]) < 1.15


def test_the_sample_study_is_what_its_seed_makes() -> None:
    """A phantom that changes leaves the sample study, and the model trained on phantoms, behind: make both again."""
    sample = resources_folder() / "SampleData" / "knee-phantom"
    truth = json.loads((sample / "truth" / "truth.json").read_text(encoding="utf-8"))
    study = make_study(truth["seed"], centre=truth["centre"])
    assert study.laterality == truth["laterality"]
    assert dict(study.findings) == truth["findings"]
    for plane, series in study.planes.items():
        image = read_nifti(sample / "study" / f"{plane.value}.nii.gz").array.astype(int)
        labels = read_nifti(sample / "truth" / f"{plane.value}.nii.gz").array
        # Another processor may round the last bit otherwise, and a voxel at a border with it.
        assert (np.abs(image - series.volume.array) <= 2).mean() > 0.999
        assert (labels == series.labels).mean() > 0.999
