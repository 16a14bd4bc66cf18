"""Training in bfloat16, on a processor without the one kernel that is wrong there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

NARROW = 16
"""Pixels along j. oneDNN's bfloat16 weight gradient of a 3 x 3 x 3 convolution of 64 or 128 channels was not finite in
8 of 8 tries at 2 x 12 x 12 positions, and within 0.2 % of float32 at every other size of the demonstration's networks
(torch 2.13.0, AMD EPYC with AVX512-BF16). In whole windows, such narrow levels take under 2 % of the time."""


@contextmanager
def multiply_in_bfloat16(networks: nn.Module, *, enabled: bool) -> Iterator[None]:
    """Autocast to bfloat16 on the networks' device; on a processor with convolutions of narrow inputs in float32."""
    if not enabled:
        yield
        return
    device = next(networks.parameters()).device.type
    if device != "cpu":
        with torch.autocast(device, dtype=torch.bfloat16):
            yield
        return
    convolutions = [module for module in networks.modules() if isinstance(module, nn.Conv3d)]
    for convolution in convolutions:
        convolution.forward = _Widened(convolution)  # type: ignore[method-assign, assignment]
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            yield
    finally:
        for convolution in convolutions:
            del convolution.forward


class _Widened:
    """A convolution that leaves autocast where its input is narrow."""

    def __init__(self, convolution: nn.Conv3d) -> None:
        self.convolution = convolution

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[-1] > NARROW:
            return nn.Conv3d.forward(self.convolution, x)
        with torch.autocast("cpu", enabled=False):
            return nn.Conv3d.forward(self.convolution, x.float())
