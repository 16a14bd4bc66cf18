"""Prepared studies refined as in a run: for a training's second pass, and to tell how much is gained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.bundles.weights import weights_bytes
from OrthoDiffusionLib.datasets.whole_files import write_whole
from OrthoDiffusionLib.inference.grids import ScoreVolume
from OrthoDiffusionLib.inference.structure_scores import mean_of_views, refined_views
from OrthoDiffusionLib.networks.refinement import PASSES, RefinementNetwork
from OrthoDiffusionLib.training.refinement_files import DetailedPlane, KeptStudy


def refined_by_views(
    network: RefinementNetwork, planes: Mapping[Plane, DetailedPlane], one_piece: Sequence[int], passes: int = PASSES
) -> dict[Plane, dict[Plane, ScoreVolume]]:
    """For each plane, those that show the joint as it does, refined; itself among them.

    Args:
        network: in evaluation mode.
        planes: of one study.
        one_piece: labels of the structures that are one piece.
        passes: as for `refined_views`.
    """
    own = {plane: ScoreVolume(one.own.transpose(0, 1), one.affine.numpy()) for plane, one in planes.items()}
    images = {plane: one.images for plane, one in planes.items()}
    views = {
        plane: tuple(view for view, seen in zip(Plane, one.views, strict=True) if seen) for plane, one in planes.items()
    }
    with torch.inference_mode():
        fine = {
            seen: refined_views(network, images, own, seen, one_piece, lambda: None, passes)
            for seen in dict.fromkeys(views.values())
        }
    return {plane: fine[seen] for plane, seen in views.items()}


def mean_of(plane: DetailedPlane) -> ScoreVolume:
    """What the planes found together, before it is refined."""
    return ScoreVolume(plane.mean.transpose(0, 1), plane.affine.numpy())


def with_first_pass(
    network: RefinementNetwork,
    studies: Sequence[KeptStudy],
    one_piece: Sequence[int],
    folder: Path,
    tell: Callable[[float], None],
) -> list[KeptStudy]:
    """The studies with what a second pass starts from: the mean of what the first one finds in all planes.

    Args:
        network: in training mode, as which it is left.
        studies: that have none yet.
        one_piece: labels of the structures that are one piece.
        folder: for the files, two fifths of the studies' own size; those that are there already stay as they are.
        tell: told the share of the studies done, 0 to 1, before each.

    Raises:
        OSError: when a file cannot be written.
        OrthoDiffusionError: UNREADABLE_FILE, when a study's file cannot be read again; what `tell` raises.
    """
    network.eval()
    seen = []
    folder.mkdir(parents=True, exist_ok=True)
    for number, study in enumerate(studies):
        path = folder / f"{number}.safetensors"
        if path.exists():
            seen.append(replace(study, first_pass=path))
            continue
        tell(number / len(studies))
        planes = study.planes()
        fine = refined_by_views(network, planes, one_piece, passes=1)
        means = {}
        for plane, one in planes.items():
            mean = mean_of_views(list(fine[plane].values()), mean_of(one), one_piece, lambda: None)
            means[plane.value] = mean.scores.transpose(0, 1).half()
        write_whole(path, weights_bytes(means))
        seen.append(replace(study, first_pass=path))
    network.train()
    return seen
