from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.volumes.checks import check_volume
from OrthoDiffusionLib.volumes.reading import read_series

SHAPE = (24, 20, 12)
AFFINE = np.diag([0.5, 0.75, 3.0, 1.0])
VOXELS = np.random.default_rng(0).integers(0, 3000, SHAPE).astype(np.int16)


def nifti(array: np.ndarray = VOXELS, affine: np.ndarray = AFFINE, **fields: object) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        image = nibabel.Nifti1Image(array, affine)
        raw = bytearray(image.to_bytes())
        header = nibabel.Nifti1Header(bytes(raw[:348]), check=False)
        for name, value in fields.items():
            header[name] = value
        raw[:348] = header.binaryblock
        path = folder / "image.nii"
        path.write_bytes(raw)
        return path

    return make


def nrrd(
    pattern: str = "", replacement: str = "", suffix: str = "nrrd", compress: bool = False
) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        image = sitk.GetImageFromArray(VOXELS.transpose(2, 1, 0))
        image.SetSpacing((0.5, 0.75, 3.0))
        path = folder / f"image.{suffix}"
        sitk.WriteImage(image, str(path), compress)
        if pattern:
            changed, count = re.subn(pattern.encode(), replacement.encode(), path.read_bytes(), count=1)
            assert count == 1
            path.write_bytes(changed)
        return path

    return make


def metaimage(pattern: str = "", replacement: str = "", compress: bool = False) -> Callable[[Path], Path]:
    return nrrd(pattern, replacement, "mha", compress)


def cut(make: Callable[[Path], Path], kept: float = 0.6, gzipped: str = "") -> Callable[[Path], Path]:
    def make_cut(folder: Path) -> Path:
        path = make(folder)
        raw = path.read_bytes()
        if gzipped == "whole":
            raw = gzip.compress(raw)
        raw = raw[: int(len(raw) * kept)]
        if gzipped == "inside":
            raw = gzip.compress(raw)
        target = path.with_suffix(".nii.gz") if gzipped else path
        target.write_bytes(raw)
        return target

    return make_cut


def flipped(make: Callable[[Path], Path], place: int) -> Callable[[Path], Path]:
    """Gzipped without compression, and one bit changed: only the checksum can tell."""

    def make_flipped(folder: Path) -> Path:
        raw = bytearray(gzip.compress(make(folder).read_bytes(), compresslevel=0))
        raw[place] ^= 1
        target = folder / "flipped.nii.gz"
        target.write_bytes(raw)
        return target

    return make_flipped


def file(name: str, content: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


def renamed(name: str, pack: Callable[[bytes], bytes] = bytes) -> Callable[[Path], Path]:
    return lambda folder: file(name, pack(nifti()(folder).read_bytes()))(folder)


def colours(folder: Path) -> Path:
    path = folder / "image.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((*SHAPE, 3), np.uint8), isVector=True), str(path))
    return path


def with_value(value: float) -> np.ndarray:
    array = VOXELS.astype(np.float32)
    array[3, 4, 5] = value
    return array


def sheared() -> np.ndarray:
    affine = AFFINE.copy()
    affine[0, 1] = 0.2
    return affine


TEXT = b"This is a letter, not an image. " * 40
CASES: dict[str, tuple[Callable[[Path], Path], ErrorKind]] = {
    "no such file": (lambda folder: folder / "nothing.nii.gz", ErrorKind.FILE_NOT_FOUND),
    "empty folder": (lambda folder: folder, ErrorKind.EMPTY_STUDY),
    "text as nii.gz": (file("a.nii.gz", TEXT), ErrorKind.UNREADABLE_FILE),
    "text as nii": (file("a.nii", TEXT), ErrorKind.UNREADABLE_FILE),
    "text as nrrd": (file("a.nrrd", TEXT), ErrorKind.UNREADABLE_FILE),
    "text as mha": (file("a.mha", TEXT), ErrorKind.UNREADABLE_FILE),
    "text as dcm": (file("a.dcm", TEXT), ErrorKind.UNREADABLE_FILE),
    "nii of unknown magic": (nifti(magic=b"abc"), ErrorKind.UNREADABLE_FILE),
    "empty nii": (file("a.nii", b""), ErrorKind.UNREADABLE_FILE),
    "nii cut": (cut(nifti()), ErrorKind.TRUNCATED_FILE),
    "nii cut in the header": (cut(nifti(), 0.02), ErrorKind.TRUNCATED_FILE),
    "nii.gz cut": (cut(nifti(), gzipped="whole"), ErrorKind.TRUNCATED_FILE),
    "nii cut, then gzipped": (cut(nifti(), gzipped="inside"), ErrorKind.TRUNCATED_FILE),
    "nii.gz with a flipped bit": (flipped(nifti(), -1000), ErrorKind.TRUNCATED_FILE),
    "nii.gz with another checksum": (flipped(nifti(), -5), ErrorKind.TRUNCATED_FILE),
    "nii.gz without its checksum": (
        renamed("cut.nii.gz", lambda raw: gzip.compress(raw)[:-8]),
        ErrorKind.TRUNCATED_FILE,
    ),
    "nii.gz with another checksum and bytes after it": (
        renamed("cut.nii.gz", lambda raw: gzip.compress(raw)[:-8] + bytes(8) + b"tail"),
        ErrorKind.TRUNCATED_FILE,
    ),
    "nrrd cut": (cut(nrrd()), ErrorKind.TRUNCATED_FILE),
    "nrrd gzip cut": (cut(nrrd(compress=True)), ErrorKind.TRUNCATED_FILE),
    "mha cut": (cut(metaimage()), ErrorKind.TRUNCATED_FILE),
    "mha compressed cut": (cut(metaimage(compress=True)), ErrorKind.TRUNCATED_FILE),
    "nii that promises terabytes": (nifti(dim=[3, 32000, 32000, 32000, 1, 1, 1, 1]), ErrorKind.TRUNCATED_FILE),
    "nii.gz that promises terabytes": (
        cut(nifti(dim=[3, 32000, 32000, 32000, 1, 1, 1, 1]), 1.0, gzipped="whole"),
        ErrorKind.TRUNCATED_FILE,
    ),
    "nrrd that promises terabytes": (nrrd("sizes: [^\n]*", "sizes: 32000 32000 32000"), ErrorKind.TRUNCATED_FILE),
    "nrrd gzip that promises terabytes": (
        nrrd("sizes: [^\n]*", "sizes: 32000 32000 32000", compress=True),
        ErrorKind.TRUNCATED_FILE,
    ),
    "mha that promises terabytes": (
        metaimage("DimSize = [^\n]*", "DimSize = 32000 32000 32000"),
        ErrorKind.TRUNCATED_FILE,
    ),
    "2D": (nifti(VOXELS[:, :, 0]), ErrorKind.WRONG_DIMENSIONS),
    "4D": (nifti(np.stack([VOXELS, VOXELS], axis=-1)), ErrorKind.WRONG_DIMENSIONS),
    "complex": (nifti(VOXELS.astype(np.complex64)), ErrorKind.WRONG_DIMENSIONS),
    "colours": (colours, ErrorKind.WRONG_DIMENSIONS),
    "three slices": (nifti(VOXELS[:, :, :3]), ErrorKind.TOO_FEW_SLICES),
    "all zero": (nifti(np.zeros(SHAPE, np.int16)), ErrorKind.NO_CONTRAST),
    "constant": (nifti(np.full(SHAPE, 7.5, np.float32)), ErrorKind.NO_CONTRAST),
    "NaN": (nifti(with_value(np.nan)), ErrorKind.NOT_FINITE),
    "infinite": (nifti(with_value(np.inf)), ErrorKind.NOT_FINITE),
    "zero pixdim": (nifti(pixdim=[1, 0.5, 0, 3, 0, 0, 0, 0]), ErrorKind.BAD_SPACING),
    "negative pixdim": (nifti(pixdim=[1, 0.5, -0.75, 3, 0, 0, 0, 0]), ErrorKind.BAD_SPACING),
    "pixdim against sform": (nifti(pixdim=[1, 0.5, 1.5, 3, 0, 0, 0, 0]), ErrorKind.BAD_SPACING),
    "metres": (nifti(xyzt_units=1), ErrorKind.BAD_SPACING),
    "nrrd zero spacing": (nrrd(r"\(0,0.75,0\)", "(0,0,0)"), ErrorKind.BAD_SPACING),
    "mha zero spacing": (metaimage("Spacing = 0.5 0.75", "Spacing = 0.5 0"), ErrorKind.BAD_SPACING),
    "mha negative spacing": (metaimage("Spacing = 0.5 0.75", "Spacing = 0.5 -0.75"), ErrorKind.BAD_SPACING),
    "no orientation": (nifti(sform_code=0, qform_code=0), ErrorKind.BAD_AFFINE),
    "sform not a number": (nifti(srow_x=[np.nan, 0, 0, 0]), ErrorKind.BAD_AFFINE),
    "singular sform": (nifti(srow_x=[0, 0, 0, 0], srow_y=[0.5, 0.75, 0, 0]), ErrorKind.BAD_AFFINE),
    "sheared sform": (nifti(affine=sheared()), ErrorKind.BAD_AFFINE),
    "nrrd singular": (nrrd(r"\(0,0.75,0\)", "(0.75,0,0)"), ErrorKind.BAD_AFFINE),
    "nrrd without space": (nrrd("space: left-posterior-superior\n"), ErrorKind.BAD_AFFINE),
    "nrrd of unknown space": (nrrd("left-posterior-superior", "scanner-xyz"), ErrorKind.BAD_AFFINE),
    "mha singular": (metaimage("= 1 0 0 0 1 0 0 0 1", "= 1 0 0 1 0 0 0 0 1"), ErrorKind.BAD_AFFINE),
    "mha without matrix": (metaimage("TransformMatrix[^\n]*\n"), ErrorKind.BAD_AFFINE),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_refused_with_its_kind(tmp_path: Path, case: str) -> None:
    make, kind = CASES[case]
    path = make(tmp_path)
    with pytest.raises(OrthoDiffusionError) as caught:
        for volume in read_series(path):
            check_volume(volume)
    assert caught.value.kind is kind
    assert caught.value.sentence and caught.value.action
    assert tmp_path.name not in f"{caught.value} {caught.value.detail}"


GOOD: dict[str, Callable[[Path], Path]] = {
    "nii": nifti(),
    "nii.gz": renamed("packed.nii.gz", gzip.compress),
    "nii that is packed": renamed("packed.nii", gzip.compress),
    "nii.gz that is not packed": renamed("unpacked.nii.gz"),
    "nii and other bytes": renamed("long.nii", lambda raw: raw + b"tail"),
    "nii and other bytes, packed": renamed("long.nii.gz", lambda raw: gzip.compress(raw + b"tail" * 1000)),
    "nii.gz and zeros": renamed("long.nii.gz", lambda raw: gzip.compress(raw) + bytes(100)),
    "nii.gz and other bytes": renamed("long.nii.gz", lambda raw: gzip.compress(raw) + b"tail"),
    "nii.gz in pieces": renamed("pieces.nii.gz", lambda raw: gzip.compress(raw[:5000]) + gzip.compress(raw[5000:])),
    "nrrd": nrrd(),
    "nrrd gzip": nrrd(compress=True),
    "mha": metaimage(),
    "mha compressed": metaimage(compress=True),
}


@pytest.mark.parametrize("case", GOOD)
def test_good_files_of_each_kind_are_read(tmp_path: Path, case: str) -> None:
    path = GOOD[case](tmp_path)
    (volume,) = read_series(path)
    check_volume(volume)
    np.testing.assert_array_equal(volume.array, VOXELS)
    expected = AFFINE if ".nii" in path.suffixes else np.diag([-1, -1, 1, 1]) @ AFFINE
    np.testing.assert_allclose(volume.affine, expected)


def test_big_endian_nifti_with_scaling(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VOXELS, AFFINE, nibabel.Nifti1Header(endianness=">"))
    image.header.set_slope_inter(2.0, 1.0)
    nibabel.save(image, tmp_path / "a.nii.gz")
    (volume,) = read_series(tmp_path / "a.nii.gz")
    assert volume.array.dtype == np.float32
    np.testing.assert_array_equal(volume.array, VOXELS * 2.0 + 1.0)


def test_ras_nrrd_has_the_place_its_header_says(tmp_path: Path) -> None:
    path = nrrd("left-posterior-superior", "right-anterior-superior")(tmp_path)
    np.testing.assert_allclose(read_series(path)[0].affine, AFFINE)
