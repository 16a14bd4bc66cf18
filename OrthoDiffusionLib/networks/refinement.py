"""Outlines at twice the resolution of the networks that found the structures.

Those see 128 pixels of some 1.2 mm where an image has 0.3 to 0.6 mm, and on phantoms most of what they get wrong lies
within 0.5 mm of an outline. This network sees one slice with all its detail, its neighbours, and what was found in
them. It works on the coarse grid and coarser ones, the image's finer pixels folded into channels, as in sub-pixel
convolution (Shi et al. 2016, arXiv 1609.05158); its levels are those of a U-Net (Ronneberger et al. 2015, arXiv
1505.04597).
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

FACTOR = 2
"""Fine pixels along each edge of a coarse one."""

SEEN = 3
"""Slices: the one before, the one that is refined, the one after."""

PASSES = 2
"""What the first pass finds in all planes, sharp within each one's slices, is averaged and refined once more."""

LEAST_PROBABILITY = 1e-3
"""Below it a class counts as this unlikely, so that the network can still bring it back."""

WIDTHS = (32, 64, 96)
"""Channels of the levels, each of half the resolution of the one before."""

MULTIPLE = 2 ** (len(WIDTHS) - 1)
"""Of coarse pixels, that the edges of what is refined are."""


class RefinementNetwork(nn.Module):
    """Class scores on the fine grid, from images there and class probabilities on the coarse one.

    Args:
        classes: structures and background.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        finest, *coarser = WIDTHS
        pairs = list(zip(WIDTHS, coarser, strict=False))
        self.enter = nn.Conv2d(SEEN * FACTOR**2 + (1 + SEEN) * classes, finest, 3, padding=1)
        self.down = nn.ModuleList(_level(width) for width in WIDTHS[:-1])
        self.coarser = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in pairs)
        self.middle = nn.Sequential(_Residual(WIDTHS[-1]), _Residual(WIDTHS[-1]))
        self.finer = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in pairs)
        self.up = nn.ModuleList(_level(width) for width in WIDTHS[:-1])
        self.leave = nn.Conv2d(finest, classes * FACTOR**2, 3, padding=1)
        # It begins as no refinement at all.
        nn.init.zeros_(self.leave.weight)
        assert self.leave.bias is not None
        nn.init.zeros_(self.leave.bias)

    def forward(self, images: torch.Tensor, own: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
        """Scores (logits) on the fine grid.

        Args:
            images: (slices, 3, 2 i, 2 j): the slice before, the slice itself, the one after, as `with_neighbours` gives
                them, of mean 0 and standard deviation 1 over their stack; i and j are multiples of `MULTIPLE`.
            own: class probabilities by the plane's own networks, (slices, classes, i, j).
            mean: class probabilities to be refined, those of all planes together, of the same three slices, (slices, 3,
                classes, i, j).

        Returns:
            (slices, classes, 2 i, 2 j).
        """
        known = torch.cat([functional.pixel_unshuffle(images, FACTOR), own, mean.flatten(1, 2)], dim=1)
        hidden = self.enter(known)
        passed_on = []
        for level, coarser in zip(self.down, self.coarser, strict=True):
            hidden = level(hidden)
            passed_on.append(hidden)
            hidden = coarser(hidden)
        hidden = self.middle(hidden)
        for level, finer in zip(reversed(self.up), reversed(self.finer), strict=True):
            hidden = level(passed_on.pop() + functional.interpolate(finer(hidden), scale_factor=2, mode="nearest"))
        change = functional.pixel_shuffle(self.leave(functional.silu(hidden)), FACTOR)
        before = functional.interpolate(mean[:, SEEN // 2], scale_factor=FACTOR, mode="bilinear", align_corners=False)
        scores: torch.Tensor = before.clamp(min=LEAST_PROBABILITY).log() + change
        return scores


def with_neighbours(stack: torch.Tensor, first: int, last: int) -> torch.Tensor:
    """Slices from the first on, before the last, each between its neighbours; the outermost stand for their own.

    Args:
        stack: (slices, ...).
        first: number of a slice.
        last: number.

    Returns:
        (last - first, 3, ...).
    """
    numbers = torch.arange(first, last)[:, None] + torch.arange(SEEN) - SEEN // 2
    return stack[numbers.clamp(0, len(stack) - 1)]


def fastest_layout(network: RefinementNetwork) -> RefinementNetwork:
    """The network with its weights stored channels last, in place: the fastest layout of convolutions on a CPU."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        inner = self.first(functional.silu(hidden))
        result: torch.Tensor = hidden + self.second(functional.silu(inner))
        return result


def _level(width: int) -> nn.Sequential:
    """Two blocks where there is most detail, one where there is less."""
    return nn.Sequential(*(_Residual(width) for _ in range(2 if width == WIDTHS[0] else 1)))
