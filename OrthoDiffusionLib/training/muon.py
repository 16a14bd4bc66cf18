"""Muon for convolutions (Jordan et al. 2024): steps in which all directions of a weight matrix change alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, overload

import torch
from torch import nn

OTHERS = "optimiser"
"""Part of a checkpoint that is of the one optimiser, or of that beside Muon."""

HIDDEN = 16
"""Channels at least on both sides of what Muon is for: layers within a network, not those of the image or classes."""


def is_hidden_convolution(weight: torch.Tensor) -> bool:
    """Whether these are the weights of a convolution of planes or volumes between hidden channels."""
    return weight.ndim >= 4 and min(weight.shape[:2]) >= HIDDEN


class ConvolutionMuon(torch.optim.Muon):
    """Torch's Muon, which takes matrices alone, for the weights of convolutions: a row for each channel that goes out.

    Its changes are as large as Adam's of the same learning rate would be (Liu et al. 2025, "Muon is scalable").

    Args:
        groups: of weights that `is_hidden_convolution`, as any optimiser takes them.
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


def with_muon(
    groups: Iterable[Mapping[str, Any]], others: Callable[[list[dict[str, Any]]], torch.optim.Optimizer]
) -> dict[str, torch.optim.Optimizer]:
    """Muon for the convolutions among the weights to be trained, and another optimiser for all else.

    Args:
        groups: as any optimiser takes them.
        others: makes the other optimiser.

    Returns:
        by the name of a checkpoint's part for what it knows.
    """
    hidden: list[dict[str, Any]] = []
    rest: list[dict[str, Any]] = []
    for group in groups:
        for chosen, kind in ((hidden, True), (rest, False)):
            weights = [weight for weight in group["params"] if is_hidden_convolution(weight) is kind]
            chosen.append({**group, "params": weights})
    return {OTHERS: others(rest), "muon": ConvolutionMuon(hidden)}


def _matrix(weight: torch.Tensor) -> torch.Tensor:
    """A copy, whose columns do not follow how the weight lies in memory."""
    return weight.detach().contiguous().flatten(1).clone()
