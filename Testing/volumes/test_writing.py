from __future__ import annotations

import os
from pathlib import Path

import nibabel
import numpy as np
import pytest
from dicom_files import oblique_volume

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.volumes.reading import read_series
from OrthoDiffusionLib.volumes.volume import SeriesSource, Volume
from OrthoDiffusionLib.volumes.writing import write_labels, write_volume


def test_labels_come_back_on_the_same_grid(tmp_path: Path) -> None:
    volume = oblique_volume((31, 30, 9))
    labels = np.random.default_rng(0).integers(-1, 12, volume.shape)
    path = tmp_path / "labels.nii.gz"
    write_labels(path, labels, volume.affine)
    (read,) = read_series(path)
    assert read.array.dtype == np.int16
    np.testing.assert_array_equal(read.array, labels)
    np.testing.assert_array_equal(read.affine, volume.affine.astype(np.float32))
    header = nibabel.load(path).header
    assert header["sform_code"] == header["qform_code"] == 1
    np.testing.assert_allclose(header.get_qform(), volume.affine, atol=1e-4)
    assert [file.name for file in tmp_path.iterdir()] == ["labels.nii.gz"]


def test_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    volume = oblique_volume()
    write_labels(tmp_path / "a.nii.gz", volume.array, volume.affine)
    write_labels(tmp_path / "b.nii.gz", volume.array, volume.affine)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_nothing_of_the_source_is_written(tmp_path: Path) -> None:
    volume = oblique_volume()
    write_volume(tmp_path / "a.nii", Volume(volume.array, volume.affine, SeriesSource("Doe Jane.nii", "1.2.3.4")))
    assert b"Doe" not in (tmp_path / "a.nii").read_bytes()
    np.testing.assert_array_equal(read_series(tmp_path / "a.nii")[0].array, volume.array)


@pytest.mark.skipif(os.name != "posix", reason="rights as POSIX has them")
def test_others_may_read_what_the_umask_lets_them(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_labels(tmp_path / "labels.nii.gz", np.zeros((2, 3, 4)), np.eye(4))
    finally:
        os.umask(before)
    assert (tmp_path / "labels.nii.gz").stat().st_mode & 0o777 == 0o640


def test_labels_beyond_int16_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        write_labels(tmp_path / "a.nii", np.full((4, 4, 4), 40000), np.eye(4))


@pytest.mark.parametrize("parent", ["missing", "file"])
def test_missing_folder_is_said(tmp_path: Path, parent: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OrthoDiffusionError) as caught:
        write_labels(tmp_path / parent / "a.nii.gz", np.zeros((4, 4, 4)), np.eye(4))
    assert caught.value.kind is ErrorKind.OUTPUT_NOT_WRITABLE
