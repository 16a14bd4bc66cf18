"""`orthodiffusion phantom`: synthetic studies with known truth."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.progress import track

from OrthoDiffusionLib.cli.reporting import err, out, reported
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError


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
            help="Label map of a real knee whose anatomy is scanned; may be given again, one after the other."
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

    Example: orthodiffusion phantom --output phantoms --seed 1 --studies 3 --montage
    """
    with reported():
        from OrthoDiffusionLib.inference.request import StudyRequest
        from OrthoDiffusionLib.inference.study import assemble_study
        from OrthoDiffusionLib.phantom import CENTRES, JOINT_MODELS, make_study, scan_anatomy
        from OrthoDiffusionLib.phantom.label_maps import anatomy_from_labels, read_label_map
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
        folders = {number: output / f"phantom-{number:06d}" for number in range(seed, seed + studies)}
        there = [folder.name for folder in folders.values() if folder.exists()]
        if there and not overwrite:
            raise OrthoDiffusionError(
                ErrorKind.OUTPUT_NOT_WRITABLE,
                f"The output folder already holds {there[0]}.",
                "Choose a new folder or another seed, or add --overwrite.",
            )
        maps = [read_label_map(path) for path in labels or ()]
        real = {}
        if beside is not None:
            assembled = assemble_study(StudyRequest(output=output, paths=(beside,))).series
            real = {plane: series.stack for plane, series in assembled.items()}
        for number, folder in track(folders.items(), "Making phantoms", console=err, transient=True):
            if maps:
                anatomy = anatomy_from_labels(maps[(number - seed) % len(maps)], number)
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
            if montage or real:
                from OrthoDiffusionLib.phantom.montage import montage as draw

                draw(study, beside=real).savefig(folder / "montage.png", dpi=80, facecolor="black")
        out.print(f"Written to {output}", soft_wrap=True)
