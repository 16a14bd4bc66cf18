"""Which of the label maps that take turns can be used, looked at before the long work, and when studies of theirs are
made again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from OrthoDiffusionLib.datasets.unusable import LABEL_MAPS, OF_THE_DATA, UnusableStudy
from OrthoDiffusionLib.errors import OrthoDiffusionError
from OrthoDiffusionLib.phantom.label_map_files import content_name
from OrthoDiffusionLib.phantom.label_map_turns import LabelMapTurns
from OrthoDiffusionLib.volumes.text_headers import MAX_HEADER_BYTES

WITH_TEXT_HEADER = (".nrrd", ".nhdr", ".mha", ".mhd")

VOXELS_ELSEWHERE = re.compile(rb"^(data ?file:|ElementDataFile\s*=(?!\s*LOCAL\s*$))", re.IGNORECASE | re.MULTILINE)
"""A line of a header, NRRD's or MetaImage's, that names other files."""


class UsedMaps(NamedTuple):
    """Label maps of studies.

    Attributes:
        keys: as `label_map_key`, by the seed of each study whose map can be used.
        unusable: the maps that cannot, by their numbers.
        number: of all of them.
    """

    keys: dict[int, str]
    unusable: list[UnusableStudy]
    number: int


def used_maps(maps: LabelMapTurns, seeds: Sequence[int], prepared: Callable[[int, str], bool]) -> UsedMaps:
    """Look at the label maps that some studies are made of, each once, unless all of its studies are prepared.

    Args:
        maps: that take turns.
        seeds: of the studies.
        prepared: whether the study of a seed lies there, made of a map with a key.

    Raises:
        OrthoDiffusionError: FILE_NOT_FOUND, and what else is no label map's own fault.
    """
    turns: dict[int, list[int]] = {}
    for seed in seeds:
        turns.setdefault(seed % len(maps.paths), []).append(seed)
    keys: dict[int, str] = {}
    unusable = []
    for number, its_seeds in sorted(turns.items()):
        try:
            key = label_map_key(maps, its_seeds[0])
            if not all(prepared(seed, key) for seed in its_seeds):
                maps.label_map(its_seeds[0])
        except OrthoDiffusionError as error:
            if error.kind not in OF_THE_DATA:
                raise
            unusable.append(UnusableStudy(str(number + 1), error, LABEL_MAPS))
            continue
        keys.update(dict.fromkeys(its_seeds, key))
    return UsedMaps(keys, unusable, len(turns))


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
