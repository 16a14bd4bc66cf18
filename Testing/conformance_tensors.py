"""Deterministic tensors that the conformance numbers were made with: rebuilt from their names."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch

SEED = 20260224


def tensor(name: str, shape: Sequence[int], seed: int = SEED) -> torch.Tensor:
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()) * 1000003 + seed))
    return torch.from_numpy(generator.standard_normal(tuple(shape)).astype(np.float32))


def weight(name: str, shape: Sequence[int], seed: int = SEED) -> torch.Tensor:
    x = tensor(name, shape, seed)
    if len(shape) >= 2:
        return x / math.sqrt(math.prod(shape[1:]))
    return 1 + 0.1 * x if name.endswith("weight") else 0.1 * x


def state(shapes: Mapping[str, Sequence[int]]) -> dict[str, torch.Tensor]:
    return {name: weight(name, shape) for name, shape in shapes.items()}


def relative_error(computed: torch.Tensor | np.ndarray, expected: np.ndarray) -> float:
    difference = np.asarray(computed, np.float64) - np.asarray(expected, np.float64)
    return float(np.linalg.norm(difference) / np.linalg.norm(expected))
