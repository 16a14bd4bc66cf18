"""`orthodiffusion phantom`: synthetic studies with known truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import track

from OrthoDiffusionLib.cli.reporting import err, out, reported
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError


def phantom(
    output: Annotated[Path, typer.Option(help="Folder that gets a folder for each study.")],
    seed: Annotated[int, typer.Option(help="Of the first study; the others follow.", min=0)] = 0,
    studies: Annotated[int, typer.Option(help="How many.", min=1)] = 1,
    montage: Annotated[bool, typer.Option("--montage", help="Add a picture of each study.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace studies that are there already.")] = False,
) -> None:
    """Make synthetic knee studies with their truth: NIfTI series, label maps and findings.

    Example: orthodiffusion phantom --output phantoms --seed 1 --studies 3 --montage
    """
    with reported():
        from OrthoDiffusionLib.phantom import make_study
        from OrthoDiffusionLib.phantom.writing import write_study

        folders = {number: output / f"phantom-{number:06d}" for number in range(seed, seed + studies)}
        there = [folder.name for folder in folders.values() if folder.exists()]
        if there and not overwrite:
            raise OrthoDiffusionError(
                ErrorKind.OUTPUT_NOT_WRITABLE,
                f"The output folder already holds {there[0]}.",
                "Choose a new folder or another seed, or add --overwrite.",
            )
        for number, folder in track(folders.items(), "Making phantoms", console=err, transient=True):
            study = make_study(number)
            write_study(study, folder)
            if montage:
                from OrthoDiffusionLib.phantom.montage import montage as draw

                draw(study).savefig(folder / "montage.png", dpi=80, facecolor="black")
        out.print(f"Written to {output}", soft_wrap=True)
