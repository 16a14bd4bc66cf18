"""Averaged weights: an exponential moving average that lags behind the trained ones."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from OrthoDiffusionLib.training.sharding import laid_out_like


class AveragedWeights:
    """Moving average of a network's weights, as published: every `every` steps from step `start`; before, a copy.

    Args:
        network: whose weights are averaged.
        decay: share of the average that an update keeps.
        every: steps between updates.
        start: step up to which the average follows the weights.
    """

    def __init__(self, network: nn.Module, decay: float, every: int, start: int) -> None:
        self.decay, self.every, self.start = decay, every, start
        self.tensors = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take the weights after a step (counted from 0) into account."""
        if step % self.every:
            return
        for name, tensor in network.state_dict().items():
            if step < self.start:
                self.tensors[name].copy_(tensor)
            else:
                self.tensors[name].lerp_(tensor, 1 - self.decay)

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take up an average that was saved."""
        for name, tensor in tensors.items():
            self.tensors[name].copy_(laid_out_like(tensor, self.tensors[name]))
