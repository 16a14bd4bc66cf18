"""Which structure each value of a `.seg.nrrd` is: Slicer numbers segments as they come, and its file names them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from OrthoDiffusionLib.anatomy import Structure
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.volumes.text_headers import nrrd_key_values
from OrthoDiffusionLib.volumes.volume import Volume

_FIELD = re.compile(r"Segment(\d+)_(ID|Name|LabelValue)")


def by_segment_names(volume: Volume, path: Path, structures: Sequence[Structure]) -> Volume:
    """A label map with the structures' own labels, where its file is a segmentation of Slicer; any other as it is.

    A segment is the structure whose key is its ID or its name, or whose name is its name, in small letters or large.

    Args:
        volume: as read from the file.
        path: of the file.
        structures: that the segments may be; several segments may be one.

    Raises:
        OrthoDiffusionError: BAD_LABEL_MAP for a segment that has voxels and is none of the structures, and for voxels
            of no segment.
    """
    if not path.name.lower().endswith(".seg.nrrd"):
        return volume
    segments: dict[str, dict[str, str]] = {}
    for key, value in nrrd_key_values(path).items():
        if match := _FIELD.fullmatch(key):
            segments.setdefault(match[1], {})[match[2]] = value
    if not segments:
        return volume
    named = {word.lower(): structure.label for structure in structures for word in (structure.name, structure.key)}
    labels: npt.NDArray[np.int16] = np.zeros(volume.shape, np.int16)
    left = volume.array != 0
    for segment in segments.values():
        inside = left & (volume.array == _value(segment))
        if not inside.any():
            continue
        words = (segment.get(field, "").strip().lower() for field in ("ID", "Name"))
        label = next((named[word] for word in words if word in named), None)
        if label is None:
            raise _unusable(f"Its segment “{segment.get('Name', '')}” is no structure of the joint.")
        labels[inside] = label
        left &= ~inside
    if left.any():
        raise _unusable("It has voxels that belong to no segment.")
    return Volume(labels, volume.affine, volume.source)


def _value(segment: dict[str, str]) -> int:
    try:
        return int(segment["LabelValue"])
    except (KeyError, ValueError) as error:
        raise _unusable("It does not say which value a segment has.") from error


def _unusable(sentence: str) -> OrthoDiffusionError:
    return OrthoDiffusionError(
        ErrorKind.BAD_LABEL_MAP,
        f"A segmentation of Slicer cannot be used. {sentence}",
        "Name its segments as this extension does, such as Femur, delete others, and save it again.",
    )
