"""The optimisers of a training: Adam, or Muon beside it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.training.settings import OptimiserKind

HIDDEN = 16
"""Channels at least on both sides of what Muon is for."""


def optimisers(
    kind: OptimiserKind,
    network: nn.Module,
    groups: Sequence[Mapping[str, Any]],
    adam: Callable[[list[dict[str, Any]]], torch.optim.Optimizer],
    edges: Collection[nn.Module] = (),
) -> dict[str, torch.optim.Optimizer]:
    """The optimisers of a network, by the name of a checkpoint's part for what each knows.

    Args:
        kind: `muon` for convolutions between hidden channels, as its authors want it, and Adam for all else.
        network: whose weights those of the groups are.
        groups: weights to be trained, as any optimiser takes them.
        adam: makes an Adam of groups.
        edges: first and last layers that have as many channels as hidden ones.

    Raises:
        OrthoDiffusionError: BAD_SETTINGS, when this PyTorch has no Muon.
    """
    if kind == "adam":
        return {"optimiser": adam([dict(group) for group in groups])}
    if not hasattr(torch.optim, "Muon"):
        raise OrthoDiffusionError(
            ErrorKind.BAD_SETTINGS,
            f"PyTorch {torch.__version__} has no Muon.",
            "Set optimiser: adam, or install PyTorch 2.9 or newer.",
        )
    from OrthoDiffusionLib.training.muon import ConvolutionMuon

    between = {id(weight) for weight in hidden_convolutions(network, edges)}
    hidden: list[dict[str, Any]] = []
    rest: list[dict[str, Any]] = []
    for group in groups:
        for chosen, wanted in ((hidden, True), (rest, False)):
            weights = [weight for weight in group["params"] if (id(weight) in between) is wanted]
            chosen.append({**group, "params": weights})
    return {"optimiser": adam(rest), "muon": ConvolutionMuon(hidden)}


def hidden_convolutions(network: nn.Module, edges: Collection[nn.Module] = ()) -> list[torch.Tensor]:
    """Weights of a network's convolutions of planes or volumes between hidden channels.

    Args:
        network: any; transposed convolutions, whose weights begin with the channels that come in, are left out.
        edges: layers that are left out too.
    """
    return [
        layer.weight
        for layer in network.modules()
        if isinstance(layer, (nn.Conv2d, nn.Conv3d))
        and min(layer.in_channels, layer.out_channels) >= HIDDEN
        and all(layer is not edge for edge in edges)
    ]
