"""`orthodiffusion probe`: which block and timestep of a pre-trained encoder tell the findings best."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.progress import Progress
from rich.table import Table

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.cli.datasets import (
    Dataset,
    PhantomJoint,
    Phantoms,
    SkipUnusable,
    Workers,
    prepared_studies,
    training_device,
)
from OrthoDiffusionLib.cli.left_out import LeftOut
from OrthoDiffusionLib.cli.reporting import check_writable, err, out, reported
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError


def probe(
    plane: Annotated[Plane, typer.Option(help="Plane of the encoder and of the series.")],
    output: Annotated[Path, typer.Option(help="Folder of the table and the curve.")],
    pretrained: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Output folder of `orthodiffusion pretrain`."),
    ] = None,
    bundle: Annotated[
        str | None, typer.Option(metavar="NAME|DIR", help="A bundle whose encoder is scored instead.")
    ] = None,
    dataset: Dataset = None,
    phantoms: Phantoms = None,
    blocks: Annotated[str, typer.Option(help="Blocks, separated by commas; or all.")] = "all",
    timesteps: Annotated[
        str, typer.Option(help="Timesteps, 0 to 999, separated by commas.")
    ] = "10,50,100,150,200,300,500,800",
    cache: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Folder of prepared studies and their features; by default, cache in the output folder."),
    ] = None,
    workers: Workers = 1,
    joint: PhantomJoint = None,
    skip_unusable: SkipUnusable = False,
) -> None:
    """Score linear probes on each block's features at each timestep; a table, and the curve that rises and falls."""
    with reported():
        from OrthoDiffusionLib.training.probing import probe_scores
        from OrthoDiffusionLib.training.probing_features import pooled_features
        from OrthoDiffusionLib.training.probing_report import best_score, write_report
        from OrthoDiffusionLib.training.trained_encoders import bundle_encoder, pretrained_encoder

        check_writable(output)
        if (pretrained is None) == (bundle is None):
            raise OrthoDiffusionError(
                ErrorKind.USAGE, "A probe looks at one encoder.", "Give either --pretrained or --bundle."
            )
        trained = pretrained_encoder(pretrained, plane) if pretrained is not None else bundle_encoder(bundle, plane)
        chosen = trained.encoder.block_names if blocks == "all" else tuple(block.strip() for block in blocks.split(","))
        times = _numbers(timesteps)
        studies = [
            study
            for study in prepared_studies(
                dataset,
                phantoms,
                cache or output / "cache",
                trained.window_size,
                workers,
                joint,
                LeftOut(skip_unusable),
            )
            if plane in study.depths
        ]
        joint = studies[0].joint if studies else "knee"
        with Progress(console=err, transient=True) as bar:
            task = bar.add_task("Features", total=len(studies) * len(times))
            features = pooled_features(
                trained.encoder,
                studies,
                plane,
                chosen,
                times,
                lambda: bar.advance(task),
                training_device(),
                (cache or output / "cache") / "features",
            )
        scores = probe_scores(features, studies, [finding.key for finding in load_joint(joint).findings])
        write_report(scores, {"plane": plane.value, "encoder": trained.source, "studies": len(studies)}, output)
        table = Table("block", "timestep", "macro-AUROC")
        for score in sorted(scores, key=lambda score: -score.macro)[:10]:
            table.add_row(score.block, str(score.timestep), f"{score.macro:.3f}")
        out.print(table)
        best = best_score(scores)
        out.print(f"Best: {best.block} at timestep {best.timestep}, macro-AUROC {best.macro:.3f}", soft_wrap=True)
        out.print(f"Written to {output}", soft_wrap=True)


def _numbers(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.strip().isdigit() and int(part) < 1000 for part in parts):
        raise OrthoDiffusionError(
            ErrorKind.USAGE,
            f"“{text}” is not a list of timesteps.",
            "Write numbers from 0 to 999, separated by commas.",
        )
    return [int(part) for part in parts]
