"""Which structure each value of a label map is, where others than this project's own labels were written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from OrthoDiffusionLib.anatomy import Structure
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.volumes.volume import Volume

WORDS: Mapping[str, int] = {"background": 0, "ignored": -1}
"""What a value may be that is no structure: none of them, or what was not annotated."""


@dataclass(frozen=True)
class LabelValues:
    """The labels that a label map's values stand for.

    Attributes:
        labels: by value: a structure's label, 0 for background, -1 for not annotated.
        source: where they are named, for people: a file's name without its folder.
    """

    labels: Mapping[int, int]
    source: str

    def applied(self, volume: Volume) -> Volume:
        """The label map with the structures' own labels, int16; 0 and -1 keep their meaning unless they are named.

        Args:
            volume: as read, of any type of number.

        Raises:
            OrthoDiffusionError: BAD_LABEL_MAP for a value that is not named.
        """
        labels: npt.NDArray[np.int16] = np.zeros(volume.shape, np.int16)
        left = np.ones(volume.shape, bool)
        for value, label in {0: 0, -1: -1, **self.labels}.items():
            inside = volume.array == value
            labels[inside] = label
            left &= ~inside
        if left.any():
            stranger = float(volume.array[left].min())
            raise OrthoDiffusionError(
                ErrorKind.BAD_LABEL_MAP,
                f"The label map holds the value {stranger:.10g}, which {self.source} does not name.",
                "Name its structure there, or say that it is `ignored` or `background`.",
            )
        return Volume(labels, volume.affine, volume.source)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    values: dict[int, str] = Field(min_length=1)


def named_values(values: Mapping[int, str], structures: Sequence[Structure], source: str) -> LabelValues:
    """What values stand for that are named by structures' keys, `background` or `ignored`.

    Args:
        values: names by value; several values may have one name.
        structures: that they may be.
        source: where they are named, for people.

    Raises:
        OrthoDiffusionError: BAD_SETTINGS for a name that is none.
    """
    known = {**{structure.key: structure.label for structure in structures}, **WORDS}
    for value, name in values.items():
        if name not in known:
            raise OrthoDiffusionError(
                ErrorKind.BAD_SETTINGS,
                f"In {source}, the value {value} is “{name}”, which is no structure of the joint.",
                f"Name one of {', '.join(known)}.",
            )
    return LabelValues({value: known[name] for value, name in values.items()}, source)


def read_label_values(path: Path, structures: Sequence[Structure]) -> LabelValues:
    """Read a YAML file whose `values` name the structure of each value, such as `1: femur`.

    Args:
        path: of the file.
        structures: that the values may be.

    Raises:
        OrthoDiffusionError: FILE_NOT_FOUND; BAD_SETTINGS for a file that is none, that names a value twice, or that
            names what is no structure; the sentence tells the value and the file.
    """
    import yaml

    try:
        # Some editors begin a file with a mark of its encoding.
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise OrthoDiffusionError(
            ErrorKind.FILE_NOT_FOUND,
            f"The file of label values {path.name} cannot be read.",
            "Check its path.",
            str(error),
        ) from error
    except UnicodeDecodeError:
        raise _invalid(path, "it is no text in UTF-8") from None
    try:
        content = yaml.safe_load(text)
        twice = _named_twice(yaml.compose(text, Loader=yaml.SafeLoader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise _invalid(path, f"line {mark.line + 1} is no YAML" if mark else "it is no YAML") from None
    if twice is not None:
        raise _invalid(path, f"it names {twice} twice")
    try:
        values = _File.model_validate(content).values
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "[key]")
        raise _invalid(path, f"{where}: {first['msg']}" if where else first["msg"]) from None
    return named_values(values, structures, path.name)


def _named_twice(node: Any) -> str | None:
    """A key that a mapping in a YAML document holds twice, of which a reader takes the last without a word."""
    children = []
    seen = set()
    for key, value in node.value if getattr(node, "id", "") == "mapping" else ():
        if key.value in seen:
            return str(key.value)
        seen.add(key.value)
        children.append(value)
    return next((twice for child in children if (twice := _named_twice(child)) is not None), None)


def _invalid(path: Path, why: str) -> OrthoDiffusionError:
    return OrthoDiffusionError(
        ErrorKind.BAD_SETTINGS,
        f"The file of label values {path.name} is not valid ({why}).",
        "Write it as Resources/LabelValues/oai-zib.yaml is: under `values`, a line such as `1: femur` for each value.",
    )
