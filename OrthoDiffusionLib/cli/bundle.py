"""`orthodiffusion bundle`: list, verify, import, export and refine model packages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.markup import escape
from rich.table import Table

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.bundles.opening import open_bundle
from OrthoDiffusionLib.bundles.registry import BundleEntry, find_bundle, list_bundles
from OrthoDiffusionLib.cli.reporting import out, print_json, reported
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError

app = typer.Typer(help="List, verify, import, export and refine model packages.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


@app.command("list")
def list_command(as_json: AsJson = False) -> None:
    """List the bundles that can be used, and whether each is what its manifest says."""
    with reported(as_json):
        rows = [(entry, _problem(entry)) for entry in list_bundles()]
        if as_json:
            print_json(
                [
                    {"name": e.name, "title": e.title, "folder": str(e.folder), "origin": e.origin, "problem": problem}
                    for e, problem in rows
                ]
            )
            return
        table = Table("name", "title", "origin", "state")
        for entry, problem in rows:
            table.add_row(escape(entry.name), escape(entry.title), entry.origin, escape(problem or "verified"))
        out.print(table)


@app.command("show")
def show(
    bundle: Annotated[
        str | None, typer.Argument(metavar="[NAME|DIR]", help="The demonstration model if left out.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Verify a bundle and show what it says about itself."""
    with reported(as_json):
        opened = open_bundle(find_bundle(bundle))
        manifest = opened.manifest
        if as_json:
            print_json({"manifest_sha256": opened.manifest_sha256, **manifest.model_dump(mode="json")})
            return
        out.print(f"[bold]{escape(manifest.title)}[/] ({manifest.name} {escape(manifest.version)})")
        out.print(manifest.intended_use, soft_wrap=True, markup=False)
        for plane, recipe in manifest.planes.items():
            does = [word for word, can in (("segments", recipe.segmentation), ("diagnoses", recipe.diagnosis)) if can]
            out.print(
                f"{plane.value}: {recipe.block} at timestep {recipe.timestep}; {', '.join(does) or 'features only'}"
            )
        out.print(f"Planes fused by: {manifest.fusion.kind}. {manifest.fusion.training}".rstrip(), soft_wrap=True)
        if manifest.refinement is not None:
            out.print(manifest.refinement.training, soft_wrap=True, markup=False)
        if manifest.fusion.clinical is not None:
            out.print(f"Reads clinical data: {manifest.fusion.clinical.codes}", soft_wrap=True, markup=False)
        data = manifest.training_data
        out.print(f"Trained on: {data.description}", soft_wrap=True, markup=False)
        if data.seeds or data.synthetic:
            out.print(f"Seeds of phantoms in training: {data.seeds or 'not said'}", soft_wrap=True, markup=False)
        if data.known_limits:
            out.print("Known limits:")
        for limit in data.known_limits:
            out.print(f"- {limit}", soft_wrap=True, markup=False)


@app.command("import-published")
def import_command(
    output: Annotated[Path, typer.Option(help="Folder for the new bundle.")],
    sagittal: Annotated[Optional[Path], typer.Option(help="The authors' sagittal_model.pt.")] = None,  # noqa: UP045
    coronal: Annotated[Optional[Path], typer.Option(help="The authors' coronal_model.pt.")] = None,  # noqa: UP045
    axial: Annotated[Optional[Path], typer.Option(help="The authors' axial_model.pt.")] = None,  # noqa: UP045
    keep_decoder: Annotated[
        bool, typer.Option("--keep-decoder", help="Keep what `pretrain --from` needs; 2.5 times as large.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Turn the authors' published checkpoints into a bundle; no code in them is ever run."""
    with reported(as_json):
        from OrthoDiffusionLib.bundles.published import import_published

        named = {Plane.AXIAL: axial, Plane.SAGITTAL: sagittal, Plane.CORONAL: coronal}
        files = {plane: path for plane, path in named.items() if path is not None}
        made = import_published(files, output, keep_decoder=keep_decoder)
        if as_json:
            print_json({"folder": str(made.folder), "manifest_sha256": made.manifest_sha256})
        else:
            out.print(f"Written to {made.folder}; it holds backbones without heads, for features and training.")


@app.command("export")
def export_command(
    output: Annotated[Path, typer.Option(help="Folder for the new bundle.")],
    card: Annotated[Path, typer.Option(help="YAML file with what only people know: name, licence, data, limits.")],
    sagittal: Annotated[Optional[Path], typer.Option(help="Folder of the plane's trained networks.")] = None,  # noqa: UP045
    coronal: Annotated[Optional[Path], typer.Option(help="Folder of the plane's trained networks.")] = None,  # noqa: UP045
    axial: Annotated[Optional[Path], typer.Option(help="Folder of the plane's trained networks.")] = None,  # noqa: UP045
    fusion: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Output folder of train-fusion; without it the planes are averaged."),
    ] = None,
    refinement: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            help="Output folder of train-refinement, or the bundle whose masks the heads were trained on; without it "
            "masks have the networks' resolution."
        ),
    ] = None,
    half_precision: Annotated[
        bool, typer.Option("--half-precision", help="Round the planes' weights to 16 bits: half the size.")
    ] = False,
) -> None:
    """Make a bundle of trained networks, with a fusion and calibration on held-out studies, lineage and a data card."""
    with reported():
        from OrthoDiffusionLib.training.configurations import load_card
        from OrthoDiffusionLib.training.exporting import BundleCard, export_bundle

        named = {Plane.AXIAL: axial, Plane.SAGITTAL: sagittal, Plane.CORONAL: coronal}
        planes = {plane: path for plane, path in named.items() if path is not None}
        if not planes:
            raise OrthoDiffusionError(
                ErrorKind.USAGE, "A bundle needs a plane.", "Give --sagittal, --coronal or --axial."
            )
        about = load_card(BundleCard, card)
        made = export_bundle(output, planes, about, fusion, refinement=refinement, half_precision=half_precision)
        out.print(f"Written to {made.folder}", soft_wrap=True)


@app.command("refine")
def refine_command(
    bundle: Annotated[str, typer.Argument(metavar="NAME|DIR", help="Bundle that gets the refinement.")],
    refinement: Annotated[Path, typer.Option(help="Output of `train-refinement --bundle` for it, or a bundle.")],
    output: Annotated[Path, typer.Option(help="Folder for the new bundle.")],
    card: Annotated[
        Path,
        typer.Option(
            help="YAML file: name and version of the new bundle; data, studies and known_limits of the refinement, and "
            "seeds and synthetic: true if it was trained on phantoms."
        ),
    ],
) -> None:
    """Make a bundle of another one and a refinement of its outlines; its networks and calibration stay as they are."""
    with reported():
        from OrthoDiffusionLib.training.configurations import load_card
        from OrthoDiffusionLib.training.exporting import RefinementCard, export_refined

        about, source = load_card(RefinementCard, card), open_bundle(find_bundle(bundle))
        made = export_refined(output, source, refinement, about.with_that_of(source))
        out.print(f"Written to {made.folder}", soft_wrap=True)


def _problem(entry: BundleEntry) -> str | None:
    try:
        open_bundle(entry.folder)
    except OrthoDiffusionError as error:
        return error.sentence
    return None
