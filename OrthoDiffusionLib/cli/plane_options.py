"""Options on planes that several commands have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError

Combine = Annotated[
    bool,
    typer.Option(
        "--combine/--each-plane-alone", help="Make each plane's label map of all planes that fit, or of itself alone."
    ),
]


def plane_and_source(named: str, plane: Plane) -> tuple[Plane, str]:
    """Whose weights are named: PLANE=DIR names another plane's, and anything else the plane's own.

    Args:
        named: a folder or a bundle's name, with or without a plane before it.
        plane: to be trained.
    """
    before, separator, source = named.partition("=")
    return (Plane(before), source) if separator and before in list(Plane) else (plane, named)


def plane_folders(named: Sequence[str]) -> dict[Plane, Path]:
    """Folders of planes written as PLANE=DIR.

    Raises:
        OrthoDiffusionError: USAGE for what is not written so, and for a plane that is named twice.
    """
    folders: dict[Plane, Path] = {}
    for one in named:
        name, separator, folder = one.partition("=")
        if not (separator and folder and name in list(Plane)) or Plane(name) in folders:
            raise OrthoDiffusionError(
                ErrorKind.USAGE,
                f"“{one}” is not PLANE=DIR, or its plane was given before.",
                "Write --plane axial=DIR, once for each of axial, sagittal and coronal.",
            )
        folders[Plane(name)] = Path(folder)
    return folders
