"""Which planes' answers are averaged on a plane's own grid: all that show the knee in the same place.

Each plane blurs the joint along its own normal, and its networks err in their own way: on 12 phantoms of a centre that
training never saw, the planes alone had a mean Dice of 0.66, and their mean 0.75. Averaging over views is the idea of
Perslev et al. 2019, "One Network To Segment Them All".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.inference.alignment import displacement
from OrthoDiffusionLib.inference.grids import ScoreVolume
from OrthoDiffusionLib.inference.study import Study

FARTHEST_MM = 5.0
"""Planes whose structures lie farther apart are not averaged. On 6 phantoms that kept still the estimate was up to 2.5
mm, for fat, and with it marrow, is shifted along each plane's own readout. Shifted by 2 mm, the mean still found
all structures better than a plane alone; by 4 mm, bones alone."""


class Views(NamedTuple):
    """Which planes take part in which label map.

    Attributes:
        of: for each plane, the planes whose answers are averaged on its grid, itself among them.
        together: the planes of the one label map of all, the largest group.
        warnings: sentences for the person.
    """

    of: Mapping[Plane, tuple[Plane, ...]]
    together: tuple[Plane, ...]
    warnings: tuple[str, ...] = ()

    @property
    def apart(self) -> bool:
        """Whether some planes show the joint in another place than others."""
        return len(self.together) < len(self.of)


def views_of_planes(scores: Mapping[Plane, ScoreVolume], study: Study, check: Callable[[], None]) -> Views:
    """Compare the planes, two at a time; those cut out of one volume need no comparison.

    Every plane is averaged with the largest group around it of which any two fit; of equals, the first in pose order.

    Args:
        scores: class probabilities of each plane that was segmented.
        study: whose planes they are.
        check: called before each comparison; raises to stop.
    """
    fits: dict[tuple[Plane, Plane], bool] = {}
    warnings = []
    for first, second in combinations(scores, 2):
        check()
        distance = _distance_mm(first, second, scores, study)
        fits[first, second] = distance <= FARTHEST_MM
        if distance > FARTHEST_MM:
            warnings.append(
                f"The {first.value} and {second.value} planes show the joint {distance:.0f} mm apart or more, as when a"
                " person moved: their label maps are not combined."
            )
    groups = [
        group
        for size in range(len(scores), 0, -1)
        for group in combinations(scores, size)
        if all(fits[pair] for pair in combinations(group, 2))
    ]
    of = {plane: next(group for group in groups if plane in group) for plane in scores}
    together = groups[0] if groups else ()
    if len(together) < len(scores):
        named = ", ".join(plane.value for plane in together)
        warnings.append(f"The label map of all planes is made of these alone: {named}.")
    return Views(of, together, tuple(warnings))


def each_alone(scores: Mapping[Plane, ScoreVolume], study: Study) -> Views:
    """Every plane by its own networks alone, but for planes cut out of one volume, which is of one anatomy.

    The one label map of all planes is still made of all of them.
    """
    volumes = {plane: study.series[plane].volume for plane in scores}
    groups = {plane: tuple(view for view in scores if volumes[view] is volumes[plane]) for plane in scores}
    return Views(groups, tuple(scores))


def _distance_mm(first: Plane, second: Plane, scores: Mapping[Plane, ScoreVolume], study: Study) -> float:
    """How far apart two planes show the joint; 0 where they are of one volume or share too little to say."""
    if study.series[first].volume is study.series[second].volume:
        return 0.0
    moved = displacement(scores[first], scores[second])
    return 0.0 if moved is None else float(np.linalg.norm(moved))
