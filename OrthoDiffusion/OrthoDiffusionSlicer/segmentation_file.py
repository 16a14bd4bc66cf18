"""Whether a `.seg.nrrd` is whole: Slicer's reader ends the whole program on one that is not."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

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
    lines = header.decode("utf-8", errors="replace").split("\n")
    fields = dict(line.split(": ", 1) for line in lines if ": " in line and ":=" not in line)
    try:
        expected = math.prod(map(int, fields["sizes"].split())) * VOXEL_BYTES[fields["type"]]
        return len(gzip.decompress(packed)) == expected
    except (KeyError, ValueError, EOFError, zlib.error, gzip.BadGzipFile):
        return False
