"""Whether the bones of a label map can be those of a joint: labels that mean something else would go unseen.

Only what a cropped field of view leaves true is looked at, and a bone's own size only where the whole of it is seen; so
maps of children and of cut bones pass, and numbers that were given to other structures do not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from OrthoDiffusionLib.anatomy import Structure
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.volumes.volume import Volume

APART = 15.0
"""mm between two bones' centres; of those that lie closer, a narrow field of view may have cut what tells them."""


class Direction(NamedTuple):
    """Where a bone lies as seen from another one.

    Attributes:
        of: the bone.
        seen_from: the other one.
        axis: of RAS.
        sign: of the way from the other one's centre to the bone's along this axis.
        least: part of that way, -1 to 1, that goes there at least.
        words: for people.
    """

    of: str
    seen_from: str
    axis: int
    sign: int
    least: float
    words: str


class Smaller(NamedTuple):
    """A bone that is smaller than another one, and the ml that it never exceeds in an image of the joint: up to there,
    a field of view may have cut the other one smaller."""

    small: str
    large: str
    most: float


class BoneTable(NamedTuple):
    """What is true of a joint's bones in everybody.

    Attributes:
        directions: between the centres of two bones.
        smaller: pairs of volumes.
        volumes: least and largest ml of a bone of which nothing is cut, by its key.
    """

    directions: tuple[Direction, ...]
    smaller: tuple[Smaller, ...]
    volumes: Mapping[str, tuple[float, float]]


KNEE = BoneTable(
    (
        # 60 degrees off at most: knees are bent in some scanners, and no leg lies across one.
        Direction("tibia", "femur", 2, -1, 0.5, "below"),
        # A long femur's centre is far above the kneecap, and a dislocated one lies beside the bone: it is not behind.
        Direction("patella", "femur", 1, 1, -0.25, "in front of"),
    ),
    # A whole fibula has some 50 ml, a kneecap 10 to 30.
    (Smaller("fibula", "tibia", 60.0), Smaller("patella", "femur", 45.0)),
    # From the knee's end alone, cut short by whoever drew it, to the whole bone of a tall man. Cartilage of a femur has
    # up to 25 ml, of a patella up to 6.
    {"femur": (30.0, 1000.0), "tibia": (20.0, 800.0), "fibula": (0.0, 150.0), "patella": (2.0, 60.0)},
)
"""Orders of magnitude, with room on both sides."""

TABLES: Mapping[str, BoneTable] = {"knee": KNEE}
"""By joint; the bones of joints that are not here are not looked at."""


class _Bone(NamedTuple):
    """A bone in a label map: its centre (RAS, mm), its volume (ml), and whether nothing of it is cut."""

    centre: npt.NDArray[np.float64]
    volume: float
    whole: bool


def check_bones(labels: Volume, joint: str, structures: Sequence[Structure]) -> None:
    """Refuse a label map whose bones cannot be those of its joint.

    Args:
        labels: with the structures' labels, (i, j, k), on any grid; -1 for not annotated.
        joint: whose structures they are; without a table of it, nothing is refused.
        structures: of the joint.

    Raises:
        OrthoDiffusionError: BAD_LABEL_MAP; the sentence tells what is wrong with which bone.
    """
    table = TABLES.get(joint)
    if table is None:
        return
    known = {structure.key: structure.label for structure in structures}
    names = {structure.key: structure.name.lower() for structure in structures}
    keys = {*table.volumes, *(key for pair in table.smaller for key in (pair.small, pair.large))}
    seen = {key: _bone(labels, known[key]) for key in sorted(keys & known.keys())}
    bones = {key: bone for key, bone in seen.items() if bone is not None}
    for of, seen_from, axis, sign, least_part, words in table.directions:
        if of in bones and seen_from in bones:
            way = bones[of].centre - bones[seen_from].centre
            length = float(np.linalg.norm(way))
            if length > APART and sign * way[axis] < least_part * length:
                raise _implausible(f"The {names[of]} does not lie {words} the {names[seen_from]}")
    for small, large, most in table.smaller:
        if small in bones and large in bones:
            less, more = bones[small], bones[large]
            if less.volume > more.volume and (more.whole or less.volume > most):
                sizes = f"{less.volume:.0f} and {more.volume:.0f} ml"
                raise _implausible(f"The {names[small]} is larger than the {names[large]} ({sizes})")
    for key, (least, largest) in table.volumes.items():
        if key in bones and bones[key].whole and not least <= bones[key].volume <= largest:
            size = "small" if bones[key].volume < least else "large"
            raise _implausible(f"The {names[key]} has {bones[key].volume:.1f} ml, which is too {size} for one")


def _bone(labels: Volume, label: int) -> _Bone | None:
    mask = labels.array == label
    profiles = [mask.sum(axis=axes) for axes in ((1, 2), (0, 2), (0, 1))]
    count = int(profiles[0].sum())
    if not count:
        return None
    centre = [float(np.arange(len(profile)) @ profile) / count for profile in profiles]
    extents = [np.flatnonzero(profile)[[0, -1]] for profile in profiles]
    within = all(first > 0 and last < length - 1 for (first, last), length in zip(extents, labels.shape, strict=True))
    around = tuple(slice(max(first - 1, 0), last + 2) for first, last in extents)
    return _Bone(
        (labels.affine @ [*centre, 1.0])[:3],
        count * abs(float(np.linalg.det(labels.affine[:3, :3]))) / 1000,
        within and not bool((labels.array[around] == -1).any()),
    )


def _implausible(sentence: str) -> OrthoDiffusionError:
    return OrthoDiffusionError(
        ErrorKind.BAD_LABEL_MAP,
        f"{sentence}: the map's values may mean other structures, or its orientation is wrong.",
        "Say which value is which structure, with --label-values for phantoms or label_values in a dataset's manifest,"
        " or correct the map.",
    )
