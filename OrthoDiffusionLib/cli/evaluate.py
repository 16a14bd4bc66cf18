"""`orthodiffusion evaluate`: how good a bundle is on phantoms it never saw."""

from __future__ import annotations

import os
from typing import Annotated, Optional

import typer
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from OrthoDiffusionLib.cli.phantom_options import Contrast, check_centre
from OrthoDiffusionLib.cli.plane_options import Combine
from OrthoDiffusionLib.cli.reporting import err, out, print_json, reported


def evaluate(
    bundle: Annotated[Optional[str], typer.Option(metavar="NAME|DIR", help="Bundle to evaluate.")] = None,  # noqa: UP045
    studies: Annotated[int, typer.Option(help="Number of phantoms.", min=2)] = 50,
    seed: Annotated[
        int, typer.Option(help="Seed of the first phantom; `bundle show` tells the seeds of training.", min=0)
    ] = 90000,
    centre: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="Made-up centre: hill, harbour, meadow, college; or island, the default, which training never saw."
        ),
    ] = None,
    contrast: Annotated[
        Contrast,
        typer.Option(
            help="physical: the centre's own sequences; random: signals, resolution and artefacts drawn at random."
        ),
    ] = Contrast.PHYSICAL,
    clinical: Annotated[
        bool,
        typer.Option("--clinical", help="Findings as often as in patients, not as often as is good for measuring."),
    ] = False,
    processes: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--workers", "--processes", help="Processes; by default one for each core, up to 8.", min=1),
    ] = None,
    combine: Combine = True,
    write_card: Annotated[
        bool, typer.Option("--write-card", help="Write the figures into the bundle's model card.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Measure segmentation and diagnosis on phantoms, with 95 % bootstrap intervals."""
    with reported(as_json):
        from OrthoDiffusionLib.bundles.building import replace_card
        from OrthoDiffusionLib.bundles.opening import open_bundle
        from OrthoDiffusionLib.bundles.registry import find_bundle
        from OrthoDiffusionLib.bundles.training_seeds import seen_seeds
        from OrthoDiffusionLib.evaluation.phantoms import evaluate_on_phantoms
        from OrthoDiffusionLib.evaluation.report import markdown, with_measurements

        check_centre(centre, contrast)

        data = open_bundle(find_bundle(bundle)).manifest.training_data
        if seen := seen_seeds(data.seeds, range(seed, seed + studies)):
            err.print(
                f"[bold yellow]Warning:[/] The bundle was trained on {len(seen)} of these {studies} phantoms (its card"
                f" names the seeds {escape(data.seeds)}), so the figures flatter. Choose another --seed.",
                soft_wrap=True,
            )
        with Progress(console=err, disable=as_json, transient=True) as bar:
            task = bar.add_task("Evaluating", total=studies)
            count = min(studies, processes or min(8, os.cpu_count() or 1))
            evaluation = evaluate_on_phantoms(
                bundle,
                studies,
                seed,
                centre,
                lambda: bar.advance(task),
                count,
                combine=combine,
                contrast=contrast.value,
                rates="clinical" if clinical else "balanced",
            )
        if write_card:
            opened = open_bundle(find_bundle(bundle))
            replace_card(opened, with_measurements(opened.card(), markdown(evaluation)))
        if as_json:
            print_json(evaluation.to_json_dict())
            return
        table = Table("measure", "value", "95 % interval")
        for row in evaluation.table():
            table.add_row(*row)
        out.print(table)
        out.print(evaluation.conditions(), soft_wrap=True)
