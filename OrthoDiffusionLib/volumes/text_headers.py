"""Geometry of NRRD and MetaImage files from their text headers.

ITK fills in a missing orientation and takes the absolute value of a negative spacing without a word; the headers show
what the files really say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from OrthoDiffusionLib.volumes.refusals import bad_affine, bad_spacing, not_a_volume, unreadable

MAX_HEADER_BYTES = 1 << 20
"""Headers are a few hundred bytes; a longer one is another kind of file."""

_TO_RAS = {
    "right-anterior-superior": (1.0, 1.0, 1.0),
    "ras": (1.0, 1.0, 1.0),
    "left-anterior-superior": (-1.0, 1.0, 1.0),
    "las": (-1.0, 1.0, 1.0),
    "left-posterior-superior": (-1.0, -1.0, 1.0),
    "lps": (-1.0, -1.0, 1.0),
}


@dataclass(frozen=True)
class TextHeader:
    """What a header says of the grid.

    Attributes:
        shape: voxels along the three axes.
        affine: (4, 4), index to RAS in mm.
    """

    shape: tuple[int, ...]
    affine: npt.NDArray[np.float64]


def read_nrrd_header(path: Path) -> TextHeader:
    """The grid of an NRRD file (.nrrd, .nhdr).

    Raises:
        OrthoDiffusionError: UNREADABLE_FILE, WRONG_DIMENSIONS, BAD_SPACING or BAD_AFFINE.
    """
    fields = {
        key.strip().lower(): value.strip()
        for key, _, value in (line.partition(":") for line in _nrrd_lines(path))
        if not value.startswith("=")
    }
    try:
        shape = tuple(int(size) for size in fields["sizes"].split())
    except (KeyError, ValueError) as error:
        raise unreadable("NRRD", detail=type(error).__name__) from error
    kinds = fields.get("kinds", "domain domain domain").lower().split()
    if len(shape) != 3 or any(kind not in ("domain", "space", "???", "none") for kind in kinds):
        raise not_a_volume(f"The file holds an image of {len(shape)} axes with {' '.join(kinds)}.")
    signs = _TO_RAS.get(fields.get("space", "").lower())
    directions = re.findall(r"\(([^)]*)\)|none", fields.get("space directions", ""))
    origin = re.findall(r"\(([^)]*)\)", fields.get("space origin", ""))
    if signs is None or len(directions) != 3 or len(origin) != 1:
        raise bad_affine("The file does not say how the volume lies in the patient.")
    units = re.findall(r'"([^"]*)"', fields.get("space units", ""))
    if any(unit not in ("", "mm") for unit in units):
        raise bad_spacing("The file gives its voxel sizes in another unit than millimetres.")
    columns = [_numbers(text, ",") for text in (*directions, origin[0])]
    if any(len(column) != 3 for column in columns):
        raise bad_affine("The file does not say how the volume lies in the patient.")
    affine = np.eye(4)
    affine[:3] = np.array(columns).T * np.array(signs)[:, None]
    return TextHeader(shape, affine)


def nrrd_key_values(path: Path) -> dict[str, str]:
    """What an NRRD file's header holds besides its fields: the lines `key:=value`, as text.

    Raises:
        OrthoDiffusionError: UNREADABLE_FILE.
    """
    pairs = (line.partition(":=") for line in _nrrd_lines(path, "utf-8") if ":=" in line)
    return {key: re.sub(r"\\(.)", lambda found: found[1].replace("n", "\n"), value) for key, _, value in pairs}


def read_metaimage_header(path: Path) -> TextHeader:
    """The grid of a MetaImage file (.mha, .mhd); its space is LPS, as in ITK.

    Raises:
        OrthoDiffusionError: UNREADABLE_FILE, WRONG_DIMENSIONS, BAD_SPACING or BAD_AFFINE.
    """
    start = _start(path)
    match = re.search(rb"^ElementDataFile\s*=.*$", start, re.MULTILINE)
    if match is None:
        raise unreadable("MetaImage")
    fields = {
        key.strip(): value.strip()
        for key, _, value in (line.partition("=") for line in start[: match.end()].decode("latin-1").splitlines())
    }
    try:
        shape = tuple(int(size) for size in fields["DimSize"].split())
    except (KeyError, ValueError) as error:
        raise unreadable("MetaImage", detail=type(error).__name__) from error
    if len(shape) != 3 or fields.get("ElementNumberOfChannels", "1") != "1":
        raise not_a_volume(f"The file holds an image of {len(shape)} axes or several channels.")
    spacing = _numbers(fields.get("ElementSpacing", ""))
    matrix = _numbers(_first_of(fields, "TransformMatrix", "Rotation", "Orientation"))
    origin = _numbers(_first_of(fields, "Offset", "Position", "Origin"))
    if len(spacing) != 3:
        raise bad_spacing("The file does not give its voxel sizes.")
    if not min(spacing) > 0:
        raise bad_spacing("The file gives a voxel size that is zero, negative or not a number.")
    if len(matrix) != 9 or len(origin) != 3:
        raise bad_affine("The file does not say how the volume lies in the patient.")
    affine = np.eye(4)
    affine[:3, :3] = np.array(matrix).reshape(3, 3).T * np.array(spacing)
    affine[:3, 3] = origin
    return TextHeader(shape, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine)


def _nrrd_lines(path: Path, encoding: str = "latin-1") -> list[str]:
    start = _start(path)
    if not start.startswith(b"NRRD"):
        raise unreadable("NRRD")
    text = re.split(rb"\r?\n\r?\n", start, maxsplit=1)[0].decode(encoding, errors="replace")
    # Not str.splitlines, which also ends a line at letters that a segment's name may hold.
    return [line for line in re.split(r"\r?\n", text)[1:] if not line.startswith("#")]


def _start(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(MAX_HEADER_BYTES)


def _first_of(fields: dict[str, str], *keys: str) -> str:
    return next((fields[key] for key in keys if key in fields), "")


def _numbers(text: str, separator: str | None = None) -> list[float]:
    try:
        return [float(part) for part in text.split(separator)]
    except ValueError:
        return []
