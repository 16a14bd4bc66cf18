"""Planes taken away in training, so that a study which lacks some is answered by what the others can tell."""

from __future__ import annotations

import torch


def without_some_planes(assessed: torch.Tensor, probability: float, generator: torch.Generator) -> torch.Tensor:
    """Drop each plane of each study at random, but never all.

    Args:
        assessed: bool (batch, planes), which planes there are; one at least in every row.
        probability: with which a plane is dropped. Where chance drops all, one of them stays.
        generator: of chance, on the CPU.

    Returns:
        bool (batch, planes), some of `assessed`.
    """
    drawn = torch.rand(assessed.shape, generator=generator).to(assessed.device)
    kept = assessed & (drawn >= probability)
    # The plane that was nearest to being kept: chance alone decides which.
    stays = torch.where(assessed, drawn, -1.0).argmax(dim=1)
    lost = ~kept.any(dim=1)
    kept[lost, stays[lost]] = True
    return kept
