"""What a head's training starts from: a pre-training, networks of a former training, or a bundle."""

from __future__ import annotations

from pathlib import Path

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.training.settings import FineTuneSettings
from OrthoDiffusionLib.training.trained_encoders import bundle_encoder, pretrained_encoder
from OrthoDiffusionLib.training.trained_plane import (
    DESCRIPTION,
    PlaneDescription,
    TrainedPlane,
    empty_networks,
    load_plane,
)


def starting_point(source: str, plane: Plane, joint: str, settings: FineTuneSettings) -> TrainedPlane:
    """A plane's networks to train further: those of a former training with their heads, else an encoder alone.

    Of a former training for another joint the encoder alone is taken over, for its heads know other structures.

    Args:
        source: folder of `orthodiffusion pretrain`, `train-segmentation` or `train-diagnosis`; or a bundle's name or
            folder.
        plane: to be trained.
        joint: whose structures and findings new heads get.
        settings: block and timestep of new heads; those of a former training must be the same.

    Raises:
        OrthoDiffusionError: WRONG_PLANE; BAD_SETTINGS, when a former training took its features elsewhere;
            CHECKPOINT_INVALID; what opening a bundle raises.
    """
    folder = Path(source)
    if (folder / DESCRIPTION).exists():
        return _former(load_plane(folder), plane, joint, settings)
    pretrained = any(folder.glob("checkpoint-*")) if folder.is_dir() else False
    trained = pretrained_encoder(folder, plane) if pretrained else bundle_encoder(source, plane)
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


def _former(trained: TrainedPlane, plane: Plane, joint: str, settings: FineTuneSettings) -> TrainedPlane:
    description = trained.description
    if description.plane is not plane:
        raise OrthoDiffusionError(
            ErrorKind.WRONG_PLANE,
            f"The networks in this folder are of the {description.plane.value} plane.",
            f"Name a folder of the {plane.value} plane.",
        )
    if description.joint != joint:
        taken_over = description.model_copy(
            update={
                "joint": joint,
                "block": settings.block,
                "timestep": settings.timestep,
                "history": (*description.history, f"Encoder taken over from networks of the {description.joint}."),
            }
        )
        networks = empty_networks(taken_over, segmentation=False, diagnosis=False)
        networks.encoder.load_state_dict(trained.networks.encoder.state_dict())
        return TrainedPlane(taken_over, networks.eval().requires_grad_(False))
    if (description.block, description.timestep) != (settings.block, settings.timestep):
        raise OrthoDiffusionError(
            ErrorKind.BAD_SETTINGS,
            f"The networks take their features from {description.block} at timestep {description.timestep}.",
            "Set the same block and timestep for both heads.",
        )
    return trained
