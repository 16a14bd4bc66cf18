"""What every training command asks about its dataset and its machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError

if TYPE_CHECKING:
    from OrthoDiffusionLib.cli.left_out import LeftOut
    from OrthoDiffusionLib.datasets.cache import CachedStudy

Dataset = Annotated[Optional[Path], typer.Option(help="Manifest of the studies, JSON or YAML.")]  # noqa: UP045
Phantoms = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(metavar="FIRST:LAST", help="Seeds of phantoms to train on instead, the last one not included."),
]


PhantomJoint = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--joint", help="Of the phantoms: knee, ankle or shoulder. A manifest says its own."),
]
RandomContrast = Annotated[
    bool,
    typer.Option(
        "--random-contrast", help="Scan each phantom once more in a contrast of chance, so that masks hold on others."
    ),
]


Workers = Annotated[int, typer.Option(help="Processes that prepare studies.", min=1)]

SkipUnusable = Annotated[
    bool,
    typer.Option("--skip-unusable", help="Leave out studies of the dataset that cannot be read, and say which."),
]


def training_device() -> str:
    """`cuda` where there is one, else `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def joint_of(dataset: Path | None, phantoms_joint: str | None) -> str:
    """The joint of a manifest, or of phantoms.

    Raises:
        OrthoDiffusionError: USAGE, when the manifest is of another joint than was asked for, or there is no phantom of
            the joint; what reading the manifest raises.
    """
    from OrthoDiffusionLib.datasets.manifest import read_manifest
    from OrthoDiffusionLib.phantom import JOINT_MODELS

    if dataset is not None:
        joint = read_manifest(dataset).joint
        if phantoms_joint not in (None, joint):
            raise OrthoDiffusionError(
                ErrorKind.USAGE, f"The dataset is of the {joint}.", "Leave out --joint, which is for phantoms."
            )
        return joint
    joint = phantoms_joint or "knee"
    if joint not in JOINT_MODELS:
        known = ", ".join(JOINT_MODELS)
        raise OrthoDiffusionError(ErrorKind.USAGE, f"There is no phantom of the {joint}.", f"Choose one of {known}.")
    return joint


def prepared_studies(
    dataset: Path | None,
    phantoms: str | None,
    cache: Path,
    size: int,
    processes: int = 1,
    joint: str | None = None,
    left_out: LeftOut | None = None,
    *,
    random_contrast: bool = False,
) -> list[CachedStudy]:
    """The studies of a manifest or of phantoms' seeds, prepared at size x size pixels.

    Args:
        dataset: manifest; or
        phantoms: FIRST:LAST.
        cache: folder of what is prepared.
        size: pixels.
        processes: that prepare.
        joint: of the phantoms; None for the knee.
        left_out: told the manifest's studies that cannot be used, if they are to be left out; None to refuse them.
        random_contrast: whether phantoms are also scanned in a contrast of chance.

    Raises:
        OrthoDiffusionError: USAGE, unless exactly one of both is given and the seeds are two rising numbers, or for a
            joint without phantoms, or a contrast of chance of what is no phantom; what reading the dataset raises.
    """
    from OrthoDiffusionLib.datasets.cache import prepare_manifest, prepare_phantoms
    from OrthoDiffusionLib.datasets.manifest import read_manifest

    seeds = seeds_unless_dataset(dataset, phantoms, random_contrast=random_contrast)
    joint = joint_of(dataset, joint)
    if dataset is not None:
        return prepare_manifest(read_manifest(dataset), cache, size, processes, left_out and left_out.if_wanted)
    return prepare_phantoms(seeds, cache, size, processes, joint, random_contrast=random_contrast)


def seeds_unless_dataset(dataset: Path | None, phantoms: str | None, *, random_contrast: bool) -> range:
    """The seeds that `phantoms` names; none where a dataset is given in its place.

    Args:
        dataset: manifest; or
        phantoms: FIRST:LAST.
        random_contrast: whether phantoms are also scanned in a contrast of chance.

    Raises:
        OrthoDiffusionError: USAGE, unless exactly one of both is given and the seeds are two rising numbers, or for a
            contrast of chance of what is no phantom.
    """
    if (dataset is None) == (phantoms is None):
        raise OrthoDiffusionError(
            ErrorKind.USAGE, "Training needs one dataset.", "Give either --dataset or --phantoms."
        )
    if phantoms is None:
        if random_contrast:
            raise OrthoDiffusionError(
                ErrorKind.USAGE, "Only phantoms can be scanned once more.", "Leave out --random-contrast."
            )
        return range(0)
    first, separator, last = phantoms.partition(":")
    if not (separator and first.isdigit() and last.isdigit() and int(first) < int(last)):
        raise OrthoDiffusionError(
            ErrorKind.USAGE, f"{phantoms} is no range of seeds.", "Write it as FIRST:LAST, such as 0:200."
        )
    return range(int(first), int(last))
