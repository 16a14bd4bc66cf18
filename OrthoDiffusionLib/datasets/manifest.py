"""The dataset manifest: a file that names studies, their series, masks and findings; paths are relative to it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from OrthoDiffusionLib.anatomy import Joint, Plane, load_joint
from OrthoDiffusionLib.bundles.clinical_data import ClinicalRecord
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.volumes.label_values import named_values

LABEL_VALUES = "label_values of the dataset manifest"
"""What errors call it."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SeriesEntry(_Strict):
    """One series of a study.

    Attributes:
        plane: it lies in.
        image: file, folder or zip that holds it.
        labels: a label map on the same grid; -1 marks what was not annotated. None: no mask.
        label_values: the structure's key, `background` or `ignored` for each of its values; None where they are the
            joint's own labels, and in a file for those of the dataset.
    """

    plane: Plane
    image: str
    labels: str | None = None
    label_values: dict[int, str] | None = None


class StudyEntry(_Strict):
    """One study.

    Attributes:
        id: unique in the dataset; no name of a person.
        patient: studies of one patient never come into two parts of a split.
        series: one or more; several of one plane are averaged.
        findings: 0 or 1 by finding; None or not named for unknown.
        clinical: None when nothing is known.
    """

    id: str = Field(min_length=1)
    patient: str = Field(min_length=1)
    series: tuple[SeriesEntry, ...] = Field(min_length=1)
    findings: dict[str, Literal[0, 1] | None] = Field(default_factory=dict)
    clinical: ClinicalRecord | None = None


class DatasetManifest(_Strict):
    """A dataset.

    Attributes:
        joint: of its studies.
        label_values: of all label maps that have none of their own, as in `SeriesEntry`.
        studies: one or more.
    """

    joint: str = "knee"
    label_values: dict[int, str] | None = None
    studies: tuple[StudyEntry, ...] = Field(min_length=1)


def read_manifest(path: Path) -> DatasetManifest:
    """Read a manifest, JSON or YAML.

    Returns:
        the manifest with absolute paths, and with its label values at each label map.

    Raises:
        OrthoDiffusionError: FILE_NOT_FOUND for the manifest or a file that it names; BAD_MANIFEST for content that is
            none: an unknown plane, finding or structure, an id that occurs twice, one image of two patients, a field
            that is not known.
    """
    try:
        # Some editors begin a file with a mark of its encoding.
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise OrthoDiffusionError(
            ErrorKind.FILE_NOT_FOUND, f"The dataset manifest {path.name} cannot be read.", "Check its path.", str(error)
        ) from error
    except UnicodeDecodeError:
        raise _bad(f"The dataset manifest {path.name} is not valid: it is no text in UTF-8.") from None
    try:
        manifest = DatasetManifest.model_validate(_parsed(text, path.suffix))
    except ValidationError as error:
        # Where and why, but no values: some say something of a person.
        wrong = [".".join(map(str, problem["loc"])) + ": " + problem["msg"] for problem in error.errors()]
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise _bad(f"The dataset manifest {path.name} is not valid ({wrong[0]}{more}).", "; ".join(wrong)) from None
    except ValueError as error:
        raise _bad(f"The dataset manifest {path.name} is not valid ({error}).", str(error)) from None
    _check(manifest)
    studies = tuple(
        study.model_copy(
            update={"series": tuple(_located(entry, path.parent, manifest.label_values) for entry in study.series)}
        )
        for study in manifest.studies
    )
    _check_images(studies)
    return manifest.model_copy(update={"studies": studies})


def _parsed(text: str, suffix: str) -> Any:
    if suffix.lower() in (".yaml", ".yml"):
        import yaml

        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            # The error's own text shows the lines around, with whatever they say of a person.
            raise ValueError(f"line {mark.line + 1} is no YAML" if mark else "no YAML") from None
    return json.loads(text)


def _check(manifest: DatasetManifest) -> None:
    twice = [key for key, count in Counter(study.id for study in manifest.studies).items() if count > 1]
    if twice:
        raise _bad(f"The study {twice[0]} occurs twice in the dataset manifest.")
    try:
        joint = load_joint(manifest.joint)
    except OrthoDiffusionError as error:
        raise _bad(f"The dataset manifest names an unknown joint, {manifest.joint}.") from error
    known = {finding.key for finding in joint.findings}
    _check_label_values(manifest.label_values, joint)
    for study in manifest.studies:
        if unknown := set(study.findings) - known:
            raise _bad(f"The study {study.id} has an unknown finding, {min(unknown)}.")
        for series in study.series:
            _check_label_values(series.label_values, joint, f"The study {study.id}: ")


def _check_label_values(values: Mapping[int, str] | None, joint: Joint, where: str = "") -> None:
    try:
        named_values(values or {}, joint.structures, LABEL_VALUES)
    except OrthoDiffusionError as error:
        raise OrthoDiffusionError(ErrorKind.BAD_MANIFEST, where + error.sentence, error.action) from error


def _check_images(studies: Sequence[StudyEntry]) -> None:
    """Refuse an image that is in studies of two patients, by a slip: it would be trained on and held out alike."""
    first_of: dict[str, StudyEntry] = {}
    for study in studies:
        for series in study.series:
            other = first_of.setdefault(series.image, study)
            if other.patient != study.patient:
                raise _bad(
                    f"The studies {other.id} and {study.id} name the same image, and are of different patients.",
                    series.image,
                )


def _located(entry: SeriesEntry, folder: Path, label_values: dict[int, str] | None) -> SeriesEntry:
    found: dict[str, object] = {}
    if entry.labels is not None and entry.label_values is None and label_values is not None:
        found["label_values"] = label_values
    for name in ("image", "labels"):
        value = getattr(entry, name)
        if value is not None:
            located = (folder / value).resolve()
            if not located.exists():
                raise OrthoDiffusionError(
                    ErrorKind.FILE_NOT_FOUND,
                    "A file that the dataset manifest names does not exist.",
                    "Correct the manifest; paths are relative to it.",
                    detail=str(located),
                )
            found[name] = str(located)
    return entry.model_copy(update=found)


def _bad(sentence: str, detail: str = "") -> OrthoDiffusionError:
    return OrthoDiffusionError(
        ErrorKind.BAD_MANIFEST, sentence, "Correct the manifest; the documentation shows an example.", detail=detail
    )
