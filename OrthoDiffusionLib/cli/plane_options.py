"""Options on planes that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

Combine = Annotated[
    bool,
    typer.Option(
        "--combine/--each-plane-alone", help="Make each plane's label map of all planes that fit, or of itself alone."
    ),
]
