"""What a head's training starts from: a pre-training, networks of a former training, or a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import torch

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.bundles.manifest import BundleManifest, PlaneRecipe
from OrthoDiffusionLib.bundles.opening import Bundle
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.inference.model import load_planes
from OrthoDiffusionLib.training.checkpoints import is_pretraining
from OrthoDiffusionLib.training.settings import FineTuneSettings, SegmentationSettings
from OrthoDiffusionLib.training.source_bundles import source_bundle
from OrthoDiffusionLib.training.trained_encoders import pretrained_encoder
from OrthoDiffusionLib.training.trained_plane import (
    DESCRIPTION,
    NO_READING,
    PlaneDescription,
    TrainedPlane,
    empty_networks,
    load_plane,
    without_diagnosis,
)

Chosen = TypeVar("Chosen", bound=FineTuneSettings)


def features_of_source(source: str, plane: Plane, settings: Chosen) -> Chosen:
    """Settings with the block and timestep at which the source's own heads take their features, where the settings do
    not name others: elsewhere those heads would be lost.

    Args:
        source: as for `starting_point`.
        plane: to be trained.
        settings: of the training; what was named in them stays.

    Raises:
        OrthoDiffusionError: CHECKPOINT_INVALID; what `source_bundle` raises.
    """
    folder = Path(source)
    place: PlaneDescription | PlaneRecipe | None = None
    if (folder / DESCRIPTION).exists():
        place = load_plane(folder).description
    elif not is_pretraining(folder):
        place = source_bundle(source).manifest.planes.get(plane)
    if place is None:
        return settings
    own = {"block": place.block, "timestep": place.timestep}
    return settings.model_copy(
        update={name: value for name, value in own.items() if name not in settings.model_fields_set}
    )


def starting_point(source: str, plane: Plane, joint: str, settings: FineTuneSettings) -> TrainedPlane:
    """A plane's networks to train further: those of a former training or of a bundle with their heads.

    Of a pre-training, and of networks for another joint, the encoder alone is taken over: heads of another joint know
    other structures. So it is with a bundle whose heads take their features elsewhere than new ones are to; but a
    decoder that is to be trained further may be so at another timestep.

    Args:
        source: folder of `orthodiffusion pretrain`, `train-segmentation` or `train-diagnosis`; or a bundle's name or
            folder.
        plane: to be trained.
        joint: whose structures and findings new heads get.
        settings: block and timestep of new heads; those of a former training must be the same.

    Raises:
        OrthoDiffusionError: WRONG_PLANE; BAD_SETTINGS, when a former training took its features elsewhere;
            CHECKPOINT_INVALID; what `source_bundle` raises.
    """
    folder = Path(source)
    if (folder / DESCRIPTION).exists():
        return _former(load_plane(folder), plane, joint, settings)
    if not is_pretraining(folder):
        return _of_bundle(source, plane, joint, settings)
    trained = pretrained_encoder(folder, plane)
    config = trained.encoder.config
    description = PlaneDescription(
        joint=joint,
        plane=plane,
        base_channels=config.base_channels,
        channel_multipliers=config.channel_multipliers,
        block=settings.block,
        timestep=settings.timestep,
        window_size=trained.window_size,
        history=(trained.source,),
    )
    networks = empty_networks(description, segmentation=False, diagnosis=False)
    networks.encoder.load_state_dict(trained.encoder.state_dict())
    return TrainedPlane(description, networks.eval().requires_grad_(False))


def has_structures_of(manifest: BundleManifest, joint: str) -> bool:
    """Whether a bundle's decoders tell the structures of this library's joint, with the same labels."""
    return [(s.key, s.label) for s in manifest.structures] == [(s.key, s.label) for s in load_joint(joint).structures]


def planes_of_bundle(bundle: Bundle) -> dict[Plane, TrainedPlane]:
    """A bundle's networks, as if they had been trained just now; on the CPU.

    Raises:
        OrthoDiffusionError: what `load_planes` raises.
    """
    manifest, planes = bundle.manifest, {}
    for plane, model in load_planes(bundle, torch.device("cpu")).items():
        recipe = model.recipe
        description = PlaneDescription(
            joint=manifest.joint,
            plane=plane,
            base_channels=manifest.network.base_channels,
            channel_multipliers=manifest.network.channel_multipliers,
            block=recipe.block,
            timestep=recipe.timestep,
            window_size=model.window_size,
            skips=recipe.skips,
            pooling=recipe.pooling,
            reads_structures=recipe.reads_structures,
            reads_around=recipe.reads_around,
            history=(f"{manifest.name} {manifest.version}. {recipe.encoder_training}",),
        )
        planes[plane] = TrainedPlane(description, model.networks)
    return planes


def _of_bundle(source: str, plane: Plane, joint: str, settings: FineTuneSettings) -> TrainedPlane:
    bundle = source_bundle(source)
    manifest, trained = bundle.manifest, planes_of_bundle(bundle).get(plane)
    if trained is None:
        raise OrthoDiffusionError(
            ErrorKind.WRONG_PLANE, f"The bundle has no encoder of the {plane.value} plane.", "Choose another bundle."
        )
    recipe, vocabulary = trained.description, load_joint(joint)
    same_decoder = recipe.block == settings.block and has_structures_of(manifest, joint)
    same_findings = [f.key for f in manifest.findings] == [f.key for f in vocabulary.findings]
    if same_decoder and same_findings and recipe.timestep == settings.timestep:
        return trained
    if same_decoder and trained.networks.segmentation is not None and isinstance(settings, SegmentationSettings):
        return _decoder_at(trained, joint, settings.timestep)
    return _encoder_alone(trained, joint, settings)


def _decoder_at(trained: TrainedPlane, joint: str, timestep: int) -> TrainedPlane:
    """Encoder and decoder, to be trained at another timestep."""
    before = trained.description.timestep
    return without_diagnosis(trained).told(
        f"Moved from timestep {before} to {timestep}; the diagnosis head was left.", joint=joint, timestep=timestep
    )


def _encoder_alone(trained: TrainedPlane, joint: str, settings: FineTuneSettings) -> TrainedPlane:
    before = trained.description
    places = [
        f"{block} at timestep {step}"
        for block, step in ((before.block, before.timestep), (settings.block, settings.timestep))
    ]
    moved: tuple[str, ...] = ()
    if before.joint != joint:
        moved = (f"Encoder taken over from networks of the {before.joint}.",)
    elif places[0] != places[1]:
        moved = (f"Features moved from {places[0]} to {places[1]}; the heads were left.",)
    else:
        moved = ("The heads were left: they are for other structures or findings.",)
    description = before.model_copy(
        update={
            "joint": joint,
            "block": settings.block,
            "timestep": settings.timestep,
            **NO_READING,
            "history": (*before.history, *moved),
        }
    )
    networks = empty_networks(description, segmentation=False, diagnosis=False)
    networks.encoder.load_state_dict(trained.networks.encoder.state_dict())
    return TrainedPlane(description, networks.eval().requires_grad_(False))


def _former(trained: TrainedPlane, plane: Plane, joint: str, settings: FineTuneSettings) -> TrainedPlane:
    description = trained.description
    if description.plane is not plane:
        raise OrthoDiffusionError(
            ErrorKind.WRONG_PLANE,
            f"The networks in this folder are of the {description.plane.value} plane.",
            f"Name a folder of the {plane.value} plane.",
        )
    if description.joint != joint:
        return _encoder_alone(trained, joint, settings)
    if (description.block, description.timestep) != (settings.block, settings.timestep):
        raise OrthoDiffusionError(
            ErrorKind.BAD_SETTINGS,
            f"The networks take their features from {description.block} at timestep {description.timestep}.",
            "Set the same block and timestep for both heads.",
        )
    return trained
