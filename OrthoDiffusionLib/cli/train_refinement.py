"""`orthodiffusion train-refinement`: outlines finer than the grid of the planes' networks."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer
from rich.progress import Progress

from OrthoDiffusionLib.bundles.opening import open_bundle
from OrthoDiffusionLib.bundles.registry import find_bundle
from OrthoDiffusionLib.cli.datasets import (
    Dataset,
    Phantoms,
    RandomContrasts,
    SkipUnusable,
    Workers,
    check_joint,
    seeds_unless_dataset,
    training_device,
)
from OrthoDiffusionLib.cli.left_out import LeftOut
from OrthoDiffusionLib.cli.plane_options import plane_folders
from OrthoDiffusionLib.cli.reporting import err, out, reported
from OrthoDiffusionLib.cli.train import Cache, Changes
from OrthoDiffusionLib.cli.training_output import check_training_output
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from OrthoDiffusionLib.anatomy import Plane
    from OrthoDiffusionLib.datasets.labelled_studies import LabelledStudy
    from OrthoDiffusionLib.training.trained_plane import TrainedPlane


def train_refinement(
    output: Annotated[Path, typer.Option(help="Folder of the trained refinement.")],
    plane: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            metavar="PLANE=DIR", help="Output folder of train-segmentation or train-diagnosis, of each plane."
        ),
    ] = None,
    bundle: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Name or folder of a bundle whose planes are taken instead; see `bundle refine`."),
    ] = None,
    start: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--from",
            metavar="DIR|BUNDLE",
            help="Refinement of the same planes to train further: output folder of train-refinement, or a bundle.",
        ),
    ] = None,
    dataset: Dataset = None,
    phantoms: Phantoms = None,
    config: Annotated[
        str, typer.Option(help="refinement, or a YAML file, in which what is left out has the default.")
    ] = "refinement",
    change: Changes = None,
    cache: Cache = None,
    workers: Workers = 1,
    random_contrasts: RandomContrasts = 0,
    skip_unusable: SkipUnusable = False,
) -> None:
    """Train a network that sees the images' own detail to refine the outlines which the planes' networks find.

    They stay as they are. What they find in a study, 1 MB for each slice, is kept in the cache: the same command,
    killed and started again, need not find it again, and goes on with the training where it was. Each of --workers
    holds the networks; on a GPU they share it. Losses are in the output's losses.csv and, for TensorBoard, in its
    folder tensorboard.

    Example: orthodiffusion train-refinement --plane axial=both/axial --plane sagittal=both/sagittal --plane
    coronal=both/coronal --dataset knees.yaml --output refined

    With --bundle it is of a bundle's planes, and `orthodiffusion bundle refine` makes a new bundle of both; with --from
    of the same bundle, its refinement learns further.
    """
    with reported(
        kept="What was prepared, and the last checkpoint, are kept; the same command goes on from there.",
        when_short="Let fewer --workers prepare studies, or choose --set batch=4.",
    ):
        from OrthoDiffusionLib.training.configurations import load_settings
        from OrthoDiffusionLib.training.refinement_preparing import kept_studies
        from OrthoDiffusionLib.training.refinement_stacks import networks_digest
        from OrthoDiffusionLib.training.refinement_training import train_refinement as train
        from OrthoDiffusionLib.training.resuming import UNFINISHED
        from OrthoDiffusionLib.training.settings import RefinementSettings
        from OrthoDiffusionLib.training.trained_plane import common_description
        from OrthoDiffusionLib.training.trained_refinement import (
            DESCRIPTION,
            described_refinement,
            refinement_of,
            save_refinement,
        )

        check_training_output(output, DESCRIPTION)
        planes = _planes(plane or (), bundle)
        joint = common_description(planes).joint
        settings = load_settings(RefinementSettings, config, change or ())
        begun = None if start is None else refinement_of(start)
        if begun is not None:
            begun.check_belongs_to(planes)
        labelled = _labelled(dataset, phantoms, joint, random_contrasts=random_contrasts)
        digest = networks_digest(planes)
        left_out = LeftOut(skip_unusable)
        with Progress(console=err, transient=True) as bar:
            preparing = bar.add_task("Preparing studies", total=1.0)
            studies = kept_studies(
                labelled,
                planes,
                cache or output / "cache",
                lambda share: bar.update(preparing, completed=share),
                training_device(),
                workers,
                left_out.if_wanted,
            )
            bar.update(preparing, completed=1.0)
            task = bar.add_task("Training", total=settings.steps)
            looking = bar.add_task("Second pass", total=1.0)

            def report(step: int, loss: float) -> None:
                bar.update(task, completed=step + 1, description=f"Loss {loss:.3f}")

            def tell(stage: str, share: float) -> None:
                bar.update(looking, completed=share, description=stage)

            trained = train(
                studies,
                joint,
                settings,
                report,
                output / UNFINISHED,
                tell,
                training_device(),
                log_folder=output,
                start=None if begun is None else begun.network,
            )
        refinement = left_out.told(described_refinement(trained, joint, digest, settings, begun))
        save_refinement(output, refinement)
        shutil.rmtree(output / UNFINISHED, ignore_errors=True)
        out.print(refinement.description.history, soft_wrap=True)
        if trained.before is not None and trained.after is not None and trained.after <= trained.before:
            better = "without it" if begun is None else "with the one that it began with"
            err.print(f"[yellow]Warning:[/] The refinement is no gain; a bundle is better {better}.", soft_wrap=True)
        out.print(f"Written to {output}", soft_wrap=True)


def _planes(named: Sequence[str], bundle: str | None) -> dict[Plane, TrainedPlane]:
    from OrthoDiffusionLib.training.starting_points import has_structures_of, planes_of_bundle
    from OrthoDiffusionLib.training.trained_plane import load_plane
    from OrthoDiffusionLib.volumes.windows import WINDOW_SLICES

    if bool(named) == (bundle is not None):
        raise OrthoDiffusionError(
            ErrorKind.USAGE,
            "A refinement is trained on the planes of folders, or on those of a bundle.",
            "Give --plane for each plane, or --bundle.",
        )
    if bundle is None:
        planes = {plane: load_plane(folder) for plane, folder in plane_folders(named).items()}
        if lacking := [plane.value for plane, trained in planes.items() if trained.networks.segmentation is None]:
            raise OrthoDiffusionError(
                ErrorKind.BAD_SETTINGS,
                f"These planes have no segmentation decoder: {', '.join(lacking)}.",
                "Name the output folders of `orthodiffusion train-segmentation`.",
            )
        return planes
    opened = open_bundle(find_bundle(bundle))
    manifest = opened.manifest
    if not has_structures_of(manifest, manifest.joint) or manifest.network.window_slices != WINDOW_SLICES:
        raise OrthoDiffusionError(
            ErrorKind.BAD_SETTINGS,
            "The bundle's structures, or its windows' number of slices, differ from this version's.",
            "Choose a bundle that `orthodiffusion bundle export` made.",
        )
    planes = {plane: one for plane, one in planes_of_bundle(opened).items() if manifest.segments(plane)}
    if not planes:
        raise OrthoDiffusionError(
            ErrorKind.BAD_SETTINGS, "The bundle has no segmentation decoder.", "Choose a bundle that segments."
        )
    return planes


def _labelled(dataset: Path | None, phantoms: str | None, joint: str, *, random_contrasts: int) -> list[LabelledStudy]:
    from OrthoDiffusionLib.datasets.labelled_studies import labelled_entries, labelled_phantoms
    from OrthoDiffusionLib.datasets.manifest import read_manifest

    seeds = seeds_unless_dataset(dataset, phantoms, random_contrasts=random_contrasts)
    if dataset is None:
        return labelled_phantoms(seeds, joint, random_contrasts=random_contrasts)
    manifest = read_manifest(dataset)
    check_joint(manifest, joint)
    return labelled_entries(manifest)
