"""`orthodiffusion phantom`: synthetic studies with known truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import track

from OrthoDiffusionLib.cli.reporting import err, out, reported


def phantom(
    output: Annotated[Path, typer.Option(help="Folder that gets a folder for each study.")],
    seed: Annotated[int, typer.Option(help="Of the first study; the others follow.", min=0)] = 0,
    studies: Annotated[int, typer.Option(help="How many.", min=1)] = 1,
    montage: Annotated[bool, typer.Option("--montage", help="Add a picture of each study.")] = False,
) -> None:
    """Make synthetic knee studies with their truth: NIfTI series, label maps and findings.

    Example: orthodiffusion phantom --output phantoms --seed 1 --studies 3 --montage
    """
    with reported():
        from OrthoDiffusionLib.phantom import make_study
        from OrthoDiffusionLib.phantom.writing import write_study

        for number in track(range(seed, seed + studies), "Making phantoms", console=err, transient=True):
            study = make_study(number)
            folder = output / f"phantom-{number:06d}"
            write_study(study, folder)
            if montage:
                from OrthoDiffusionLib.phantom.montage import montage as draw

                draw(study).savefig(folder / "montage.png", dpi=80, facecolor="black")
        out.print(f"Written to {output}", soft_wrap=True)
