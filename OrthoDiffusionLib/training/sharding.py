"""Tensors that lie in parts on several devices: put together for checkpoints, and taken apart again."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from OrthoDiffusionLib.networks.unet import DenoisingUNet


def sharded(network: nn.Module, mesh: DeviceMesh) -> nn.Module:
    """The network with each block's weights, gradients and optimiser state shared out among the devices, in place.

    Args:
        network: a `DenoisingUNet`, or one with another around it.
        mesh: of devices, with an axis `data_parallel`.
    """
    denoising = next(part for part in network.modules() if isinstance(part, DenoisingUNet))
    for block in [*denoising.input_blocks, denoising.middle_block, *denoising.output_blocks, network]:
        fully_shard(block, mesh=mesh["data_parallel"])
    return network


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """The whole of a tensor that lies in parts, any other as it is; all processes must call it for the same one."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def part_of(tensor: torch.Tensor) -> torch.Tensor:
    """What this process holds of a tensor: its part, or all of it."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def laid_out_like(tensor: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """A whole tensor on the device of another one, in parts as that one is; all processes must call it."""
    moved = tensor.to(other.device)
    return distribute_tensor(moved, other.device_mesh, other.placements) if isinstance(other, DTensor) else moved


def whole_tensors(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """All of them whole; all processes must call it."""
    return {name: whole(tensor) for name, tensor in tensors.items()}
