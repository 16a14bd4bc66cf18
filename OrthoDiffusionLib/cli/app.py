"""The entry point of `orthodiffusion`."""

from __future__ import annotations

import logging
import os

import typer

from OrthoDiffusionLib import __version__
from OrthoDiffusionLib.cli import (
    bundle,
    doctor,
    evaluate,
    phantom,
    pretrain,
    probe,
    run,
    sample,
    train,
    train_fusion,
    train_refinement,
    worker,
)
from OrthoDiffusionLib.cli.reporting import DEBUG_VARIABLE

app = typer.Typer(
    name="orthodiffusion",
    help="Segment and diagnose MR studies of joints; the model that comes with it is of the knee. "
    "Research use only, not for diagnosis.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command("run")(run.run)
app.add_typer(bundle.app, name="bundle")
app.command("phantom")(phantom.phantom)
app.command("pretrain")(pretrain.pretrain)
app.command("sample")(sample.sample)
app.command("probe")(probe.probe)
app.command("train-segmentation")(train.train_segmentation)
app.command("train-diagnosis")(train.train_diagnosis)
app.command("train-fusion")(train_fusion.train_fusion)
app.command("train-refinement")(train_refinement.train_refinement)
app.command("evaluate")(evaluate.evaluate)
app.command("worker")(worker.worker)
app.command("doctor")(doctor.doctor)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"orthodiffusion {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
    debug: bool = typer.Option(False, "--debug", help="Log on standard error what happens, and the details of errors."),
) -> None:
    if debug:
        # The worker inherits it.
        os.environ[DEBUG_VARIABLE] = "1"
    logging.basicConfig(level=logging.DEBUG if os.environ.get(DEBUG_VARIABLE) else logging.WARNING)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
