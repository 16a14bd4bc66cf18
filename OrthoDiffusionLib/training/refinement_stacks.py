"""What a refinement learns of a study with masks: what the planes' networks find in it, and the truth."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.bundles.manifest import PlaneRecipe
from OrthoDiffusionLib.bundles.weights import weights_bytes
from OrthoDiffusionLib.datasets.stacks import LabelledSeries
from OrthoDiffusionLib.inference.model import PlaneModel
from OrthoDiffusionLib.inference.refining import detail_images
from OrthoDiffusionLib.inference.structure_scores import mean_of_views, own_scores
from OrthoDiffusionLib.inference.study import Study, StudySeries, with_reformatted_planes
from OrthoDiffusionLib.inference.views import views_of_planes
from OrthoDiffusionLib.networks.plane_networks import channels_last
from OrthoDiffusionLib.networks.refinement import FACTOR
from OrthoDiffusionLib.training.losses import NOT_ANNOTATED
from OrthoDiffusionLib.training.refinement_files import DetailedPlane
from OrthoDiffusionLib.training.trained_plane import TrainedPlane
from OrthoDiffusionLib.volumes.orientation import slice_count, to_network_axes
from OrthoDiffusionLib.volumes.windows import WINDOW_SLICES


def detailed_planes(
    series: Sequence[LabelledSeries], models: Mapping[Plane, PlaneModel], one_piece: Sequence[int]
) -> dict[Plane, DetailedPlane]:
    """What the networks see in a study, and the truth about it.

    Of several series of a plane, that with most slices counts, but one with a label map before all without. As in a
    run, a 3D volume stands for the planes that have none. None for a study without masks.

    Args:
        series: of the study.
        models: of the planes that there are networks of.
        one_piece: labels of the structures that are one piece.
    """
    best: dict[Plane, LabelledSeries] = {}
    for one in sorted(series, key=lambda one: (one.labels is not None, slice_count(one.image.affine, one.image.shape))):
        best[one.plane] = one
    if not any(best[plane].labels is not None for plane in best if plane in models):
        return {}
    own_series = {plane: StudySeries(best[plane].image, best[plane].image) for plane in Plane if plane in best}
    complete = with_reformatted_planes(own_series, [])
    study = Study({plane: one for plane, one in complete.items() if plane in models})
    scores = {
        plane: own_scores(models[plane], one.stack, 0, one_piece, lambda _: None) for plane, one in study.series.items()
    }
    views = views_of_planes(scores, study, lambda: None)
    detailed = {}
    for plane, seen in views.of.items():
        mean = mean_of_views([scores[view] for view in seen], scores[plane], one_piece, lambda: None)
        size = mean.scores.shape[2]
        stack = to_network_axes(study.series[plane].stack, plane)
        depth = stack.array.shape[2]
        truth = torch.full((depth, FACTOR * size, FACTOR * size), NOT_ANNOTATED, dtype=torch.int8)
        labels = best[plane].labels if plane in best else None
        if labels is not None:
            truth = labels_by_area(to_network_axes(labels, plane).array, FACTOR * size)
        detailed[plane] = DetailedPlane(
            detail_images(stack.array, size),
            scores[plane].scores.transpose(0, 1),
            mean.scores.transpose(0, 1),
            truth,
            torch.from_numpy(mean.affine),
            torch.tensor([other in seen for other in Plane]),
        )
    return detailed


def labels_by_area(labels: npt.NDArray[np.int16], size: int) -> torch.Tensor:
    """Labels (i, j, k) at size x size pixels, each pixel's by what most of it is; int8, slices first.

    Not the nearest voxel's: where two are as near, as in all pixels of a grid of half the resolution, that would move
    outlines by half a voxel.
    """
    fewer = []
    for label_slice in np.moveaxis(labels, 2, 0):
        there, numbers = np.unique(label_slice, return_inverse=True)
        shares = torch.nn.functional.one_hot(torch.from_numpy(numbers.reshape(label_slice.shape)), len(there))
        resized = torch.nn.functional.interpolate(
            shares.permute(2, 0, 1)[None].float(), (size, size), mode="bilinear", antialias=True, align_corners=False
        )
        fewer.append(torch.from_numpy(there.astype(np.int8))[resized[0].argmax(dim=0)])
    return torch.stack(fewer)


def plane_model(trained: TrainedPlane, device: torch.device | str) -> PlaneModel:
    """A plane's trained networks as a run asks them, on a device, where they stay."""
    described = trained.description
    recipe = PlaneRecipe(
        timestep=described.timestep, block=described.block, encoder="", encoder_training=described.history[0]
    )
    networks = channels_last(trained.networks.to(device)).eval()
    return PlaneModel(described.plane, recipe, networks, torch.device(device), WINDOW_SLICES, described.window_size)


def networks_digest(planes: Mapping[Plane, TrainedPlane]) -> str:
    """SHA-256 of what finds the structures: encoder and decoder of each plane, and where and when they are asked."""
    digest = hashlib.sha256()
    for plane in Plane:
        if plane in planes:
            trained = planes[plane]
            assert trained.networks.segmentation is not None
            described = trained.description
            about = f"{plane.value} {described.block} {described.timestep} {described.window_size} "
            digest.update(about.encode())
            digest.update(weights_bytes(trained.networks.encoder.state_dict()))
            digest.update(weights_bytes(trained.networks.segmentation.state_dict()))
    return digest.hexdigest()
