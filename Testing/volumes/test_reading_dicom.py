from __future__ import annotations

import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import oblique_volume, slice_dataset, write_enhanced, write_series
from pydicom.uid import generate_uid
from tiny_dataset import affine_of

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.volumes.checks import check_volume
from OrthoDiffusionLib.volumes.orientation import is_nearly_isotropic, plane_of
from OrthoDiffusionLib.volumes.reading import read_series, survey_series
from OrthoDiffusionLib.volumes.storage_order import stored_as
from OrthoDiffusionLib.volumes.volume import Volume

REAL_KNEE = Path(__file__).parents[3] / "shared" / "data" / "knee_dess_sagittal_dicom.zip"


def refusal(path: Path) -> OrthoDiffusionError:
    with pytest.raises(OrthoDiffusionError) as caught:
        for volume in read_series(path):
            check_volume(volume)
    return caught.value


def assert_same(read: Volume, written: Volume) -> None:
    np.testing.assert_array_equal(read.array, written.array)
    np.testing.assert_allclose(read.affine, written.affine, atol=2e-5)


@pytest.mark.parametrize("compression", ["none", "RLE", "JPEG", "JPEG2000"])
def test_voxels_and_geometry_come_back(tmp_path: Path, compression: str) -> None:
    volume = oblique_volume()
    write_series(tmp_path, volume, compression)
    (read,) = read_series(tmp_path)
    assert_same(read, volume)
    assert read.source.name == "MR series 3"
    assert read.source.patient_key not in (None, "4711")


def test_negative_stored_values_survive_compression(tmp_path: Path) -> None:
    volume = oblique_volume()
    signed = Volume((volume.array - 1500).astype(np.int16), volume.affine)
    write_series(tmp_path, signed, "JPEG", RescaleSlope="2", RescaleIntercept="-10")
    (read,) = read_series(tmp_path)
    np.testing.assert_allclose(read.array, signed.array * 2.0 - 10.0)


@pytest.mark.parametrize("compression", ["none", "RLE", "JPEG", "JPEG2000"])
@pytest.mark.parametrize(("signed", "highest"), [(1, -1), (0, 4095)])
def test_images_that_call_the_lowest_value_white_are_turned_over(
    tmp_path: Path, compression: str, signed: int, highest: int
) -> None:
    volume = oblique_volume((8, 9, 5))
    turned = Volume((highest - volume.array).astype(np.int16), volume.affine)
    form = {"PhotometricInterpretation": "MONOCHROME1", "PixelRepresentation": signed}
    bits = {"BitsStored": 16, "HighBit": 15} if signed else {"BitsStored": 12, "HighBit": 11}
    write_series(tmp_path, turned, compression, **form, **bits)
    (read,) = read_series(tmp_path)
    np.testing.assert_array_equal(read.array, volume.array)


def test_left_handed_slice_order_is_read_by_position(tmp_path: Path) -> None:
    volume = oblique_volume()
    reversed_slices = stored_as(volume, (0, 1, 2), (False, False, True))
    write_series(tmp_path, reversed_slices)
    assert_same(read_series(tmp_path)[0], volume)


@pytest.mark.parametrize("compression", ["none", "RLE", "JPEG", "JPEG2000"])
def test_enhanced_multi_frame(tmp_path: Path, compression: str) -> None:
    volume = oblique_volume()
    order = np.random.default_rng(1).permutation(7)
    write_enhanced(tmp_path / "enhanced.dcm", volume, order, slope=0.5, compression=compression)
    (read,) = read_series(tmp_path / "enhanced.dcm")
    np.testing.assert_allclose(read.array, volume.array * 0.5)
    np.testing.assert_allclose(read.affine, volume.affine, atol=2e-5)


def test_study_folder_gives_each_series(tmp_path: Path) -> None:
    first, second = oblique_volume(seed=1), oblique_volume((20, 20, 5), seed=2)
    write_series(tmp_path / "a", first)
    write_series(tmp_path / "b" / "c", second)
    (tmp_path / "DICOMDIR").write_bytes(b"no image")
    (tmp_path / "notes.txt").write_text("no image either")
    volumes = read_series(tmp_path)
    assert_same(volumes[0], first)
    assert_same(volumes[1], second)
    assert volumes[0].source.patient_key == volumes[1].source.patient_key is not None


def test_copies_of_one_instance_are_one_slice(tmp_path: Path) -> None:
    volume = oblique_volume()
    for path in write_series(tmp_path, volume):
        (tmp_path / "copies").mkdir(exist_ok=True)
        (tmp_path / "copies" / path.name).write_bytes(path.read_bytes())
    assert_same(read_series(tmp_path)[0], volume)


def test_echoes_of_one_series_become_volumes(tmp_path: Path) -> None:
    uid = generate_uid()
    echoes = [oblique_volume(seed=1), oblique_volume(seed=2)]
    for time, echo in zip(("9.5", "30"), echoes, strict=True):
        write_series(tmp_path / time, echo, SeriesInstanceUID=uid, EchoTime=time)
    volumes = read_series(tmp_path)
    for read, echo in zip(volumes, echoes, strict=True):
        assert_same(read, echo)
        assert not read.source.of_several_orientations


def test_slices_without_a_series_uid_are_not_called_a_localizer(tmp_path: Path) -> None:
    for plane in (Plane.AXIAL, Plane.SAGITTAL):
        volume = Volume(oblique_volume((20, 20, 5)).array, affine_of(plane, (2.0, 2.0, 5.0)))
        write_series(tmp_path / plane.value, volume, SeriesInstanceUID="")
    assert [volume.source.of_several_orientations for volume in read_series(tmp_path)] == [False, False]


def test_three_plane_localizer_is_split(tmp_path: Path) -> None:
    uid = generate_uid()
    volume = oblique_volume((20, 20, 3))
    for number, order in enumerate([(0, 1, 2), (1, 2, 0), (2, 0, 1)]):
        affine = volume.affine.copy()
        affine[:3, :3] = (volume.affine[:3, :3] / volume.spacing)[:, order] * volume.spacing
        write_series(tmp_path / str(number), Volume(volume.array, affine), SeriesInstanceUID=uid)
    volumes = read_series(tmp_path)
    assert {plane_of(volume.affine, volume.shape) for volume in volumes} == set(Plane)
    assert all(volume.source.of_several_orientations for volume in volumes)
    assert refusal(tmp_path).kind is ErrorKind.TOO_FEW_SLICES


def test_slices_in_many_directions_are_refused(tmp_path: Path) -> None:
    uid = generate_uid()
    for k in range(6):
        angle = k * np.pi / 6
        dataset = slice_dataset(oblique_volume(), 0, uid)
        dataset.ImageOrientationPatient = [f"{np.cos(angle):.6f}", f"{np.sin(angle):.6f}", 0, 0, 0, -1]
        pydicom.dcmwrite(tmp_path / f"{k}.dcm", dataset, enforce_file_format=True)
    assert refusal(tmp_path).kind is ErrorKind.MIXED_ORIENTATIONS


def test_missing_slice_is_counted(tmp_path: Path) -> None:
    paths = write_series(tmp_path, oblique_volume())
    paths[3].unlink()
    error = refusal(tmp_path)
    assert error.kind is ErrorKind.INCOMPLETE_SERIES
    assert "lacks 1 of 7 slices" in error.sentence


def test_two_images_at_one_place_are_refused(tmp_path: Path) -> None:
    uid = generate_uid()
    write_series(tmp_path / "a", oblique_volume(), SeriesInstanceUID=uid)
    write_series(tmp_path / "b", oblique_volume(seed=1), SeriesInstanceUID=uid)
    assert refusal(tmp_path).kind is ErrorKind.INCOMPLETE_SERIES


def test_sheared_stack_is_refused(tmp_path: Path) -> None:
    volume = oblique_volume()
    affine = volume.affine.copy()
    affine[:3, 2] += 0.3 * affine[:3, 0]
    write_series(tmp_path, Volume(volume.array, affine))
    assert refusal(tmp_path).kind is ErrorKind.BAD_AFFINE


@pytest.mark.parametrize(
    ("elements", "kind"),
    [
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, ErrorKind.WRONG_DIMENSIONS),
        ({"ImageOrientationPatient": None}, ErrorKind.BAD_AFFINE),
        ({"ImagePositionPatient": None}, ErrorKind.BAD_AFFINE),
        ({"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]}, ErrorKind.BAD_AFFINE),
        ({"PixelSpacing": ["0", "0.5"]}, ErrorKind.BAD_SPACING),
        ({"PixelSpacing": None}, ErrorKind.BAD_SPACING),
        ({"NumberOfFrames": 2}, ErrorKind.WRONG_DIMENSIONS),
    ],
)
def test_impossible_headers_are_refused(tmp_path: Path, elements: dict[str, object], kind: ErrorKind) -> None:
    write_series(tmp_path, oblique_volume(), **elements)
    assert refusal(tmp_path).kind is kind


@pytest.mark.parametrize("compression", ["none", "RLE", "JPEG", "JPEG2000"])
@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_cut_off_files_are_refused(tmp_path: Path, compression: str, kept: float) -> None:
    path = write_series(tmp_path, oblique_volume((64, 64, 5)), compression)[2]
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    assert refusal(tmp_path).kind in (ErrorKind.TRUNCATED_FILE, ErrorKind.UNREADABLE_FILE)


def test_one_bad_series_does_not_hide_the_others(tmp_path: Path) -> None:
    volume = oblique_volume()
    write_series(tmp_path / "good", volume)
    write_series(tmp_path / "bad", oblique_volume(seed=1))[2].unlink()
    survey = survey_series(tmp_path)
    assert_same(survey.volumes[0], volume)
    assert [refused.error.kind for refused in survey.refusals] == [ErrorKind.INCOMPLETE_SERIES]


def test_elements_that_cannot_be_converted_do_not_hide_other_series(tmp_path: Path) -> None:
    volume = oblique_volume()
    write_series(tmp_path / "good", volume)
    write_series(tmp_path / "empty", oblique_volume(seed=1), Rows=None)
    rows = b"\x28\x00\x10\x00US\x02\x00"
    for path in write_series(tmp_path / "odd", oblique_volume(seed=2)):
        before, _, after = path.read_bytes().partition(rows)
        path.write_bytes(before + rows.replace(b"\x02", b"\x01") + after[1:])
    survey = survey_series(tmp_path)
    assert_same(survey.volumes[0], volume)
    assert len(survey.refusals) == 2 * volume.shape[2]
    assert {refused.error.kind for refused in survey.refusals} == {ErrorKind.UNREADABLE_FILE}


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_zip_is_read_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: int) -> None:
    volume = oblique_volume()
    archive = tmp_path / "study.zip"
    with zipfile.ZipFile(archive, "w", method) as packed:
        for path in write_series(tmp_path / "series", volume):
            packed.write(path, f"Doe Jane/{path.name}")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    assert_same(read_series(archive)[0], volume)
    assert os.listdir(scratch) == []


def test_zip_that_points_outside_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "study.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("../outside.dcm", b"x")
    assert refusal(archive).kind is ErrorKind.UNREADABLE_FILE
    assert not (tmp_path.parent / "outside.dcm").exists()


def test_zip_with_a_broken_name_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "study.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("Kné.dcm", b"x")
    archive.write_bytes(archive.read_bytes().replace("é".encode(), b"\xff\xfe"))
    assert refusal(archive).kind is ErrorKind.UNREADABLE_FILE


def test_cut_off_zip_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "study.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("a.dcm", b"x" * 1000)
    archive.write_bytes(archive.read_bytes()[:500])
    assert refusal(archive).kind is ErrorKind.TRUNCATED_FILE


@pytest.mark.skipif(not REAL_KNEE.exists(), reason="the real knee series is not in ../shared/data")
def test_real_knee_reads_with_its_geometry() -> None:
    (volume,) = read_series(REAL_KNEE)
    check_volume(volume)
    assert volume.shape == (512, 512, 80)
    np.testing.assert_allclose(volume.spacing, (0.3125, 0.3125, 1.5), atol=1e-4)
    assert plane_of(volume.affine, volume.shape) is Plane.SAGITTAL
    assert is_nearly_isotropic(volume)
    # Column to the posterior, row to the inferior, row x column to the right; the first centre as its header has it.
    expected = [[0, 0, 1.5, -13.0848], [-0.3125, 0, 0, 68.3588], [0, -0.3125, 0, 79.8372], [0, 0, 0, 1]]
    np.testing.assert_allclose(volume.affine, expected, atol=1e-4)
