"""`orthodiffusion pretrain`: a denoising network learns one plane's images, without labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.progress import Progress

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.cli.datasets import Dataset, Phantoms, prepared_studies
from OrthoDiffusionLib.cli.reporting import err, out, reported


def pretrain(
    plane: Annotated[Plane, typer.Option(help="To be trained.")],
    output: Annotated[Path, typer.Option(help="Folder of checkpoints, losses and samples; an unfinished one goes on.")],
    dataset: Dataset = None,
    phantoms: Phantoms = None,
    config: Annotated[str, typer.Option(help="small, paper, or a YAML file.")] = "small",
    change: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--set", metavar="KEY=VALUE", help="Over what the configuration says; may be given again."),
    ] = None,
    cache: Annotated[Optional[Path], typer.Option(help="Folder of prepared studies.")] = None,  # noqa: UP045
    accelerator: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
    devices: Annotated[int, typer.Option(help="Processes or GPUs of a node.", min=1)] = 1,
    nodes: Annotated[int, typer.Option(help="Machines.", min=1)] = 1,
) -> None:
    """Pre-train an encoder on images alone; started again, it goes on from its last checkpoint.

    Example: orthodiffusion pretrain --plane sagittal --phantoms 0:200 --output pretrained/sagittal
    """
    with reported():
        from lightning_fabric import Fabric

        from OrthoDiffusionLib.training.pretraining import pretrain as train
        from OrthoDiffusionLib.training.settings import PretrainSettings, load_settings

        settings = load_settings(PretrainSettings, config, change or ())
        strategy = "ddp" if devices * nodes > 1 else "auto"
        fabric = Fabric(accelerator=accelerator, devices=devices, num_nodes=nodes, strategy=strategy)
        fabric.launch()
        with fabric.rank_zero_first():
            studies = prepared_studies(dataset, phantoms, cache or output / "cache", settings.window_size * 5 // 4)
        with Progress(console=err, transient=True, disable=not fabric.is_global_zero) as bar:
            task = bar.add_task(f"Pre-training {plane.value}", total=settings.steps)

            def report(step: int, loss: float) -> None:
                bar.update(task, completed=step + 1, description=f"Pre-training {plane.value}, loss {loss:.4f}")

            train(fabric, studies, plane, settings, output, report)
        if fabric.is_global_zero:
            out.print(f"Written to {output}", soft_wrap=True)
