"""What a refinement learns from: studies with masks, and what the planes' networks find in them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.bundles.manifest import PlaneRecipe
from OrthoDiffusionLib.bundles.weights import weights_bytes
from OrthoDiffusionLib.datasets.labelled_studies import LabelledStudy
from OrthoDiffusionLib.datasets.named_study import named_study
from OrthoDiffusionLib.datasets.stacks import LabelledSeries
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.inference.exactness import compute_exactly
from OrthoDiffusionLib.inference.model import PlaneModel
from OrthoDiffusionLib.inference.refining import detail_images
from OrthoDiffusionLib.inference.structure_scores import mean_of_views, own_scores
from OrthoDiffusionLib.inference.study import Study, StudySeries, with_reformatted_planes
from OrthoDiffusionLib.inference.views import views_of_planes
from OrthoDiffusionLib.networks.plane_networks import channels_last
from OrthoDiffusionLib.networks.refinement import FACTOR
from OrthoDiffusionLib.training.losses import NOT_ANNOTATED
from OrthoDiffusionLib.training.refinement_files import DetailedPlane, KeptStudy, kept_study, unreadable, write_study
from OrthoDiffusionLib.training.trained_plane import TrainedPlane
from OrthoDiffusionLib.volumes.orientation import slice_count, to_network_axes
from OrthoDiffusionLib.volumes.windows import WINDOW_SLICES

FORMAT = 2
"""Of the files; another one makes all of them again."""

LIBRARY = Path(__file__).resolve().parents[1]
CODE = (
    "diffusion/*.py",
    "inference/*.py",
    "networks/*.py",
    "volumes/*.py",
    "training/refinement_files.py",
    "training/refinement_stacks.py",
)
"""Code that decides what the files hold, beside that of phantoms, which the studies' keys tell."""


def kept_studies(
    studies: Sequence[LabelledStudy],
    planes: Mapping[Plane, TrainedPlane],
    folder: Path,
    tell: Callable[[float], None],
    device: torch.device | str,
) -> list[KeptStudy]:
    """The studies in order, without those that show nothing; those whose files are missing or broken are made.

    Args:
        studies: with label maps.
        planes: their networks, with decoders.
        folder: of the files.
        tell: told the share of the studies done, 0 to 1, before each.
        device: for the networks, which stay there.

    Raises:
        OrthoDiffusionError: what reading a study raises.
    """
    if len({study.patient for study in studies}) < 2:
        # Before the networks see any: they take hours for a thousand studies.
        raise too_few_patients()
    folder.mkdir(parents=True, exist_ok=True)
    joint = next(iter(planes.values())).description.joint
    one_piece = [structure.label for structure in load_joint(joint).structures if structure.one_piece]
    digest = _digest(planes, one_piece)
    compute_exactly(torch.device(device))
    models = {plane: plane_model(trained, device) for plane, trained in planes.items()}
    kept = []
    for number, study in enumerate(studies):
        tell(number / len(studies))
        path = folder / f"refinement-{study.key}-{digest}.safetensors"
        if kept_study(path, study.patient) is None:
            _make(path, study, models, one_piece)
        found = kept_study(path, study.patient)
        if found is None:
            raise unreadable(path)
        kept.append(found)
    return [study for study in kept if study.slices]


def too_few_patients() -> OrthoDiffusionError:
    """What to raise where no patient could be held out."""
    return OrthoDiffusionError(
        ErrorKind.EMPTY_STUDY,
        "Fewer than two patients have series with masks that show a structure.",
        "Name label maps in the dataset manifest.",
    )


def _make(path: Path, study: LabelledStudy, models: Mapping[Plane, PlaneModel], one_piece: Sequence[int]) -> None:
    with named_study(study.id):
        series = list(study.series())
    with torch.inference_mode():
        write_study(path, detailed_planes(series, models, one_piece))


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


def _digest(planes: Mapping[Plane, TrainedPlane], one_piece: Sequence[int]) -> str:
    files = sorted(path for pattern in CODE for path in LIBRARY.glob(pattern))
    code = b"".join(path.read_bytes() for path in files)
    return hashlib.sha256(f"{FORMAT} {networks_digest(planes)} {list(one_piece)} ".encode() + code).hexdigest()[:16]
