"""What a refinement learns from: studies with masks, and what the planes' networks find in them; kept in files.

A study takes some 50 MB at windows of 128 pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.bundles.manifest import PlaneRecipe
from OrthoDiffusionLib.bundles.weights import weights_bytes
from OrthoDiffusionLib.datasets.labelled_studies import LabelledStudy
from OrthoDiffusionLib.datasets.stacks import LabelledSeries, nearest_labels
from OrthoDiffusionLib.datasets.whole_files import write_whole
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.inference.model import PlaneModel
from OrthoDiffusionLib.inference.refining import detail_images
from OrthoDiffusionLib.inference.structure_scores import own_scores, scores_of_views
from OrthoDiffusionLib.inference.study import Study, StudySeries
from OrthoDiffusionLib.inference.views import views_of_planes
from OrthoDiffusionLib.networks.plane_networks import channels_last
from OrthoDiffusionLib.networks.refinement import FACTOR
from OrthoDiffusionLib.training.losses import NOT_ANNOTATED
from OrthoDiffusionLib.training.trained_plane import TrainedPlane
from OrthoDiffusionLib.volumes.orientation import to_network_axes
from OrthoDiffusionLib.volumes.windows import WINDOW_SLICES

FORMAT = 1
"""Of the files; another one makes all of them again."""

LIBRARY = Path(__file__).resolve().parents[1]
CODE = ("inference/refining.py", "inference/grids.py", "inference/views.py", "volumes/orientation.py")
"""Code that decides what the files hold, beside that of reading and of phantoms, which the studies' keys tell."""


class RefinementSlices(NamedTuple):
    """Slices of one plane that show a structure, or in which its networks see one.

    Attributes:
        images: as `detail_images` makes them, (k, 1, 2 size, 2 size).
        own: class probabilities by the plane's own networks, (k, classes, size, size).
        mean: those of all planes together.
        labels: int8, (k, 2 size, 2 size), -1 for not annotated.
    """

    images: torch.Tensor
    own: torch.Tensor
    mean: torch.Tensor
    labels: torch.Tensor


@dataclass(frozen=True)
class KeptStudy:
    """A study whose slices lie in a file.

    Attributes:
        path: of the file.
        patient: whose it is.
        slices: of each plane that has any.
    """

    path: Path
    patient: str
    slices: Mapping[Plane, int]

    def read(self, plane: Plane, first: int, last: int) -> RefinementSlices:
        """Slices from the first on, before the last; float32.

        Raises:
            OrthoDiffusionError: UNREADABLE_FILE, when the file is gone or broken since it was written.
        """
        try:
            with safe_open(self.path, framework="pt") as file:
                parts = [file.get_slice(f"{plane.value}/{name}")[first:last] for name in RefinementSlices._fields]
        except (OSError, SafetensorError) as error:
            raise OrthoDiffusionError(
                ErrorKind.UNREADABLE_FILE,
                "A study that was prepared cannot be read again.",
                "Check that the folder of prepared studies is still there, and start the same command again.",
                detail=str(self.path),
            ) from error
        images, own, mean, labels = parts
        return RefinementSlices(images.float(), own.float(), mean.float(), labels)


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
    folder.mkdir(parents=True, exist_ok=True)
    digest = _digest(planes)
    models = {plane: _model(trained, device) for plane, trained in planes.items()}
    joint = next(iter(planes.values())).description.joint
    one_piece = [structure.label for structure in load_joint(joint).structures if structure.one_piece]
    kept = []
    for number, study in enumerate(studies):
        tell(number / len(studies))
        path = folder / f"refinement-{study.key}-{digest}.safetensors"
        if _opened(path, study.patient) is None:
            with torch.inference_mode():
                _write(path, study_slices(list(study.series()), models, one_piece))
        found = _opened(path, study.patient)
        assert found is not None
        kept.append(found)
    return [study for study in kept if study.slices]


def study_slices(
    series: Sequence[LabelledSeries], models: Mapping[Plane, PlaneModel], one_piece: Sequence[int]
) -> dict[Plane, RefinementSlices]:
    """What the networks see in a study, and the truth about it; of several series of a plane, that with most slices.

    Args:
        series: of the study.
        models: of the planes that there are networks of.
        one_piece: labels of the structures that are one piece.
    """
    longest: dict[Plane, LabelledSeries] = {}
    for one in series:
        depth = to_network_axes(one.image, one.plane).array.shape[2]
        before = longest.get(one.plane)
        if one.plane in models and (before is None or depth > to_network_axes(before.image, one.plane).array.shape[2]):
            longest[one.plane] = one
    study = Study(
        {plane: StudySeries(longest[plane].image, longest[plane].image) for plane in Plane if plane in longest}
    )
    scores = {
        plane: own_scores(models[plane], longest[plane].image, 0, one_piece, lambda _: None) for plane in study.series
    }
    views = views_of_planes(scores, study, lambda: None)
    slices = {}
    for plane, seen in views.of.items():
        labels = longest[plane].labels
        if labels is None:
            continue
        mean = scores_of_views(scores, plane, seen, one_piece, lambda: None)
        size = mean.scores.shape[2]
        truth = torch.from_numpy(nearest_labels(to_network_axes(labels, plane).array, FACTOR * size))
        annotated = (truth != NOT_ANNOTATED).flatten(1).any(dim=1)
        shown = (truth > 0).flatten(1).any(dim=1) | (mean.scores[0] < 0.5).flatten(1).any(dim=1)
        used = annotated & shown
        images = detail_images(to_network_axes(longest[plane].image, plane).array, size)
        own = scores[plane].scores.transpose(0, 1)
        slices[plane] = RefinementSlices(images[used], own[used], mean.scores.transpose(0, 1)[used], truth[used])
    return slices


def _model(trained: TrainedPlane, device: torch.device | str) -> PlaneModel:
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
            digest.update(f"{plane.value} {trained.description.block} {trained.description.timestep} ".encode())
            digest.update(weights_bytes(trained.networks.encoder.state_dict()))
            digest.update(weights_bytes(trained.networks.segmentation.state_dict()))
    return digest.hexdigest()


def _digest(planes: Mapping[Plane, TrainedPlane]) -> str:
    code = b"".join((LIBRARY / name).read_bytes() for name in CODE)
    return hashlib.sha256(f"{FORMAT} {networks_digest(planes)} ".encode() + code).hexdigest()[:16]


def _write(path: Path, slices: Mapping[Plane, RefinementSlices]) -> None:
    tensors = {
        f"{plane.value}/{name}": (tensor if name == "labels" else tensor.half()).contiguous()
        for plane, one in slices.items()
        for name, tensor in one._asdict().items()
    }
    write_whole(path, weights_bytes(tensors))


def _opened(path: Path, patient: str) -> KeptStudy | None:
    """What a file holds; None for one that is not there or broken."""
    try:
        with safe_open(path, framework="pt") as file:
            there = set(file.keys())
            depths = {
                plane: file.get_slice(f"{plane.value}/labels").get_shape()[0]
                for plane in Plane
                if f"{plane.value}/labels" in there
            }
    except (OSError, SafetensorError):
        return None
    return KeptStudy(path, patient, {plane: depth for plane, depth in depths.items() if depth > 0})
