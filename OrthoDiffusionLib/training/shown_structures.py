"""Structures that a training's masks show, and those that they never do."""

from __future__ import annotations

from collections.abc import Sequence

from OrthoDiffusionLib.anatomy import Plane, Structure, load_joint
from OrthoDiffusionLib.datasets.cache import CachedStudy


def never_shown(studies: Sequence[CachedStudy], plane: Plane, joint: str) -> list[Structure]:
    """The structures of a joint that no mask of any study shows in a plane, in the joint's order.

    A decoder that is trained on such masks learns never to find them, whatever an image shows.

    Args:
        studies: prepared; those without masks of the plane count for nothing.
        plane: of the masks.
        joint: whose structures are looked for.

    Raises:
        OSError: when a prepared study cannot be read again.
    """
    missing = {structure.label: structure for structure in load_joint(joint).structures}
    for study in studies:
        if not missing:
            break
        for label in study.labels_shown(plane):
            missing.pop(label, None)
    return list(missing.values())


def named(structures: Sequence[Structure]) -> str:
    """Names of structures as part of a sentence."""
    return ", ".join(structure.name for structure in structures)
