"""What a bundle can be asked for, as its manifest says. Standard library alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Offer:
    """Planes that a bundle segments, and planes that it diagnoses from; either may be none."""

    segmented: frozenset[str]
    diagnosed: frozenset[str]


_ALL = frozenset(("sagittal", "coronal", "axial"))
EVERYTHING = Offer(_ALL, _ALL)


def bundle_offer(manifest: Mapping[str, Any]) -> Offer:
    """What a bundle's manifest offers.

    A manifest that makes no sense offers everything: the worker verifies the bundle, and says what is wrong with it.
    """
    try:
        recipes = dict(manifest["planes"])
        segmented = frozenset(plane for plane, recipe in recipes.items() if recipe.get("segmentation"))
        diagnosed = frozenset(plane for plane, recipe in recipes.items() if recipe.get("diagnosis"))
    except (KeyError, TypeError, ValueError, AttributeError):
        return EVERYTHING
    return Offer(segmented, diagnosed)
