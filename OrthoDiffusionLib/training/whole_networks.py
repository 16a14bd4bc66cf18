"""Whole denoising networks that a pre-training can start from: a bundle's, or another pre-training's."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import torch

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.bundles.opening import Bundle
from OrthoDiffusionLib.bundles.weights import read_weights
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.networks.config import UNetConfig
from OrthoDiffusionLib.networks.encoder import encoder_state
from OrthoDiffusionLib.networks.self_conditioning import SELF_CONDITIONING_PART
from OrthoDiffusionLib.networks.unet import DenoisingUNet
from OrthoDiffusionLib.training.checkpoints import averaged_network, is_pretraining
from OrthoDiffusionLib.training.settings import PretrainSettings, pretrain_settings
from OrthoDiffusionLib.training.source_bundles import source_bundle


class WholeNetwork(NamedTuple):
    """Weights of a `DenoisingUNet`.

    Attributes:
        tensors: by their names, float32.
        sizes: base channels, and the multipliers of the levels.
        prediction: what the network tells.
        source: where they come from, a few words that no other weights have.
        window_size: pixels of the windows that it was trained on, or on parts of.
    """

    tensors: Mapping[str, torch.Tensor]
    sizes: tuple[int, tuple[int, ...]]
    prediction: Literal["noise", "velocity"]
    source: str
    window_size: int

    def network(self) -> DenoisingUNet:
        """The network with its weights, in evaluation mode."""
        steered = any(name.startswith(SELF_CONDITIONING_PART) for name in self.tensors)
        network = DenoisingUNet(UNetConfig(*self.sizes, steered)).eval()
        network.load_state_dict(dict(self.tensors))
        return network

    def fill(self, network: DenoisingUNet, settings: PretrainSettings) -> None:
        """Put the weights into a network that these settings have made.

        Raises:
            OrthoDiffusionError: BAD_SETTINGS, when the settings are of another network.
        """
        if self.sizes != (settings.base_channels, settings.channel_multipliers):
            raise _other_network(
                f"base_channels: {self.sizes[0]} and channel_multipliers: {list(self.sizes[1])}", "another size"
            )
        if self.prediction != settings.prediction:
            raise _other_network(f"prediction: {self.prediction}", "another prediction")
        try:
            network.load_state_dict(dict(self.tensors))
        except RuntimeError as error:
            # Weights without self-conditioning fit a network with it, but not the other way round.
            raise _other_network("self_conditioning: true", "self-conditioning") from error


def whole_network(source: str, plane: Plane) -> WholeNetwork:
    """The whole network of a plane.

    Args:
        source: output folder of `orthodiffusion pretrain`, whose averaged weights are taken; or a bundle's name or
            folder.
        plane: that it was trained on, and no other.

    Raises:
        OrthoDiffusionError: WRONG_PLANE; CHECKPOINT_INVALID, when a bundle holds the encoder alone or a folder no whole
            checkpoint; what `source_bundle` raises.
    """
    folder = Path(source)
    if is_pretraining(folder):
        return _of_pretraining(folder, plane)
    return _of_bundle(source_bundle(source), plane)


def _of_pretraining(folder: Path, plane: Plane) -> WholeNetwork:
    tensors, about = averaged_network(folder)
    if about["plane"] != plane.value:
        raise _wrong_plane(f"{folder} holds a pre-training of the {about['plane']} plane, not", plane)
    settings = pretrain_settings(about["settings"])
    trained = f"{about['step']} steps of {settings.windows}"
    source = f"a pre-training of the {plane.value} plane, {trained}, sha256 {_digest(tensors)}"
    if before := about.get("start"):
        source += f", from {before}"
    sizes = (settings.base_channels, settings.channel_multipliers)
    return WholeNetwork(tensors, sizes, settings.prediction, source, settings.window_size)


def _of_bundle(bundle: Bundle, plane: Plane) -> WholeNetwork:
    manifest = bundle.manifest
    recipe = manifest.planes.get(plane)
    if recipe is None:
        raise _wrong_plane(f"{manifest.name} has no network", plane)
    tensors = read_weights(bundle, recipe.encoder)
    if len(encoder_state(tensors)) == len(tensors):
        raise OrthoDiffusionError(
            ErrorKind.CHECKPOINT_INVALID,
            "The bundle holds the encoder alone, and a pre-training needs the decoder too.",
            "Import the published checkpoints again with --keep-decoder, or name the folder of a pre-training.",
        )
    size = manifest.network
    source = f"bundle {manifest.name} {manifest.version} ({plane.value}), sha256 {bundle.manifest_sha256}"
    # Decoders come into bundles by import alone, and the published networks tell the noise.
    return WholeNetwork(tensors, (size.base_channels, size.channel_multipliers), "noise", source, size.window_size)


def _digest(tensors: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].contiguous().numpy().tobytes())
    return digest.hexdigest()


def _wrong_plane(what: str, plane: Plane) -> OrthoDiffusionError:
    return OrthoDiffusionError(
        ErrorKind.WRONG_PLANE,
        f"{what} of the {plane.value} plane.",
        f"Name one of the {plane.value} plane; only `pretrain` starts from another plane's, written as PLANE=DIR.",
    )


def _other_network(needed: str, what: str) -> OrthoDiffusionError:
    return OrthoDiffusionError(
        ErrorKind.BAD_SETTINGS,
        f"The network to start from is one with {what}.",
        f"Set {needed}, or start from another one.",
    )
