"""Where the schemas, bundles and sample data are, in a checkout as in an installation."""

from __future__ import annotations

import os
from pathlib import Path

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError

RESOURCES_VARIABLE = "ORTHODIFFUSION_RESOURCES"


def resources_folder() -> Path:
    """The folder that holds `Schemas`, `Bundles`, `SampleData`, `Training` and `LabelValues`.

    A source checkout and an installed Slicer extension keep it beside the library, a wheel inside it;
    the environment variable ORTHODIFFUSION_RESOURCES names another.

    Raises:
        OrthoDiffusionError: FILE_NOT_FOUND, when none of these places has schemas.
    """
    library = Path(__file__).resolve().parent
    named = os.environ.get(RESOURCES_VARIABLE)
    places = [Path(named)] if named else [library.parent / "Resources", library / "Resources"]
    for place in places:
        if (place / "Schemas").is_dir():
            return place
    raise OrthoDiffusionError(
        ErrorKind.FILE_NOT_FOUND,
        "The Resources folder of OrthoDiffusion was not found.",
        f"Install OrthoDiffusion again, or name the folder in {RESOURCES_VARIABLE}.",
        detail="looked in: " + ", ".join(str(place) for place in places),
    )
