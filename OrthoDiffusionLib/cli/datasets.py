"""Options on datasets and processes that the training commands share, and the studies that they name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError

if TYPE_CHECKING:
    from OrthoDiffusionLib.cli.left_out import LeftOut
    from OrthoDiffusionLib.datasets.cache import CachedStudy
    from OrthoDiffusionLib.datasets.manifest import DatasetManifest
    from OrthoDiffusionLib.datasets.unusable import LeaveOut, UnusableStudy
    from OrthoDiffusionLib.phantom.label_map_turns import LabelMapTurns

Dataset = Annotated[Optional[Path], typer.Option(help="Manifest of the studies, JSON or YAML.")]  # noqa: UP045
Phantoms = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        metavar="FIRST:LAST", help="Take phantoms with these seeds instead of a dataset; LAST is not included."
    ),
]


PhantomJoint = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--joint", help="Joint of the phantoms: knee, ankle or shoulder. A manifest says its own."),
]
RandomContrasts = Annotated[
    int,
    typer.Option(
        metavar="N",
        help="Also scan each phantom N times in a contrast of chance, each time another.",
        min=0,
    ),
]
ScanAnew = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option(
        metavar="SHARE",
        help="Share of the windows, 0 to 1, for which a phantom is scanned anew, each with a contrast, a resolution "
        "and artefacts of its own; over the configuration's scanned_share.",
        min=0,
        max=1,
    ),
]


Workers = Annotated[int, typer.Option(help="Processes that prepare studies.", min=1)]

SkipUnusable = Annotated[
    bool,
    typer.Option("--skip-unusable", help="Leave out studies and label maps that cannot be used, and say which."),
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


def check_joint(manifest: DatasetManifest, joint: str) -> None:
    """Refuse a dataset of another joint than the networks'.

    Args:
        manifest: of the dataset.
        joint: of the networks.

    Raises:
        OrthoDiffusionError: BAD_SETTINGS.
    """
    if manifest.joint != joint:
        raise OrthoDiffusionError(
            ErrorKind.BAD_SETTINGS,
            f"The dataset is of the {manifest.joint}, the networks are of the {joint}.",
            f"Name a dataset of the {joint}.",
        )


def prepared_studies(
    dataset: Path | None,
    phantoms: str | None,
    cache: Path,
    size: int,
    processes: int = 1,
    joint: str | None = None,
    left_out: LeftOut | None = None,
    *,
    random_contrasts: int = 0,
    keep_anatomies: bool = False,
    maps: LabelMapTurns | None = None,
) -> list[CachedStudy]:
    """The studies of a manifest or of phantoms' seeds, prepared at size x size pixels.

    Args:
        dataset: manifest; or
        phantoms: FIRST:LAST.
        cache: folder of what is prepared.
        size: pixels.
        processes: that prepare.
        joint: of the phantoms; None for the knee.
        left_out: told the manifest's studies, or the label maps, that cannot be used, if they are to be left out; None
            to refuse them.
        random_contrasts: how often phantoms are also scanned in a contrast of chance.
        keep_anatomies: whether phantoms are to be scanned anew.
        maps: label maps whose anatomies the phantoms have.

    Raises:
        OrthoDiffusionError: USAGE, unless exactly one of both is given and the seeds are two rising numbers, or for a
            joint without phantoms, or a contrast of chance, a new scan or a label map's anatomy of what is no phantom,
            or for a single label map; what reading the dataset and label maps raises.
    """
    from OrthoDiffusionLib.datasets.cache import prepare_manifest, prepare_phantoms
    from OrthoDiffusionLib.datasets.manifest import read_manifest

    seeds = seeds_unless_dataset(dataset, phantoms, random_contrasts=random_contrasts)
    joint = joint_of(dataset, joint)
    if dataset is not None:
        if keep_anatomies:
            raise OrthoDiffusionError(
                ErrorKind.USAGE, "Only phantoms can be scanned anew.", "Leave out --scan-anew, or set scanned_share=0."
            )
        if maps is not None:
            raise OrthoDiffusionError(
                ErrorKind.USAGE,
                "Only phantoms can have a label map's anatomy.",
                "Name seeds with --phantoms, or leave out --labels: a dataset names its own label maps.",
            )
        return prepare_manifest(read_manifest(dataset), cache, size, processes, left_out and left_out.if_wanted)
    leave_out = left_out and left_out.if_wanted
    if maps is not None:
        _check_knees(maps)
        leave_out = leave_out and _leaving_two(leave_out, min(len(seeds), len(maps.paths)))
    return prepare_phantoms(
        seeds,
        cache,
        size,
        processes,
        joint,
        random_contrasts=random_contrasts,
        keep_anatomies=keep_anatomies,
        maps=maps,
        leave_out=leave_out,
    )


def _check_knees(maps: LabelMapTurns) -> None:
    """Refuse a single label map, after what is wrong with it; all of its studies are one patient's."""
    if len({path.resolve() for path in maps.paths}) > 1:
        return
    maps.label_map(0)
    raise _too_few_knees()


def _leaving_two(leave_out: LeaveOut, count: int) -> LeaveOut:
    """As `leave_out`, and refuse what is left of so many label maps if it is a single one."""

    def told(unusable: Sequence[UnusableStudy]) -> None:
        leave_out(unusable)
        if count - len(unusable) < 2:
            raise _too_few_knees()

    return told


def _too_few_knees() -> OrthoDiffusionError:
    return OrthoDiffusionError(
        ErrorKind.USAGE,
        "One label map is too few to train on, for one knee at least is held out for the validation.",
        "Name more label maps with --labels, or leave it out to train on the phantoms' own anatomy.",
    )


def seeds_unless_dataset(dataset: Path | None, phantoms: str | None, *, random_contrasts: int) -> range:
    """The seeds that `phantoms` names; none where a dataset is given in its place.

    Args:
        dataset: manifest; or
        phantoms: FIRST:LAST.
        random_contrasts: how often phantoms are also scanned in a contrast of chance.

    Raises:
        OrthoDiffusionError: USAGE, unless exactly one of both is given and the seeds are two rising numbers, or for a
            contrast of chance of what is no phantom.
    """
    if (dataset is None) == (phantoms is None):
        raise OrthoDiffusionError(
            ErrorKind.USAGE, "Training needs one dataset.", "Give either --dataset or --phantoms."
        )
    if phantoms is None:
        if random_contrasts:
            raise OrthoDiffusionError(
                ErrorKind.USAGE, "Only phantoms can be scanned once more.", "Leave out --random-contrasts."
            )
        return range(0)
    first, separator, last = phantoms.partition(":")
    if not (separator and first.isdigit() and last.isdigit() and int(first) < int(last)):
        raise OrthoDiffusionError(
            ErrorKind.USAGE, f"“{phantoms}” is not a range of seeds.", "Write it as FIRST:LAST, such as 0:200."
        )
    return range(int(first), int(last))
