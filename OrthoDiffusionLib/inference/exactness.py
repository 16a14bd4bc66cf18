"""Arithmetic as the provenance states it: float32, and the same numbers again on the same machine."""

from __future__ import annotations

import torch


def compute_exactly(device: torch.device) -> None:
    """Let this process compute on a graphics card in true float32, by algorithms that give the same numbers again.

    torch rounds the inputs of float32 convolutions to TF32, with 10 bits behind the point, on cards that can. The CPU
    does neither, and nothing is set for it.

    Args:
        device: that networks are about to run on.
    """
    if device.type != "cuda":
        return
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    # Trying out algorithms may choose another one each time.
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
