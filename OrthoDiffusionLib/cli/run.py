"""`orthodiffusion run`: one study in, a result folder out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.cli.clinical_options import (
    Age,
    ClinicalFile,
    Event,
    Height,
    PatientType,
    Sex,
    Weight,
    clinical_record,
)
from OrthoDiffusionLib.cli.plane_options import Combine
from OrthoDiffusionLib.cli.reporting import err, out, print_json, reported
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.inference.result import Result
from OrthoDiffusionLib.inference.result_folder import read_result
from OrthoDiffusionLib.worker.client import WorkerClient
from OrthoDiffusionLib.worker.messages import RunParams

PlanePath = Optional[Path]  # noqa: UP045 - typer reads annotations at run time, and Python 3.10 has no Path | None there


def run(
    paths: Annotated[
        Optional[list[Path]],  # noqa: UP045
        typer.Argument(metavar="[PATH]...", help="Files, DICOM folders or zips, sorted into planes by their geometry."),
    ] = None,
    sagittal: Annotated[PlanePath, typer.Option(help="The sagittal series.")] = None,
    coronal: Annotated[PlanePath, typer.Option(help="The coronal series.")] = None,
    axial: Annotated[PlanePath, typer.Option(help="The axial series.")] = None,
    output: Annotated[Path, typer.Option(help="Folder for the result; written at the end, all or nothing.")] = ...,  # type: ignore[assignment]
    bundle: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="NAME|DIR", help="Bundle to use; the demonstration model if left out."),
    ] = None,
    segment: Annotated[bool, typer.Option("--segment/--no-segment", help="Write label maps.")] = True,
    diagnose: Annotated[bool, typer.Option("--diagnose/--no-diagnose", help="Write findings.")] = True,
    combine: Combine = True,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    seed: Annotated[int, typer.Option(help="Seed of the noise; the same seed gives the same numbers.")] = 0,
    clinical: ClinicalFile = None,
    age: Age = None,
    height: Height = None,
    weight: Weight = None,
    sex: Sex = None,
    patient_type: PatientType = None,
    event: Event = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a result that is there already.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print result.json and nothing else.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Segment and diagnose one study.

    Examples:

        orthodiffusion run study-folder --output result

        orthodiffusion run --sagittal sag.nii.gz --coronal cor.nii.gz --output result
    """
    with reported(as_json):
        if not (paths or sagittal or coronal or axial):
            raise OrthoDiffusionError(
                ErrorKind.USAGE,
                "No study was named.",
                "Name its folder or files, or use --sagittal, --coronal and --axial.",
            )
        if not overwrite and output.is_dir() and any(output.iterdir()):
            raise OrthoDiffusionError(
                ErrorKind.OUTPUT_NOT_WRITABLE,
                "The output folder is not empty.",
                "Choose a new folder, or add --overwrite.",
            )
        named = {Plane.SAGITTAL: sagittal, Plane.CORONAL: coronal, Plane.AXIAL: axial}
        params = RunParams(
            paths=tuple(path.absolute() for path in paths or ()),
            series={plane: path.absolute() for plane, path in named.items() if path is not None},
            output=output.absolute(),
            bundle=str(Path(bundle).absolute()) if bundle and Path(bundle).is_dir() else bundle,
            segment=segment,
            diagnose=diagnose,
            combine=combine,
            device=device,
            seed=seed,
            clinical=clinical_record(
                clinical, age=age, height=height, weight=weight, sex=sex, patient_type=patient_type, event=event
            ),
        )
        _run(params, show_progress=not (as_json or quiet))
        result = read_result(output)
        if as_json:
            print_json(result.model_dump(mode="json"))
        elif not quiet:
            _show(result, output)


def _run(params: RunParams, show_progress: bool) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    silent = not (show_progress and err.is_terminal)
    with WorkerClient() as client, Progress(*columns, console=err, disable=silent, transient=True) as bar:
        task = bar.add_task("Starting", total=1.0)
        client.run(params, lambda told: bar.update(task, completed=told.fraction, description=told.message))


def _show(result: Result, output: Path) -> None:
    if result.findings:
        table = Table(title="Findings", title_justify="left")
        for column in ("finding", "name", "probability", "threshold", "present"):
            table.add_column(column, justify="right" if column in ("probability", "threshold") else "left")
        for record in result.findings:
            present = "[bold]yes[/]" if record.present else "no"
            table.add_row(record.key, record.name, f"{record.probability:.2f}", f"{record.threshold:.2f}", present)
        out.print(table)
    if any(record.volumes_ml for record in result.series):
        out.print(_volumes(result))
    if result.clinical:
        out.print(f"Clinical data that took part: {', '.join(result.clinical).replace('_', ' ')}.", soft_wrap=True)
    for warning in result.warnings:
        out.print(f"[yellow]Note:[/] {escape(warning)}", soft_wrap=True)
    out.print(f"[bold]{escape(result.notice)}[/]", soft_wrap=True)
    written = ", ".join(sorted(path.name for path in output.iterdir()))
    out.print(f"Written to {output}: {written}", soft_wrap=True, markup=False)


def _volumes(result: Result) -> Table:
    """Volume of each structure as each plane's label map has it; the planes cover different parts of the knee."""
    table = Table(title="Structures, ml in each plane's label map", title_justify="left")
    table.add_column("structure")
    for record in result.series:
        table.add_column(record.plane.value, justify="right")
    for structure in result.structures:
        table.add_row(structure.name, *(f"{record.volumes_ml.get(structure.key, 0.0):.1f}" for record in result.series))
    return table
