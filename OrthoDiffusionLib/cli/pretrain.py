"""`orthodiffusion pretrain`: a denoising network learns one plane's images, without labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.progress import Progress

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.cli.datasets import (
    Dataset,
    PhantomJoint,
    Phantoms,
    RandomContrasts,
    SkipUnusable,
    Workers,
    prepared_studies,
)
from OrthoDiffusionLib.cli.left_out import LeftOut
from OrthoDiffusionLib.cli.plane_options import plane_and_source
from OrthoDiffusionLib.cli.reporting import check_writable, err, out, reported
from OrthoDiffusionLib.errors import OrthoDiffusionError


def pretrain(
    plane: Annotated[Plane, typer.Option(help="Plane to train.")],
    output: Annotated[Path, typer.Option(help="Folder of checkpoints, losses and samples; an unfinished one goes on.")],
    dataset: Dataset = None,
    phantoms: Phantoms = None,
    start: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--from",
            metavar="DIR|BUNDLE",
            help="Whose weights it starts from: the folder of another pre-training, or a bundle with decoders; "
            "PLANE=DIR or PLANE=BUNDLE for those of another plane.",
        ),
    ] = None,
    config: Annotated[
        str, typer.Option(help="small, paper, or a YAML file, in which what is left out has the default.")
    ] = "small",
    change: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--set", metavar="KEY=VALUE", help="Change one setting of the configuration; may be repeated."),
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of prepared studies; by default, cache in the output folder.")
    ] = None,
    accelerator: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
    devices: Annotated[int, typer.Option(help="Processes or GPUs of a node.", min=1)] = 1,
    nodes: Annotated[int, typer.Option(help="Machines.", min=1)] = 1,
    strategy: Annotated[
        str, typer.Option(help="ddp: each device holds the network; fsdp: a part of it; auto: ddp for several.")
    ] = "auto",
    workers: Workers = 1,
    joint: PhantomJoint = None,
    random_contrasts: RandomContrasts = 0,
    skip_unusable: SkipUnusable = False,
) -> None:
    """Pre-train an encoder on images alone; started again, it goes on from its last checkpoint.

    Losses are in the output's losses.csv and, for TensorBoard, in its folder tensorboard.

    Example: orthodiffusion pretrain --plane sagittal --phantoms 0:200 --output pretrained/sagittal
    """
    with reported(
        kept="The last checkpoint is kept; the same command goes on from there.",
        when_short="Let fewer windows through the network at a time, --set together=1, or keep less of each: --set"
        " recompute=true.",
    ):
        from OrthoDiffusionLib.training.configurations import load_settings
        from OrthoDiffusionLib.training.prepared_size import prepared_size
        from OrthoDiffusionLib.training.pretraining import check_batch
        from OrthoDiffusionLib.training.pretraining import pretrain as train
        from OrthoDiffusionLib.training.processes import launched, training_fabric
        from OrthoDiffusionLib.training.settings import PretrainSettings
        from OrthoDiffusionLib.training.whole_networks import whole_network

        settings = load_settings(PretrainSettings, config, change or ())
        check_batch(settings, devices * nodes)
        check_writable(output)
        network = None
        if start is not None:
            of_plane, source = plane_and_source(start, plane)
            network = whole_network(source, of_plane)
        fabric = training_fabric(accelerator, devices, nodes, strategy)
        # Before the processes are launched: it can take longer than they would wait for each other.
        size = prepared_size(settings.window_size)
        left_out = LeftOut(skip_unusable, at_once=False)
        studies = prepared_studies(
            dataset,
            phantoms,
            cache or output / "cache",
            size,
            workers,
            joint,
            left_out,
            random_contrasts=random_contrasts,
        )
        with launched(fabric):
            if fabric.is_global_zero:
                left_out.say()
            with Progress(console=err, transient=True, disable=not fabric.is_global_zero) as bar:
                task = bar.add_task(f"Pre-training {plane.value}", total=settings.steps)

                def report(step: int, loss: float) -> None:
                    bar.update(task, completed=step + 1, description=f"Pre-training {plane.value}, loss {loss:.4f}")

                try:
                    train(fabric, studies, plane, settings, output, report, network)
                except OrthoDiffusionError as error:
                    if fabric.is_global_zero:
                        raise
                    # The first process says it; a failure of this one would have the first one killed.
                    raise typer.Exit from error
            if fabric.is_global_zero:
                out.print(f"Written to {output}", soft_wrap=True)
