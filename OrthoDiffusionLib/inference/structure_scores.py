"""Each plane's class probabilities: its own networks', those of all planes that show the joint alike, and refined."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.inference.grids import ScoreVolume, averaged
from OrthoDiffusionLib.inference.model import PlaneModel
from OrthoDiffusionLib.inference.one_piece import keep_one_piece
from OrthoDiffusionLib.inference.plane_pass import plane_scores
from OrthoDiffusionLib.inference.refining import refined
from OrthoDiffusionLib.networks.refinement import PASSES, RefinementNetwork
from OrthoDiffusionLib.volumes.volume import Volume


def own_scores(
    model: PlaneModel, stack: Volume, seed: int, one_piece: Sequence[int], tell: Callable[[float], None]
) -> ScoreVolume:
    """Class probabilities by a plane's own networks, bones in one piece.

    Args:
        model: of the plane, with a segmentation decoder.
        stack: the plane's slices.
        seed: of the noise.
        one_piece: labels of the structures that are one piece.
        tell: told the share of the windows done, 0 to 1, before each.
    """
    found = plane_scores(model, stack, seed, tell)
    keep_one_piece(found.scores, one_piece)
    return found


def mean_of_views(
    views: Sequence[ScoreVolume], grid: ScoreVolume, one_piece: Sequence[int], check: Callable[[], None]
) -> ScoreVolume:
    """The mean of several planes' class probabilities on one plane's network grid, bones in one piece.

    Args:
        views: that are averaged.
        grid: the plane's own class probabilities; given back where they are the only view.
        one_piece: labels of the structures that are one piece.
        check: called between slabs; raises to stop.
    """
    mean = averaged(views, grid, check)
    keep_one_piece(mean.scores, one_piece, check)
    return mean


def refined_views(
    network: RefinementNetwork,
    images: Mapping[Plane, torch.Tensor],
    scores: Mapping[Plane, ScoreVolume],
    views: Sequence[Plane],
    one_piece: Sequence[int],
    check: Callable[[], None],
    passes: int = PASSES,
) -> dict[Plane, ScoreVolume]:
    """Planes that show the joint alike, each refined on its own grid from the mean of them all.

    Their mean is a label map's best source: each plane's outlines are sharp within its slices, and the others' across
    them. On 6 phantoms it has a mean Dice of 0.849, each plane by its own 0.837, the mean after one pass 0.848; on
    contrasts of chance 0.842, 0.827 and 0.830.

    Args:
        network: in evaluation mode.
        images: of each plane, as `detail_images` makes them.
        scores: of the planes by their own networks.
        views: the planes.
        one_piece: labels of the structures that are one piece.
        check: called between parts of the work; raises to stop.
        passes: how often; each but the first refines the mean of what the one before found.
    """
    found = {plane: scores[plane] for plane in views}
    sums: dict[Plane, torch.Tensor] = {}
    # One plane by itself has nothing to learn from others in a second pass, and no training shows it one.
    for _ in range(passes if len(views) > 1 else 1):
        means = {plane: mean_of_views(list(found.values()), scores[plane], one_piece, check) for plane in views}
        for plane, mean in means.items():
            # Where a bone's loose piece was taken away, the probabilities add up to little, and still do so after the
            # mean of a later pass, which makes them add up to one.
            if plane in sums:
                mean.scores.mul_(sums[plane])
            else:
                sums[plane] = mean.scores.sum(dim=0)
        # What the pass before found is gone by now: no machine needs room for both.
        found = {}
        for plane in views:
            found[plane] = refined(network, images[plane], scores[plane], means.pop(plane), check)
            keep_one_piece(found[plane].scores, one_piece, check)
    return found
