"""Muon for convolutions (Jordan et al. 2024): steps in which all directions of a weight matrix change alike.

It needs PyTorch 2.9; `optimisers.py` imports this where it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, overload

import torch
from torch import nn


class ConvolutionMuon(torch.optim.Muon):
    """Torch's Muon, which takes matrices alone, for the weights of convolutions: a row for each channel that goes out.

    Its changes are as large as Adam's of the same learning rate would be (Liu et al. 2025, "Muon is scalable").

    Args:
        groups: of weights of convolutions, not transposed ones, as any optimiser takes them.
    """

    def __init__(self, groups: Iterable[Mapping[str, Any]]) -> None:
        self._weights: list[nn.Parameter] = []
        matrices = []
        for group in groups:
            self._weights.extend(group["params"])
            matrices.append({**group, "params": [nn.Parameter(_matrix(weight)) for weight in group["params"]]})
        super().__init__(matrices, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Change the weights by their gradients; those without one stay."""
        matrices = [matrix for group in self.param_groups for matrix in group["params"]]
        for weight, matrix in zip(self._weights, matrices, strict=True):
            matrix.copy_(_matrix(weight))
            matrix.grad = None if weight.grad is None else _matrix(weight.grad)
        result = super().step(closure)
        for weight, matrix in zip(self._weights, matrices, strict=True):
            weight.copy_(matrix.view_as(weight))
            matrix.grad = None
        return result


def _matrix(weight: torch.Tensor) -> torch.Tensor:
    """A copy, whose columns do not follow how the weight lies in memory."""
    return weight.detach().contiguous().flatten(1).clone()
