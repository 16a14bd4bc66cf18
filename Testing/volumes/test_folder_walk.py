"""What a walk through a study's folder takes for images of the study."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.inference.result_folder import RESULT_FILE, _result_names
from OrthoDiffusionLib.volumes.folder_walk import RESULT_IMAGES, RESULT_MARK
from OrthoDiffusionLib.volumes.reading import read_series, survey_series

VOXELS = np.random.default_rng(0).integers(0, 3000, (6, 7, 8)).astype(np.int16)


def save(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.endswith(".nrrd"):
        sitk.WriteImage(sitk.GetImageFromArray(VOXELS.transpose(2, 1, 0)), str(path))
    else:
        nibabel.save(nibabel.Nifti1Image(VOXELS, np.diag([2.0, 2.0, 3.0, 1.0])), path)
    return path


def found(folder: Path) -> list[str]:
    return [volume.source.name for volume in survey_series(folder).volumes]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    save(tmp_path / "study" / "knee.nii.gz")
    return tmp_path / "study"


@pytest.mark.parametrize("place", [".", "result", "result/of the first run"])
def test_an_earlier_result_is_no_series(study: Path, place: str) -> None:
    for name in RESULT_IMAGES:
        save(study / place / name)
    (study / place / RESULT_MARK).write_text("{}")
    (study / place / "findings.tsv").write_text("finding\n")
    assert found(study) == ["knee.nii.gz"]


def test_only_the_results_own_names_are_passed_over_and_only_beside_its_mark(study: Path) -> None:
    save(study / "labels_axial.nii.gz")
    save(study / "result" / "labels_axial.nii.gz")
    save(study / "result" / "other.nii.gz")
    (study / "result" / RESULT_MARK).write_text("{}")
    assert found(study) == ["knee.nii.gz", "labels_axial.nii.gz", "other.nii.gz"]


def test_files_of_a_result_that_a_person_names_are_read(tmp_path: Path) -> None:
    (tmp_path / RESULT_MARK).write_text("{}")
    for name in ("labels_axial.nii.gz", "segmentation.seg.nrrd"):
        np.testing.assert_array_equal(read_series(save(tmp_path / name))[0].array, VOXELS)


def test_segmentations_of_slicer_are_no_series_wherever_they_lie(study: Path) -> None:
    save(study / "Knee.seg.nrrd")
    (study / "Knee.seg.nrrd").rename(study / "Knee.SEG.NRRD")
    save(study / "sub" / "Segmentation.seg.nrrd")
    save(study / "sub" / "scan.nrrd")
    assert found(study) == ["knee.nii.gz", "scan.nrrd"]


def test_hidden_folders_are_not_walked_but_one_may_be_chosen(study: Path) -> None:
    hidden = study / ".orthodiffusion-12-abc"
    save(hidden / "deeper" / "confidence_axial.nii.gz")
    save(hidden / "scan.nii.gz")
    assert found(study) == ["knee.nii.gz"]
    assert found(hidden) == ["scan.nii.gz", "confidence_axial.nii.gz"]


def test_a_subfolder_that_may_not_be_listed_is_named(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(study / "lost+found" / "other.nii.gz")
    closed, scandir = study / "lost+found", os.scandir

    def guarded(path: Any) -> Any:
        # Rights do not stop an administrator, as whom these tests may run.
        if Path(path) == closed:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    survey = survey_series(study)
    assert [volume.source.name for volume in survey.volumes] == ["knee.nii.gz"]
    assert [refusal.name for refusal in survey.refusals] == ["lost+found"]
    with pytest.raises(OrthoDiffusionError) as caught:
        survey_series(closed)
    assert caught.value.kind is ErrorKind.UNREADABLE_FILE


def test_a_disk_that_fills_while_a_zip_is_unpacked(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = Path(shutil.make_archive(str(study.parent / "packed"), "zip", study))

    def fill(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", fill)
    with pytest.raises(OrthoDiffusionError) as caught:
        survey_series(packed)
    assert caught.value.kind is ErrorKind.DISK_FULL


def test_a_folder_with_nothing_but_a_result_is_empty(tmp_path: Path) -> None:
    save(tmp_path / "labels_axial.nii.gz")
    (tmp_path / RESULT_MARK).write_text("{}")
    with pytest.raises(OrthoDiffusionError) as caught:
        survey_series(tmp_path)
    assert caught.value.kind is ErrorKind.EMPTY_STUDY


def test_the_names_are_those_that_results_are_written_under() -> None:
    assert {name for name in _result_names() if name.endswith((".nii.gz", ".nrrd"))} == RESULT_IMAGES
    assert RESULT_FILE == RESULT_MARK


@pytest.mark.skipif(os.name == "nt", reason="names are always Unicode on Windows")
def test_names_that_are_not_utf8_become_names_that_can_be_written(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path)
    for suffix in (".nii.gz", ".nrrd"):
        try:
            os.rename(save(tmp_path / f"scan{suffix}"), folder + b"/Kn\xe9e" + suffix.encode())
        except OSError:
            pytest.skip("the file system takes no such names")
    (tmp_path / os.fsdecode(b"bad\xff.nii")).write_bytes(b"no image")
    survey = survey_series(tmp_path)
    assert [volume.source.name for volume in survey.volumes] == ["Kn?e.nii.gz"]
    refused = {refusal.name: refusal.error for refusal in survey.refusals}
    assert set(refused) == {"Kn?e.nrrd", "bad?.nii"}
    # SimpleITK would end the process.
    assert refused["Kn?e.nrrd"].kind is ErrorKind.UNREADABLE_FILE and "name" in refused["Kn?e.nrrd"].sentence
    for text in (*refused, *(error.sentence for error in refused.values())):
        text.encode("utf-8")
