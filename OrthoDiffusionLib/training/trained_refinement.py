"""A trained refinement in a folder: what `orthodiffusion train-refinement`, or another bundle, hands on to a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.bundles.manifest import Sha256
from OrthoDiffusionLib.bundles.opening import Bundle
from OrthoDiffusionLib.bundles.weights import weights_bytes
from OrthoDiffusionLib.datasets.whole_files import write_whole
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.inference.model import load_refining
from OrthoDiffusionLib.networks.refinement import RefinementNetwork
from OrthoDiffusionLib.training.refinement_stacks import networks_digest
from OrthoDiffusionLib.training.refinement_training import TrainedNetwork
from OrthoDiffusionLib.training.settings import RefinementSettings
from OrthoDiffusionLib.training.source_bundles import source_bundle
from OrthoDiffusionLib.training.starting_points import planes_of_bundle
from OrthoDiffusionLib.training.trained_plane import TrainedPlane

DESCRIPTION = "refinement.json"
WEIGHTS = "refinement.safetensors"


class RefinementDescription(BaseModel):
    """What a refinement is, and how it came to be.

    Attributes:
        joint: whose structures it refines.
        networks: `networks_digest` of those whose masks it learnt from.
        history: one sentence or a few.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    joint: str
    networks: Sha256
    history: str


@dataclass(frozen=True)
class TrainedRefinement:
    """A refinement in evaluation mode, on the CPU, and what is told about it."""

    description: RefinementDescription
    network: RefinementNetwork

    def told(self, sentence: str) -> TrainedRefinement:
        """The same refinement with a sentence more of history."""
        history = f"{self.description.history} {sentence}"
        return replace(self, description=self.description.model_copy(update={"history": history}))

    def check_belongs_to(self, planes: Mapping[Plane, TrainedPlane]) -> None:
        """Refuse networks other than those whose masks it learnt from.

        Raises:
            OrthoDiffusionError: BAD_SETTINGS.
        """
        segmenting = {plane: trained for plane, trained in planes.items() if trained.networks.segmentation is not None}
        if networks_digest(segmenting) != self.description.networks:
            raise OrthoDiffusionError(
                ErrorKind.BAD_SETTINGS,
                "The refinement was trained on masks of other networks than those of the planes given.",
                "Name all planes, or the bundle, that it was trained for; or train one for these: `train-refinement`.",
            )


def described_refinement(
    trained: TrainedNetwork,
    joint: str,
    networks: str,
    settings: RefinementSettings,
    start: TrainedRefinement | None = None,
) -> TrainedRefinement:
    """A training's refinement with what is told about it.

    Args:
        trained: the network, and how it did.
        joint: whose structures it refines.
        networks: `networks_digest` of those whose masks it learnt from.
        settings: of the training.
        start: what it began with; None for weights of chance.
    """
    gained = "studies of other patients showed no structure to compare"
    if trained.before is not None and trained.after is not None:
        gained = (
            f"mean Dice of the refined outlines {trained.after:.3f}, {'without it' if start is None else 'before'}"
            f" {trained.before:.3f}, over the slices of {trained.held_out} studies of other patients that show a"
            " structure"
        )
    history = (
        f"Refinement of all planes' outlines trained for {settings.steps} steps of {settings.batch} parts on"
        f" {trained.studies} studies; {gained}."
    )
    if start is not None:
        doubt = "Where it had learnt from these patients before, that flatters."
        history = f"{start.description.history} Then: {history} {doubt}"
    return TrainedRefinement(RefinementDescription(joint=joint, networks=networks, history=history), trained.network)


def save_refinement(folder: Path, trained: TrainedRefinement) -> None:
    """Write a refinement; the description comes last, so that a folder with one is whole.

    Raises:
        OSError: when a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DESCRIPTION).unlink(missing_ok=True)
    write_whole(folder / WEIGHTS, weights_bytes(trained.network.state_dict()))
    (folder / DESCRIPTION).write_text(trained.description.model_dump_json(indent=2) + "\n", encoding="utf-8")


def refinement_of_bundle(bundle: Bundle) -> TrainedRefinement:
    """A bundle's refinement, as if it had been trained just now.

    Raises:
        OrthoDiffusionError: BAD_SETTINGS for a bundle without one; what `load_refining` and `load_planes` raise.
    """
    part, network = bundle.manifest.refinement, load_refining(bundle, torch.device("cpu"))
    if part is None or network is None:
        raise OrthoDiffusionError(
            ErrorKind.BAD_SETTINGS,
            f"The bundle “{bundle.manifest.name}” has no refinement.",
            "Choose another one, or train one: `orthodiffusion train-refinement`.",
        )
    planes = planes_of_bundle(bundle).items()
    segmenting = {plane: trained for plane, trained in planes if trained.networks.segmentation is not None}
    about = RefinementDescription(
        joint=bundle.manifest.joint, networks=networks_digest(segmenting), history=part.training
    )
    return TrainedRefinement(about, network)


def refinement_of(source: str) -> TrainedRefinement:
    """A refinement by where it lies.

    Args:
        source: output folder of `orthodiffusion train-refinement`; or a bundle's name or folder.

    Raises:
        OrthoDiffusionError: what `load_refinement`, `source_bundle` and `refinement_of_bundle` raise.
    """
    if (Path(source) / DESCRIPTION).exists():
        return load_refinement(Path(source))
    return refinement_of_bundle(source_bundle(source))


def load_refinement(folder: Path) -> TrainedRefinement:
    """Read what `save_refinement` wrote.

    Raises:
        OrthoDiffusionError: CHECKPOINT_INVALID for a folder that holds no refinement, or not all of it.
    """
    try:
        description = RefinementDescription.model_validate_json((folder / DESCRIPTION).read_text(encoding="utf-8"))
        network = RefinementNetwork(len(load_joint(description.joint).structures) + 1)
        network.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, ValidationError, SafetensorError, RuntimeError, ValueError) as error:
        raise OrthoDiffusionError(
            ErrorKind.CHECKPOINT_INVALID,
            "The folder holds no refinement, or not all of it.",
            "Name the output folder of `orthodiffusion train-refinement`.",
            detail=str(error),
        ) from error
    return TrainedRefinement(description, network.eval().requires_grad_(False))
