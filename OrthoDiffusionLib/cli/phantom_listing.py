"""The dataset manifest that `orthodiffusion phantom` keeps of its output folder, for the training commands."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from OrthoDiffusionLib.datasets.manifest import DatasetManifest, SeriesEntry, StudyEntry
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.phantom import PhantomStudy
from OrthoDiffusionLib.phantom.writing import series_files

MANIFEST = "dataset.yaml"
"""What lists the studies of the output folder for training."""


def listed_study(study: PhantomStudy, folder: str) -> StudyEntry:
    """A study as the manifest lists it; those made from one label map are one person's, and come into one part of a
    split."""
    series = []
    for plane in study.planes:
        image, labels = series_files(plane)
        series.append(SeriesEntry(plane=plane, image=f"{folder}/{image}", labels=f"{folder}/{labels}"))
    patient = folder if study.label_map is None else f"label-map-{study.label_map}"
    entry = StudyEntry(id=folder, patient=patient, series=tuple(series))
    if study.findings:
        entry = entry.model_copy(update={"findings": {key: int(value > 0) for key, value in study.findings.items()}})
    return entry


def studies_listed_before(path: Path, joint: str, overwrite: bool) -> Sequence[StudyEntry]:
    """The studies that a manifest of an earlier run lists and that are still there.

    Raises:
        OrthoDiffusionError: OUTPUT_NOT_WRITABLE for another dataset's manifest that may not be overwritten.
    """
    if not path.exists():
        return ()
    try:
        before = DatasetManifest.model_validate_json(path.read_bytes())
    except ValueError:
        before = None
    if before is not None and before.joint == joint:
        return [entry for entry in before.studies if (path.parent / entry.series[0].image).exists()]
    if overwrite:
        return ()
    raise OrthoDiffusionError(
        ErrorKind.OUTPUT_NOT_WRITABLE,
        f"The output folder already holds {path.name} of another dataset.",
        "Choose a new folder, or add --overwrite.",
    )


def list_studies(path: Path, joint: str, studies: Iterable[StudyEntry]) -> None:
    """Write the manifest, all or nothing."""
    manifest = DatasetManifest(joint=joint, studies=tuple(studies))
    unfinished = path.with_name(f".{path.name}.part")
    # JSON is YAML too, and is written without PyYAML, which only training installs.
    text = json.dumps(manifest.model_dump(mode="json", exclude_unset=True), indent=1)
    unfinished.write_text(text + "\n", encoding="utf-8")
    unfinished.replace(path)
