"""`orthodiffusion phantom`: synthetic studies with known truth."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer
from rich.progress import track

from OrthoDiffusionLib.cli.reporting import err, out, reported
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError

if TYPE_CHECKING:
    from OrthoDiffusionLib.datasets.manifest import StudyEntry
    from OrthoDiffusionLib.phantom import PhantomStudy
    from OrthoDiffusionLib.volumes.volume import Volume

MANIFEST = "dataset.yaml"
"""What lists the studies of the output folder for training."""


class Contrast(str, Enum):
    """Where a phantom's signals come from."""

    PHYSICAL = "physical"
    RANDOM = "random"


def phantom(
    output: Annotated[Path, typer.Option(help="Folder that gets a folder for each study.")],
    seed: Annotated[int, typer.Option(help="Of the first study; the others follow.", min=0)] = 0,
    studies: Annotated[int, typer.Option(help="How many.", min=1)] = 1,
    joint: Annotated[str, typer.Option(help="Which joint.")] = "knee",
    centre: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Where they are scanned; by default each at one of those for training."),
    ] = None,
    contrast: Annotated[
        Contrast, typer.Option(help="That of each centre's sequences, or signals drawn at random for each tissue.")
    ] = Contrast.PHYSICAL,
    clinical: Annotated[
        bool, typer.Option("--clinical", help="Findings as often as in patients, not as often as is good for training.")
    ] = False,
    labels: Annotated[
        Optional[list[Path]],  # noqa: UP045
        typer.Option(
            help="Label map of a real knee whose anatomy is scanned, or a folder of some; may be given again. "
            "They take turns, a folder's in the order of their names, so that a seed always takes the same one."
        ),
    ] = None,
    montage: Annotated[bool, typer.Option("--montage", help="Add a picture of each study.")] = False,
    beside: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="A real series whose slices the picture shows beside the phantom's."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace studies that are there already.")] = False,
) -> None:
    """Make synthetic studies of a joint with their truth: NIfTI series, label maps and findings.

    The output's dataset.yaml lists all of its studies for `--dataset` of the training commands.

    Example: orthodiffusion phantom --output phantoms --seed 1 --studies 3 --montage
    """
    with reported():
        from OrthoDiffusionLib.inference.request import StudyRequest
        from OrthoDiffusionLib.inference.study import assemble_study
        from OrthoDiffusionLib.phantom import CENTRES, JOINT_MODELS, make_study, scan_anatomy
        from OrthoDiffusionLib.phantom.label_map_files import find_label_maps
        from OrthoDiffusionLib.phantom.label_maps import anatomy_from_labels
        from OrthoDiffusionLib.phantom.writing import write_study

        if centre is not None and centre not in CENTRES:
            raise OrthoDiffusionError(
                ErrorKind.USAGE, f"There is no centre {centre}.", f"Choose one of {', '.join(CENTRES)}."
            )
        if joint not in JOINT_MODELS:
            raise OrthoDiffusionError(
                ErrorKind.USAGE, f"There is no phantom of the {joint}.", f"Choose one of {', '.join(JOINT_MODELS)}."
            )
        if labels and joint != "knee":
            raise OrthoDiffusionError(
                ErrorKind.USAGE,
                f"Label maps cannot be the anatomy of the {joint} yet.",
                "Leave --labels out, or make phantoms of the knee.",
            )
        if labels and clinical:
            raise OrthoDiffusionError(
                ErrorKind.USAGE,
                "The findings of label maps are unknown, so --clinical cannot say how often they occur.",
                "Leave out --clinical or --labels.",
            )
        folders = {number: output / f"phantom-{number:06d}" for number in range(seed, seed + studies)}
        there = [folder.name for folder in folders.values() if folder.exists()]
        if there and not overwrite:
            raise OrthoDiffusionError(
                ErrorKind.OUTPUT_NOT_WRITABLE,
                f"The output folder already holds {there[0]}.",
                "Choose a new folder or another seed, or add --overwrite.",
            )
        listed = {entry.id: entry for entry in _listed_before(output / MANIFEST, joint, overwrite)}
        maps = find_label_maps(labels or ())
        # Read twice: what cannot be used is told before an hour's work, and 100 maps of 384 x 384 x 160 take 5 GB.
        for index in sorted({number % len(maps) for number in folders} if maps else ()):
            _label_map(maps, index)
        real = {}
        if beside is not None:
            assembled = assemble_study(StudyRequest(output=output, paths=(beside,))).series
            real = {plane: series.stack for plane, series in assembled.items()}
        for number, folder in track(folders.items(), "Making phantoms", console=err, transient=True):
            if maps:
                anatomy = anatomy_from_labels(_label_map(maps, number % len(maps)), number)
                study = scan_anatomy(anatomy, number, centre, contrast.value)
            else:
                study = make_study(
                    number,
                    joint,
                    prevalence="clinical" if clinical else "balanced",
                    centre=centre,
                    contrast=contrast.value,
                )
            write_study(study, folder)
            listed[folder.name] = _entry(study, folder.name)
            # After each one: what an interrupted run leaves can be trained on.
            _list_studies(output / MANIFEST, joint, listed.values())
            if montage or real:
                from OrthoDiffusionLib.phantom.montage import montage as draw

                draw(study, beside=real).savefig(folder / "montage.png", dpi=80, facecolor="black")
        out.print(f"Written to {output}", soft_wrap=True)


def _label_map(maps: Sequence[Path], index: int) -> Volume:
    """One of some label maps, checked; of what is wrong its number tells, for its name may be a patient's."""
    from OrthoDiffusionLib.phantom.label_map_files import read_label_map
    from OrthoDiffusionLib.phantom.label_maps import check_label_map

    try:
        labels = read_label_map(maps[index])
        check_label_map(labels)
    except OrthoDiffusionError as error:
        which = f"Label map {index + 1} of {len(maps)}: " if len(maps) > 1 else ""
        raise OrthoDiffusionError(
            error.kind, which + error.sentence, error.action, error.detail or str(maps[index])
        ) from error
    return labels


def _entry(study: PhantomStudy, folder: str) -> StudyEntry:
    """A study as the manifest lists it; those made from one label map are one person's, and come into one part of a
    split."""
    from OrthoDiffusionLib.datasets.manifest import SeriesEntry, StudyEntry
    from OrthoDiffusionLib.phantom.writing import series_files

    series = []
    for plane in study.planes:
        image, labels = series_files(plane)
        series.append(SeriesEntry(plane=plane, image=f"{folder}/{image}", labels=f"{folder}/{labels}"))
    patient = folder if study.label_map is None else f"label-map-{study.label_map}"
    entry = StudyEntry(id=folder, patient=patient, series=tuple(series))
    if study.findings:
        entry = entry.model_copy(update={"findings": {key: int(value > 0) for key, value in study.findings.items()}})
    return entry


def _listed_before(path: Path, joint: str, overwrite: bool) -> Sequence[StudyEntry]:
    """The studies that a manifest of an earlier run lists and that are still there."""
    from OrthoDiffusionLib.datasets.manifest import DatasetManifest

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


def _list_studies(path: Path, joint: str, studies: Iterable[StudyEntry]) -> None:
    from OrthoDiffusionLib.datasets.manifest import DatasetManifest

    manifest = DatasetManifest(joint=joint, studies=tuple(studies))
    unfinished = path.with_name(f".{path.name}.part")
    # JSON is YAML too, and is written without PyYAML, which only training installs.
    text = json.dumps(manifest.model_dump(mode="json", exclude_unset=True), indent=1)
    unfinished.write_text(text + "\n", encoding="utf-8")
    unfinished.replace(path)
