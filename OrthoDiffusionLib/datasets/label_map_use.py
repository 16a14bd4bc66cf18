"""When studies of label maps are made again."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from OrthoDiffusionLib.phantom.label_map_files import content_name
from OrthoDiffusionLib.phantom.label_map_turns import LabelMapTurns
from OrthoDiffusionLib.volumes.text_headers import MAX_HEADER_BYTES

WITH_TEXT_HEADER = (".nrrd", ".nhdr", ".mha", ".mhd")

VOXELS_ELSEWHERE = re.compile(rb"^(data ?file:|ElementDataFile\s*=\s*(?!LOCAL\s*$))", re.IGNORECASE | re.MULTILINE)
"""A line of a header, NRRD's or MetaImage's, that names other files."""


def label_map_key(maps: LabelMapTurns, seed: int) -> str:
    """Changes with the label map of a seed, as `LabelMapTurns.key` does, and with voxels that lie in a file beside it.

    Raises:
        OrthoDiffusionError: as `LabelMapTurns.label_map`, for a file that is gone or may not be looked at, and for a
            map with voxels beside it that cannot be used.
    """
    path = maps.paths[seed % len(maps.paths)]
    try:
        key = maps.key(seed)
        apart = _voxels_elsewhere(path)
    except OSError:
        # Reading it tells in a sentence what is wrong, and which it is.
        maps.label_map(seed)
        raise
    if not apart:
        return key
    # Headers name such files in many ways, by a pattern of numbers even: what is read through them tells more surely.
    return hashlib.sha256(f"{key} {content_name(maps.label_map(seed))}".encode()).hexdigest()[: len(key)]


def _voxels_elsewhere(path: Path) -> bool:
    if not path.name.lower().endswith(WITH_TEXT_HEADER):
        return False
    with path.open("rb") as file:
        # Where voxels look like such a line by chance, the map is read for nothing.
        return VOXELS_ELSEWHERE.search(file.read(MAX_HEADER_BYTES)) is not None
