"""Options on phantoms that several commands have."""

from __future__ import annotations

from collections.abc import Sequence
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


HEALTHY = "none"
"""In place of a finding: there is none."""


def asked_findings(asked: Sequence[str], joint: str) -> dict[str, float] | None:
    """Severity of each finding asked for as `KEY=SEVERITY`, or as `KEY` for a severity of 1; None if none is.

    Args:
        asked: by a command's option, or `none` alone for a healthy joint.
        joint: whose findings they are.

    Raises:
        OrthoDiffusionError: USAGE, for a finding that the joint has not, or a severity that is not over 0 to 1.
    """
    from OrthoDiffusionLib.anatomy import load_joint

    if not asked:
        return None
    if list(asked) == [HEALTHY]:
        return {}
    keys = [finding.key for finding in load_joint(joint).findings]
    severities: dict[str, float] = {}
    for text in asked:
        key, _, severity = text.partition("=")
        if key not in keys or key in severities:
            raise OrthoDiffusionError(
                ErrorKind.USAGE,
                f"{text} names no finding of the {joint}, or one twice.",
                f"Choose each once, of {', '.join(keys)}; or {HEALTHY} alone.",
            )
        try:
            severities[key] = float(severity) if "=" in text else 1.0
        except ValueError:
            severities[key] = 0.0
        if not 0 < severities[key] <= 1:
            raise OrthoDiffusionError(
                ErrorKind.USAGE,
                f"{text} has no severity over 0 and up to 1.",
                f"Write {key}=0.8, or {key} for the most severe one; what is not named is absent.",
            )
    return severities
