"""From the files that were named to a study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from dicom_files import write_series
from pydicom.uid import generate_uid
from tiny_dataset import SHAPE, affine_of

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.inference.request import StudyRequest
from OrthoDiffusionLib.inference.study import Study, assemble_study
from OrthoDiffusionLib.volumes.volume import Volume


def save(path: Path, plane: Plane, nowhere: bool = False) -> None:
    array = np.random.default_rng(plane.pose_id).normal(100, 10, SHAPE).astype(np.float32)
    raw = bytearray(nibabel.Nifti1Image(array, affine_of(plane, (5.0, 5.0, 7.5))).to_bytes())
    header = nibabel.Nifti1Header(bytes(raw[:348]))
    if nowhere:
        header["srow_x"] = np.nan
    raw[:348] = header.binaryblock
    path.write_bytes(raw)


def test_a_named_folder_may_hold_a_volume_that_lies_nowhere(tmp_path: Path) -> None:
    save(tmp_path / "nowhere.nii", Plane.AXIAL, nowhere=True)
    save(tmp_path / "axial.nii", Plane.AXIAL)
    request = StudyRequest(tmp_path / "out", series={Plane.AXIAL: tmp_path})
    study = assemble_study(request)
    assert study.series[Plane.AXIAL].volume.source.name == "axial.nii"
    assert [warning for warning in study.warnings if "nowhere.nii" in warning] == list(study.warnings[:1])
    save(tmp_path / "axial.nii", Plane.SAGITTAL)
    with pytest.raises(OrthoDiffusionError) as caught:
        assemble_study(request)
    assert caught.value.kind is ErrorKind.BAD_AFFINE


def write_stack(folder: Path, plane: Plane, slices: int = 6, seed: int = 0, **elements: Any) -> None:
    """A DICOM series around the origin; `SeriesNumber` gives it its name, “MR series 3” without."""
    spacing, shape = (3.0, 3.0, 60 / slices), (20, 20, slices)
    affine = affine_of(plane, spacing)
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    array = np.random.default_rng([plane.pose_id, seed]).integers(0, 3000, shape).astype(np.int16)
    write_series(folder, Volume(array, affine), **elements)


def sorted_study(*paths: Path, **named: Path) -> Study:
    return assemble_study(
        StudyRequest(Path("out"), paths=paths, series={Plane(plane): path for plane, path in named.items()})
    )


def names(study: Study) -> dict[str, str]:
    return {plane.value: series.volume.source.name for plane, series in study.series.items()}


def refusal(*paths: Path, **named: Path) -> OrthoDiffusionError:
    with pytest.raises(OrthoDiffusionError) as caught:
        sorted_study(*paths, **named)
    return caught.value


def two_visits(folder: Path) -> None:
    """Of the first an axial series of many slices, of the second an axial and a coronal one."""
    write_stack(folder / "a", Plane.AXIAL, slices=12, StudyInstanceUID="1.2.1", SeriesNumber=2)
    write_stack(folder / "b", Plane.AXIAL, seed=1, StudyInstanceUID="1.2.2", SeriesNumber=4)
    write_stack(folder / "c", Plane.CORONAL, StudyInstanceUID="1.2.2", SeriesNumber=5)


def test_visits_are_not_mixed(tmp_path: Path) -> None:
    two_visits(tmp_path)
    study = sorted_study(tmp_path)
    assert names(study) == {"axial": "MR series 4", "coronal": "MR series 5"}
    (warning,) = study.warnings
    assert warning.startswith("“MR series 2” of another visit was left out: only one visit")
    assert "1.2." not in warning


def test_among_visits_of_as_many_planes_the_one_with_most_slices_is_kept(tmp_path: Path) -> None:
    write_stack(tmp_path / "a", Plane.AXIAL, slices=6, StudyInstanceUID="1.2.1", SeriesNumber=2)
    write_stack(tmp_path / "b", Plane.CORONAL, slices=12, StudyInstanceUID="1.2.2", SeriesNumber=3)
    assert names(sorted_study(tmp_path)) == {"coronal": "MR series 3"}


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_the_choice_of_a_visit_does_not_hang_on_names_of_files(tmp_path: Path, order: str) -> None:
    write_stack(tmp_path / order[0], Plane.AXIAL, StudyInstanceUID="1.2.1", SeriesNumber=2)
    write_stack(tmp_path / order[1], Plane.CORONAL, StudyInstanceUID="1.2.2", SeriesNumber=3)
    assert names(sorted_study(tmp_path)) == {"axial": "MR series 2"}


def test_series_of_one_name_of_several_visits_make_one_sentence(tmp_path: Path) -> None:
    write_stack(tmp_path / "a", Plane.AXIAL, slices=12, StudyInstanceUID="1.2.1")
    for number in (2, 3):
        write_stack(tmp_path / str(number), Plane.AXIAL, seed=number, StudyInstanceUID=f"1.2.{number}")
    (warning,) = sorted_study(tmp_path).warnings
    assert warning.startswith("“MR series 3” (2) of other visits were left out: only one visit")


def test_the_visit_of_a_named_series_comes_first(tmp_path: Path) -> None:
    two_visits(tmp_path)
    write_stack(tmp_path / "named", Plane.SAGITTAL, StudyInstanceUID="1.2.1", SeriesNumber=9)
    study = sorted_study(tmp_path / "a", tmp_path / "b", tmp_path / "c", sagittal=tmp_path / "named")
    assert names(study) == {"axial": "MR series 2", "sagittal": "MR series 9"}
    (warning,) = study.warnings
    assert warning.startswith("“MR series 4” and “MR series 5” of another visit were left out")


def test_named_series_of_several_visits_are_taken_with_a_warning(tmp_path: Path) -> None:
    two_visits(tmp_path)
    study = sorted_study(tmp_path / "c", axial=tmp_path / "a")
    assert names(study) == {"axial": "MR series 2", "coronal": "MR series 5"}
    assert study.warnings == sorted_study(axial=tmp_path / "a", coronal=tmp_path / "c").warnings
    assert "several DICOM studies" in study.warnings[0]


def test_series_without_a_study_stay_beside_a_visit(tmp_path: Path) -> None:
    two_visits(tmp_path)
    save(tmp_path / "sagittal.nii", Plane.SAGITTAL)
    assert names(sorted_study(tmp_path)) == {
        "axial": "MR series 4", "sagittal": "sagittal.nii", "coronal": "MR series 5"
    }  # fmt: skip


def test_two_patients_are_refused_before_a_visit_is_chosen(tmp_path: Path) -> None:
    two_visits(tmp_path)
    write_stack(tmp_path / "d", Plane.SAGITTAL, StudyInstanceUID="1.2.3", PatientID="4712")
    assert refusal(tmp_path).kind is ErrorKind.DIFFERENT_PATIENTS


def write_localizer(folder: Path) -> None:
    uid = generate_uid()
    for plane in Plane:
        write_stack(folder / plane.value, plane, SeriesInstanceUID=uid, SeriesNumber=1)


def test_a_localizer_stands_for_no_plane_unless_it_is_named(tmp_path: Path) -> None:
    write_localizer(tmp_path / "localizer")
    write_stack(tmp_path / "axial", Plane.AXIAL, seed=1)
    study = sorted_study(tmp_path)
    assert names(study) == {"axial": "MR series 3"}
    assert study.warnings == (
        "“MR series 1 part 1”, “MR series 1 part 2” and “MR series 1 part 3” were left out: The series holds slices of"
        " several planes, as a localizer does.",
    )
    assert refusal(tmp_path / "localizer").kind is ErrorKind.MIXED_ORIENTATIONS
    named = sorted_study(tmp_path / "axial", coronal=tmp_path / "localizer")
    assert set(names(named)) == {"axial", "coronal"} and not named.warnings


def test_other_modalities_are_left_out_or_refused(tmp_path: Path) -> None:
    write_stack(tmp_path / "ct", Plane.SAGITTAL, Modality="CT", SeriesNumber=7)
    write_stack(tmp_path / "mr", Plane.AXIAL)
    study = sorted_study(tmp_path)
    assert names(study) == {"axial": "MR series 3"}
    assert study.warnings == ("“CT series 7” was left out: The series is CT, not MR.",)
    for error in (refusal(tmp_path / "ct"), refusal(tmp_path / "mr", sagittal=tmp_path / "ct")):
        assert error.sentence == "The series is CT, not MR."
    assert refusal(sagittal=tmp_path).sentence == "The series is CT, not MR."
    write_stack(tmp_path / "sagittal", Plane.SAGITTAL, SeriesNumber=8)
    assert names(sorted_study(sagittal=tmp_path)) == {"sagittal": "MR series 8"}


def test_a_reason_is_said_once_for_all_files_it_holds_for(tmp_path: Path) -> None:
    write_stack(tmp_path / "mr", Plane.AXIAL)
    write_stack(tmp_path / "screenshots", Plane.AXIAL, slices=10, ImagePositionPatient=None)
    (warning,) = sorted_study(tmp_path).warnings
    assert warning == "“DICOM file” (10) were left out: A DICOM image does not say how it lies in the patient."


def test_two_series_of_one_plane_and_name(tmp_path: Path) -> None:
    write_stack(tmp_path / "a", Plane.AXIAL)
    write_stack(tmp_path / "b", Plane.AXIAL, slices=12, seed=1)
    assert sorted_study(tmp_path).warnings == (
        "Two axial series were given; both are called “MR series 3”, and the one with 12 slices was assessed.",
    )
