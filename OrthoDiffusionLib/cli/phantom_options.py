"""Options on phantoms that several commands have."""

from __future__ import annotations

from enum import Enum

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError


class Contrast(str, Enum):
    """Where a phantom's signals come from."""

    PHYSICAL = "physical"
    RANDOM = "random"


class Side(str, Enum):
    """Of the person."""

    LEFT = "left"
    RIGHT = "right"


def check_centre(centre: str | None, contrast: Contrast) -> None:
    """Refuse a centre that there is not, or that nothing would be left of.

    Raises:
        OrthoDiffusionError: USAGE.
    """
    from OrthoDiffusionLib.phantom import CENTRES

    if centre is None:
        return
    if centre not in CENTRES:
        raise OrthoDiffusionError(
            ErrorKind.USAGE, f"There is no centre {centre}.", f"Choose one of {', '.join(CENTRES)}."
        )
    if contrast is Contrast.RANDOM:
        raise OrthoDiffusionError(
            ErrorKind.USAGE,
            f"Signals, resolution and artefacts drawn at random are not those of a centre such as {centre}.",
            "Leave out --centre or --contrast random.",
        )
