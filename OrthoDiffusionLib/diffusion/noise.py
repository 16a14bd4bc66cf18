"""Seeded noise: the same seed and key give the same numbers on every device."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch


def noise_for(seed: int, key: str, shape: Sequence[int]) -> torch.Tensor:
    """Standard normal noise that depends on its arguments alone.

    Drawn by numpy's PCG64 and not by torch, whose streams differ between devices.

    Args:
        seed: of the run.
        key: says what the noise is for, such as a plane and the first slice of a window.
        shape: of the tensor.

    Returns:
        float32 tensor on the CPU.
    """
    digest = hashlib.sha256(f"{seed}/{key}".encode()).digest()
    generator = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))
    return torch.from_numpy(generator.standard_normal(tuple(shape), dtype=np.float32))
