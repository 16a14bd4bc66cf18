"""What a `.seg.nrrd` says of itself: whether it is whole, and its grid.

Slicer's reader ends the whole program on a file that is not whole.
"""

from __future__ import annotations

import gzip
import math
import re
import zlib
from pathlib import Path

import numpy as np

VOXEL_BYTES = {"uint8": 1, "int16": 2}
"""Bytes of a voxel in the types that the worker writes."""


def is_whole(path: Path) -> bool:
    """Whether the file has a header of ours, and as many voxels as its header says.

    Raises:
        OSError: when the file cannot be read.
    """
    header, _, packed = path.read_bytes().partition(b"\n\n")
    if not header.startswith(b"NRRD"):
        return False
    fields = _fields(header)
    try:
        expected = math.prod(map(int, fields["sizes"].split())) * VOXEL_BYTES[fields["type"]]
        return len(gzip.decompress(packed)) == expected
    except (KeyError, ValueError, EOFError, zlib.error, gzip.BadGzipFile):
        return False


def grid(path: Path) -> tuple[np.ndarray, tuple[int, ...]]:
    """Affine (4, 4), voxel index to RAS in mm, and shape of the label map in a file that is whole.

    Raises:
        OSError: when the file cannot be read.
    """
    fields = _fields(path.read_bytes().partition(b"\n\n")[0])
    vectors = re.findall(r"\(([^)]*)\)", f"{fields['space directions']} {fields['space origin']}")
    affine = np.eye(4)
    affine[:3] = np.array([[float(number) for number in vector.split(",")] for vector in vectors]).T
    # The file says it in LPS.
    affine[:2] *= -1
    return affine, tuple(map(int, fields["sizes"].split()))


def _fields(header: bytes) -> dict[str, str]:
    lines = header.decode("utf-8", errors="replace").split("\n")
    return dict(line.split(": ", 1) for line in lines if ": " in line and ":=" not in line)
