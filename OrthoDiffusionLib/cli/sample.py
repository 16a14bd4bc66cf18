"""`orthodiffusion sample`: windows that a pre-trained network draws by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.cli.datasets import training_device
from OrthoDiffusionLib.cli.reporting import out, reported


def sample(
    plane: Annotated[Plane, typer.Option(help="Plane of the network.")],
    pretrained: Annotated[
        str,
        typer.Option(metavar="DIR|BUNDLE", help="Output folder of a pre-training, or a bundle with decoders."),
    ],
    output: Annotated[Path, typer.Option(help="PNG with a window a row, and four of its slices.")],
    steps: Annotated[int, typer.Option(help="Steps of DDIM sampling.", min=2, max=1000)] = 50,
    count: Annotated[int, typer.Option(help="How many windows.", min=1, max=64)] = 4,
    seed: Annotated[int, typer.Option(help="Seed of the noise that sampling starts from.", min=0)] = 0,
) -> None:
    """Draw windows by deterministic DDIM sampling: what a pre-training has learned to expect.

    Example: orthodiffusion sample --plane sagittal --pretrained pretrained/sagittal --output samples.png
    """
    with reported():
        from OrthoDiffusionLib.training.pretraining_pictures import save_samples
        from OrthoDiffusionLib.training.whole_networks import whole_network

        whole = whole_network(pretrained, plane)
        output.parent.mkdir(parents=True, exist_ok=True)
        save_samples(
            whole.network(),
            whole.window_size,
            output,
            seed=seed,
            prediction=whole.prediction,
            count=count,
            steps=steps,
            device=training_device(),
        )
        out.print(f"Written to {output}", soft_wrap=True)
