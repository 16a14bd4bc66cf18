"""Encoders that were trained: by a pre-training, or as part of a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.bundles.opening import open_bundle
from OrthoDiffusionLib.bundles.registry import find_bundle
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.inference.model import load_model
from OrthoDiffusionLib.networks.encoder import DenoisingEncoder, encoder_state
from OrthoDiffusionLib.training.checkpoints import averaged_network
from OrthoDiffusionLib.training.settings import pretrain_settings


class TrainedEncoder(NamedTuple):
    """An encoder in evaluation mode, the pixels of its windows, and one sentence on where it comes from."""

    encoder: DenoisingEncoder
    window_size: int
    source: str


def pretrained_encoder(folder: Path, plane: Plane) -> TrainedEncoder:
    """The averaged encoder of a pre-training's output folder.

    Raises:
        OrthoDiffusionError: CHECKPOINT_INVALID, without a whole checkpoint that this version understands; WRONG_PLANE
            for that of another plane.
    """
    tensors, about = averaged_network(folder)
    if about["plane"] != plane.value:
        raise OrthoDiffusionError(
            ErrorKind.WRONG_PLANE,
            f"The pre-training in this folder is of the {about['plane']} plane.",
            f"Name the folder of a pre-training of the {plane.value} plane.",
        )
    settings = pretrain_settings(about["settings"])
    encoder = DenoisingEncoder(settings.network)
    encoder.load_state_dict(encoder_state(dict(tensors)))
    start = f", from {about['start']}" if about.get("start") else ""
    source = f"Pre-trained without labels for {about['step']} steps of {settings.windows}{start}."
    return TrainedEncoder(encoder.eval().requires_grad_(False), settings.window_size, source)


def bundle_encoder(bundle: str | None, plane: Plane) -> TrainedEncoder:
    """A bundle's encoder.

    Args:
        bundle: name, folder, or None for the default.
        plane: whose encoder.

    Raises:
        OrthoDiffusionError: WRONG_PLANE, when the bundle has none; what opening a bundle raises.
    """
    opened = open_bundle(find_bundle(bundle))
    model = load_model(opened, torch.device("cpu")).planes.get(plane)
    if model is None:
        raise OrthoDiffusionError(
            ErrorKind.WRONG_PLANE, f"The bundle has no encoder of the {plane.value} plane.", "Choose another bundle."
        )
    source = f"{opened.manifest.name} {opened.manifest.version}. {model.recipe.encoder_training}"
    return TrainedEncoder(model.networks.encoder, model.window_size, source)
