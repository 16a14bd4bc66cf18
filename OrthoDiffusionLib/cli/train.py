"""`orthodiffusion train-segmentation` and `train-diagnosis`: heads on a pre-trained encoder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer
from rich.progress import Progress
from rich.table import Table

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.cli.datasets import (
    Dataset,
    PhantomJoint,
    Phantoms,
    RandomContrasts,
    ScanAnew,
    SkipUnusable,
    Workers,
    joint_of,
    prepared_studies,
    training_device,
)
from OrthoDiffusionLib.cli.label_map_options import LabelMaps, LabelValuesFile, MapsSide, label_map_turns
from OrthoDiffusionLib.cli.left_out import LeftOut
from OrthoDiffusionLib.cli.reporting import err, out, reported
from OrthoDiffusionLib.cli.training_output import check_training_output
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError

if TYPE_CHECKING:
    from OrthoDiffusionLib.training.trained_plane import TrainedPlane

OfPlane = Annotated[Plane, typer.Option(help="Plane to train.")]
Start = Annotated[
    str,
    typer.Option("--from", metavar="DIR|BUNDLE", help="A pre-training's or a training's output folder, or a bundle."),
]
Output = Annotated[Path, typer.Option(help="Folder of the trained networks.")]
Changes = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--set", metavar="KEY=VALUE", help="Change one setting of the configuration; may be repeated."),
]
FEWER_AT_A_TIME = "Let fewer windows through the network at a time: --set together=1."
Cache = Annotated[Path | None, typer.Option(help="Folder of prepared studies; by default, cache in the output folder.")]


def tell_history(trained: TrainedPlane) -> None:
    """Print how networks came to be, but for the first sentence, which is their encoder's."""
    for sentence in trained.description.history[1:]:
        out.print(sentence, soft_wrap=True)


def train_segmentation(
    plane: OfPlane,
    start: Start,
    output: Output,
    dataset: Dataset = None,
    phantoms: Phantoms = None,
    config: Annotated[
        str, typer.Option(help="segmentation, or a YAML file, in which what is left out has the default.")
    ] = "segmentation",
    change: Changes = None,
    cache: Cache = None,
    workers: Workers = 1,
    joint: PhantomJoint = None,
    random_contrasts: RandomContrasts = 0,
    scan_anew: ScanAnew = None,
    labels: LabelMaps = None,
    label_values: LabelValuesFile = None,
    side: MapsSide = None,
    skip_unusable: SkipUnusable = False,
    masks_from: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="DIR",
            help="Begin with what another plane learnt from masks: the output folder of its train-segmentation.",
        ),
    ] = None,
    masks_began: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="DIR|BUNDLE",
            help="With --masks-from: what that training had for --from. The pre-training that this one starts from "
            "must have started there too.",
        ),
    ] = None,
) -> None:
    """Train a segmentation decoder on masks; started again, it goes on from its last checkpoint.

    The weights of the best validation are kept. From networks of another joint, the encoder alone is taken over. Losses
    and the Dice of each validation are in the output's losses.csv and, for TensorBoard, in its folder tensorboard.

    Example: orthodiffusion train-segmentation --plane axial --from pretrained/axial --dataset knees.json --output axial
    """
    with reported(kept="The last checkpoint is kept; the same command goes on from there.", when_short=FEWER_AT_A_TIME):
        from OrthoDiffusionLib.training.carried_masks import carried_masks
        from OrthoDiffusionLib.training.configurations import load_settings
        from OrthoDiffusionLib.training.prepared_size import prepared_size
        from OrthoDiffusionLib.training.resuming import UNFINISHED
        from OrthoDiffusionLib.training.segmentation_training import train_segmentation as train
        from OrthoDiffusionLib.training.settings import SegmentationSettings
        from OrthoDiffusionLib.training.shown_structures import named, never_shown
        from OrthoDiffusionLib.training.starting_points import features_of_source, starting_point
        from OrthoDiffusionLib.training.trained_plane import DESCRIPTION, save_plane

        check_training_output(output, DESCRIPTION)
        changes = [*(change or ()), *(() if scan_anew is None else (f"scanned_share={scan_anew}",))]
        if (masks_from is None) != (masks_began is None):
            raise OrthoDiffusionError(
                ErrorKind.USAGE,
                "Masks of another plane need both what was trained and what that had started from.",
                "Give --masks-from and --masks-began, or neither.",
            )
        # A decoder knows the features of the block and timestep that it was trained at.
        source = start if masks_from is None else str(masks_from)
        settings = features_of_source(source, plane, load_settings(SegmentationSettings, config, changes))
        maps = label_map_turns(labels, label_values, side, joint_of(dataset, joint))
        begun = starting_point(start, plane, joint_of(dataset, joint), settings)
        if masks_from is not None and masks_began is not None:
            begun = carried_masks(begun, masks_from, masks_began, settings)
        size = prepared_size(begun.description.window_size)
        left_out = LeftOut(skip_unusable)
        studies = prepared_studies(
            dataset,
            phantoms,
            cache or output / "cache",
            size,
            workers,
            joint,
            left_out,
            random_contrasts=random_contrasts,
            keep_anatomies=settings.scanned_share > 0,
            maps=maps,
        )
        have_masks = any(any(study.masked.get(plane, ())) for study in studies)
        if have_masks and (missing := never_shown(studies, plane, begun.description.joint)):
            err.print(
                f"[yellow]Warning:[/] No mask shows: {named(missing)}. The networks will never find them.",
                soft_wrap=True,
            )
        with Progress(console=err, transient=True) as bar:
            task = bar.add_task("Training", total=settings.steps)
            best = 0.0

            def report(step: int, loss: float, score: float | None) -> None:
                nonlocal best
                best = max(best, score or 0.0)
                bar.update(task, completed=step + 1, description=f"Loss {loss:.3f}, best Dice {best:.3f}")

            trained = train(begun, studies, settings, report, training_device(), output / UNFINISHED, output)
        trained = left_out.told(trained)
        save_plane(output, trained, {})
        shutil.rmtree(output / UNFINISHED, ignore_errors=True)
        tell_history(trained)
        out.print(f"Written to {output}", soft_wrap=True)


def train_diagnosis(
    plane: OfPlane,
    start: Start,
    output: Output,
    dataset: Dataset = None,
    phantoms: Phantoms = None,
    config: Annotated[
        str, typer.Option(help="diagnosis, or a YAML file, in which what is left out has the default.")
    ] = "diagnosis",
    change: Changes = None,
    cache: Cache = None,
    workers: Workers = 1,
    joint: PhantomJoint = None,
    skip_unusable: SkipUnusable = False,
) -> None:
    """Train a diagnosis head, and keep each study's logits from heads that saw no study of its patient.

    Losses of the head are in the output's losses.csv and, for TensorBoard, in its folder tensorboard; those of the
    folds' heads in its folder folds. With --set patience=N they include that on held-out patients.

    Example: orthodiffusion train-diagnosis --plane axial --from axial --dataset knees.json --output axial-both
    """
    with reported(kept="What was done is kept; the same command goes on from there.", when_short=FEWER_AT_A_TIME):
        from OrthoDiffusionLib.training.configurations import load_settings
        from OrthoDiffusionLib.training.diagnosis_training import train_diagnosis as train
        from OrthoDiffusionLib.training.fusion_data import HELD_OUT
        from OrthoDiffusionLib.training.held_out_figures import held_out_auroc
        from OrthoDiffusionLib.training.pooled_features import save_pooled
        from OrthoDiffusionLib.training.prepared_size import prepared_size
        from OrthoDiffusionLib.training.resuming import UNFINISHED
        from OrthoDiffusionLib.training.settings import DiagnosisSettings
        from OrthoDiffusionLib.training.starting_points import features_of_source, starting_point
        from OrthoDiffusionLib.training.trained_plane import DESCRIPTION, save_plane

        check_training_output(output, DESCRIPTION)
        settings = features_of_source(start, plane, load_settings(DiagnosisSettings, config, change or ()))
        begun = starting_point(start, plane, joint_of(dataset, joint), settings)
        size = prepared_size(begun.description.window_size)
        left_out = LeftOut(skip_unusable)
        studies = prepared_studies(dataset, phantoms, cache or output / "cache", size, workers, joint, left_out)
        with Progress(console=err, transient=True) as bar:
            task = bar.add_task("Training", total=1.0)
            trained, held_out, pooled = train(
                begun,
                studies,
                settings,
                lambda what, share: bar.update(task, completed=share, description=what),
                training_device(),
                (cache or output / "cache") / "features",
                output,
                output / UNFINISHED,
            )
        trained = left_out.told(trained)
        # It comes last, for a folder with it is whole; there is one where the command was killed before it removed the
        # checkpoints.
        (output / DESCRIPTION).unlink(missing_ok=True)
        save_pooled(output, pooled)
        save_plane(output, trained, {HELD_OUT: held_out})
        shutil.rmtree(output / UNFINISHED, ignore_errors=True)
        table = Table("finding", "AUROC out of fold")
        for key, value in held_out_auroc(
            held_out, [f.key for f in load_joint(trained.description.joint).findings]
        ).items():
            table.add_row(key, f"{value:.3f}")
        out.print(table)
        tell_history(trained)
        out.print(f"Written to {output}", soft_wrap=True)
