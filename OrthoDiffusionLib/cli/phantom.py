"""`orthodiffusion phantom`: synthetic studies with known truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.progress import track

from OrthoDiffusionLib.cli.label_map_options import LabelMaps, LabelValuesFile, MapsSide, label_map_turns
from OrthoDiffusionLib.cli.phantom_options import Contrast, asked_findings, check_centre
from OrthoDiffusionLib.cli.reporting import err, out, reported
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError


def phantom(
    output: Annotated[Path, typer.Option(help="Folder that gets a folder for each study.")],
    seed: Annotated[int, typer.Option(help="Seed of the first study; the others follow.", min=0)] = 0,
    studies: Annotated[int, typer.Option(help="Number of studies.", min=1)] = 1,
    joint: Annotated[str, typer.Option(help="knee, ankle or shoulder.")] = "knee",
    centre: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="Made-up centre: hill, harbour, meadow, college or island; by default any of the first four."
        ),
    ] = None,
    contrast: Annotated[
        Contrast,
        typer.Option(
            help="physical: the centre's own sequences; random: signals, resolution and artefacts drawn at random."
        ),
    ] = Contrast.PHYSICAL,
    clinical: Annotated[
        bool, typer.Option("--clinical", help="Findings as often as in patients, not as often as is good for training.")
    ] = False,
    finding: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            help="A finding that every study has, such as ACL=0.8 (severity 0 to 1); repeat it for several. Those not "
            "named are absent; none alone makes healthy joints. By default findings are drawn."
        ),
    ] = None,
    labels: LabelMaps = None,
    label_values: LabelValuesFile = None,
    side: MapsSide = None,
    montage: Annotated[bool, typer.Option("--montage", help="Add a picture of each study.")] = False,
    beside: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="A real series whose slices the picture shows beside the phantom's."),
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes that make studies.", min=1)] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace studies that are there already.")] = False,
) -> None:
    """Make synthetic studies of a joint with their truth: NIfTI series, label maps and findings.

    The output's dataset.yaml lists all of its studies for `--dataset` of the training commands.

    Example: orthodiffusion phantom --output phantoms --seed 1 --studies 3 --montage
    """
    with reported():
        from OrthoDiffusionLib.cli.phantom_listing import MANIFEST, list_studies, studies_listed_before
        from OrthoDiffusionLib.cli.phantom_making import PhantomOrder, write_phantoms
        from OrthoDiffusionLib.inference.request import StudyRequest
        from OrthoDiffusionLib.inference.study import assemble_study
        from OrthoDiffusionLib.phantom import JOINT_MODELS

        check_centre(centre, contrast)
        if joint not in JOINT_MODELS:
            raise OrthoDiffusionError(
                ErrorKind.USAGE, f"There is no phantom of the {joint}.", f"Choose one of {', '.join(JOINT_MODELS)}."
            )
        if labels and clinical:
            raise OrthoDiffusionError(
                ErrorKind.USAGE,
                "The findings of label maps are unknown, so --clinical cannot say how often they occur.",
                "Leave out --clinical or --labels.",
            )
        findings = asked_findings(finding or (), joint)
        if findings is not None and (labels or clinical):
            raise OrthoDiffusionError(
                ErrorKind.USAGE,
                "--finding says which findings there are, which --clinical draws and label maps leave unknown.",
                "Leave out --finding, or --clinical and --labels.",
            )
        maps = label_map_turns(labels, label_values, side, joint)
        folders = {number: output / f"phantom-{number:06d}" for number in range(seed, seed + studies)}
        there = [folder.name for folder in folders.values() if folder.exists()]
        if there and not overwrite:
            raise OrthoDiffusionError(
                ErrorKind.OUTPUT_NOT_WRITABLE,
                f"The output folder already holds {there[0]}.",
                "Choose a new folder or another seed, or add --overwrite.",
            )
        listed = {entry.id: entry for entry in studies_listed_before(output / MANIFEST, joint, overwrite)}
        real = {}
        if beside is not None:
            assembled = assemble_study(StudyRequest(output=output, paths=(beside,))).series
            real = {plane: series.stack for plane, series in assembled.items()}
        order = PhantomOrder(
            joint,
            "clinical" if clinical else "balanced",
            centre,
            contrast.value,
            maps,
            montage or beside is not None,
            real,
            findings,
        )
        if maps is not None:
            # Read twice: what cannot be used is told before an hour's work, and 100 maps of 384 x 384 x 160 take 5 GB.
            for number in list(folders)[: len(maps.paths)]:
                maps.label_map(number)
        made = write_phantoms(order, folders, workers)
        for entry in track(made, "Making phantoms", total=len(folders), console=err, transient=True):
            listed[entry.id] = entry
            # After each one: what an interrupted run leaves can be trained on.
            list_studies(output / MANIFEST, joint, listed.values())
        out.print(f"Written to {output}", soft_wrap=True)
