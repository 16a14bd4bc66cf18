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
    montage: Annotated[bool, typer.Option("--montage", help="Add a picture of each study.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace studies that are there already.")] = False,
) -> None:
    """Make synthetic knee studies with their truth: NIfTI series, label maps and findings.

    Example: orthodiffusion phantom --output phantoms --seed 1 --studies 3 --montage
    """
    with reported():
        from OrthoDiffusionLib.phantom import BALANCED_RATES, CENTRES, CLINICAL_RATES, make_study
        from OrthoDiffusionLib.phantom.writing import write_study

        if centre is not None and centre not in CENTRES:
            raise OrthoDiffusionError(
                ErrorKind.USAGE, f"There is no centre {centre}.", f"Choose one of {', '.join(CENTRES)}."
            )
        rates = CLINICAL_RATES if clinical else BALANCED_RATES
        folders = {number: output / f"phantom-{number:06d}" for number in range(seed, seed + studies)}
        there = [folder.name for folder in folders.values() if folder.exists()]
        if there and not overwrite:
            raise OrthoDiffusionError(
                ErrorKind.OUTPUT_NOT_WRITABLE,
                f"The output folder already holds {there[0]}.",
                "Choose a new folder or another seed, or add --overwrite.",
            )
        for number, folder in track(folders.items(), "Making phantoms", console=err, transient=True):
            study = make_study(number, rates=rates, centre=centre, contrast=contrast.value)
            write_study(study, folder)
            if montage:
                from OrthoDiffusionLib.phantom.montage import montage as draw

                draw(study).savefig(folder / "montage.png", dpi=80, facecolor="black")
        out.print(f"Written to {output}", soft_wrap=True)
