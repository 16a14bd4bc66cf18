"""Outlines at twice the resolution of the networks that found the structures.

Those see 128 pixels of some 1.2 mm where an image has 0.3 to 0.6 mm, and on phantoms most of what they get wrong lies
within 0.5 mm of an outline. This network sees one slice with all its detail, and what was found in it. It does its work
on the coarse grid, the image's finer pixels folded into channels, as in sub-pixel convolution (Shi et al. 2016,
arXiv 1609.05158).
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

FACTOR = 2
"""Fine pixels along each edge of a coarse one."""

LEAST_PROBABILITY = 1e-3
"""Below it a class counts as this unlikely, so that the network can still bring it back."""

WIDTH = 48
DILATIONS = (1, 2, 4, 1)
"""Of the residual blocks."""

REACH = 2 + sum(dilation + 1 for dilation in DILATIONS)
"""Coarse pixels that the network sees to each side: 17 mm of 1.2, a meniscus with what it lies between."""


class RefinementNetwork(nn.Module):
    """Class scores on the fine grid, from an image there and class probabilities on the coarse one.

    Args:
        classes: structures and background.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(FACTOR**2 + 2 * classes, WIDTH, 3, padding=1)
        self.blocks = nn.ModuleList(_Residual(WIDTH, dilation) for dilation in DILATIONS)
        self.leave = nn.Conv2d(WIDTH, classes * FACTOR**2, 3, padding=1)
        # It begins as no refinement at all.
        nn.init.zeros_(self.leave.weight)
        assert self.leave.bias is not None
        nn.init.zeros_(self.leave.bias)

    def forward(self, image: torch.Tensor, own: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
        """Scores (logits) on the fine grid.

        Args:
            image: (slices, 1, 2 i, 2 j), of mean 0 and standard deviation 1 over its stack.
            own: class probabilities by the plane's own networks, (slices, classes, i, j).
            mean: class probabilities to be refined, those of all planes together, (slices, classes, i, j).

        Returns:
            (slices, classes, 2 i, 2 j).
        """
        hidden = self.enter(torch.cat([functional.pixel_unshuffle(image, FACTOR), own, mean], dim=1))
        for block in self.blocks:
            hidden = block(hidden)
        change = functional.pixel_shuffle(self.leave(functional.silu(hidden)), FACTOR)
        before = functional.interpolate(mean, scale_factor=FACTOR, mode="bilinear", align_corners=False)
        scores: torch.Tensor = before.clamp(min=LEAST_PROBABILITY).log() + change
        return scores


def fastest_layout(network: RefinementNetwork) -> RefinementNetwork:
    """The network with its weights stored channels last, in place: the fastest layout of convolutions on a CPU."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


class _Residual(nn.Module):
    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        inner = self.first(functional.silu(hidden))
        result: torch.Tensor = hidden + self.second(functional.silu(inner))
        return result
