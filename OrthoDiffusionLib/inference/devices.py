"""Which device computes."""

from __future__ import annotations

import torch

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError


def available_devices() -> tuple[str, ...]:
    """Names of the devices that a run can ask for; `cpu` is always the last of them."""
    return (*(f"cuda:{index}" for index in range(torch.cuda.device_count())), "cpu")


def choose_device(name: str) -> torch.device:
    """The device of this name; `auto` takes the first CUDA device, or the CPU where there is none.

    Raises:
        OrthoDiffusionError: DEVICE_UNAVAILABLE; another device is never taken silently.
    """
    available = available_devices()
    if name == "auto":
        return torch.device(available[0])
    wanted = "cuda:0" if name == "cuda" else name
    if wanted not in available:
        raise OrthoDiffusionError(
            ErrorKind.DEVICE_UNAVAILABLE,
            f"The device “{name}” is not available here.",
            f"Choose one of: auto, {', '.join(available)}.",
        )
    return torch.device(wanted)
