"""What every training command asks about its dataset and its machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError

if TYPE_CHECKING:
    from OrthoDiffusionLib.datasets.cache import CachedStudy

Dataset = Annotated[Optional[Path], typer.Option(help="Manifest of the studies, JSON or YAML.")]  # noqa: UP045
Phantoms = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(metavar="FIRST:LAST", help="Seeds of phantoms to train on instead, the last one not included."),
]


def training_device() -> str:
    """`cuda` where there is one, else `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def prepared_studies(
    dataset: Path | None, phantoms: str | None, cache: Path, size: int, processes: int = 1
) -> list[CachedStudy]:
    """The studies of a manifest or of phantoms' seeds, prepared at size x size pixels.

    Args:
        dataset: manifest; or
        phantoms: FIRST:LAST.
        cache: folder of what is prepared.
        size: pixels.
        processes: that prepare.

    Raises:
        OrthoDiffusionError: USAGE, unless exactly one of both is given and the seeds are two rising numbers; what
            reading the dataset raises.
    """
    from OrthoDiffusionLib.datasets.cache import prepare_manifest, prepare_phantoms
    from OrthoDiffusionLib.datasets.manifest import read_manifest

    if (dataset is None) == (phantoms is None):
        raise OrthoDiffusionError(
            ErrorKind.USAGE, "Training needs one dataset.", "Give either --dataset or --phantoms."
        )
    if dataset is not None:
        return prepare_manifest(read_manifest(dataset), cache, size, processes)
    assert phantoms is not None
    first, separator, last = phantoms.partition(":")
    if not (separator and first.isdigit() and last.isdigit() and int(first) < int(last)):
        raise OrthoDiffusionError(
            ErrorKind.USAGE, f"{phantoms} is no range of seeds.", "Write it as FIRST:LAST, such as 0:200."
        )
    return prepare_phantoms(range(int(first), int(last)), cache, size, processes)
