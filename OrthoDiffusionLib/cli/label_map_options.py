"""What commands ask about label maps that are scanned in place of phantoms' own anatomy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from OrthoDiffusionLib.cli.phantom_options import Side
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError

if TYPE_CHECKING:
    from OrthoDiffusionLib.phantom.label_map_turns import LabelMapTurns

LabelMaps = Annotated[
    Optional[list[Path]],  # noqa: UP045
    typer.Option(
        "--labels",
        help="Label map of a real knee whose anatomy is scanned, or a folder of some; may be given again. "
        "They take turns, a folder's in the order of their names, so that a seed always takes the same one.",
    ),
]
LabelValuesFile = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        "--label-values",
        metavar="FILE",
        help="YAML file that says which structure each value of the label maps is, as "
        "Resources/LabelValues/oai-zib.yaml does; without it, 1 is femur, 2 tibia, and so on.",
    ),
]
MapsSide = Annotated[
    Optional[Side],  # noqa: UP045
    typer.Option("--side", help="Which knee all label maps show; needed where a map does not tell."),
]


def label_map_turns(
    labels: Sequence[Path] | None, values: Path | None, side: Side | None, joint: str
) -> LabelMapTurns | None:
    """The label maps that are asked for; None for none.

    Raises:
        OrthoDiffusionError: USAGE for label maps of another joint than the knee, or what is said of label maps where
            none are given; what finding them and reading `values` raises.
    """
    from OrthoDiffusionLib.anatomy import load_joint
    from OrthoDiffusionLib.phantom.label_map_files import find_label_maps
    from OrthoDiffusionLib.phantom.label_map_turns import LabelMapTurns
    from OrthoDiffusionLib.volumes.label_values import read_label_values

    if not labels:
        if values is not None or side is not None:
            option = "--side" if values is None else "--label-values"
            raise OrthoDiffusionError(
                ErrorKind.USAGE, f"{option} is about label maps, and none are given.", "Leave it out, or add --labels."
            )
        return None
    if joint != "knee":
        raise OrthoDiffusionError(
            ErrorKind.USAGE,
            f"Label maps cannot be the anatomy of the {joint} yet.",
            "Leave --labels out, or make phantoms of the knee.",
        )
    return LabelMapTurns(
        tuple(find_label_maps(labels)),
        None if values is None else read_label_values(values, load_joint(joint).structures),
        None if side is None else side.value,
    )
