"""What a device that fails says, as a person can be told of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError

CARD_FAILURES = ("CUDA error", "CUDA driver", "NVIDIA driver", "no kernel image", "cuDNN error", "cudaGetDeviceCount")
"""How torch says that a graphics card cannot be used, or not by this build of torch; it has no exception for it."""

OUT_OF_MEMORY = "out of memory"


@contextmanager
def device_failures() -> Iterator[None]:
    """Turn what torch raises when a device fails within the block into a sentence.

    Raises:
        OrthoDiffusionError: OUT_OF_MEMORY, or DEVICE_UNAVAILABLE where a graphics card or its driver fails.
    """
    try:
        yield
    except RuntimeError as error:
        # Of the text no more than its first line, for hints to developers follow.
        text = str(error).partition("\n")[0]
        fails = any(sign in text for sign in CARD_FAILURES)
        if isinstance(error, torch.OutOfMemoryError) or (fails and OUT_OF_MEMORY in text):
            raise OrthoDiffusionError(
                ErrorKind.OUT_OF_MEMORY,
                "The device has too little memory for this bundle.",
                "Close other programs that use it, or run on the CPU.",
                detail=text,
            ) from error
        if not fails:
            raise
        raise OrthoDiffusionError(
            ErrorKind.DEVICE_UNAVAILABLE,
            "The graphics card cannot be used.",
            "Run on the CPU, or update the card's driver and PyTorch.",
            detail=text,
        ) from error
