"""Which device computes."""

from __future__ import annotations

import os
import platform
from typing import NamedTuple

import torch

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.inference.machine_memory import GIB, machine_memory_gib


class Device(NamedTuple):
    """A device that a run can ask for.

    Attributes:
        name: what a run calls it: `cuda:N` or `cpu`.
        kind: the model of the graphics card, or the processor's architecture and number of cores.
        memory_gib: that it has in all, in GiB; None where unknown. The processor has the machine's.
    """

    name: str
    kind: str
    memory_gib: float | None


def available_devices() -> tuple[str, ...]:
    """Names of the devices that a run can ask for; `cpu` is always the last of them."""
    return (*(f"cuda:{index}" for index in range(_cards())), "cpu")


def described_devices() -> tuple[Device, ...]:
    """The devices of `available_devices()`, in its order."""
    cards = []
    for index in range(_cards()):
        properties = torch.cuda.get_device_properties(index)
        cards.append(Device(f"cuda:{index}", properties.name, round(properties.total_memory / GIB, 1)))
    processor = f"{platform.machine()}, {os.cpu_count() or 1} processors"
    return (*cards, Device("cpu", processor, machine_memory_gib()))


def _cards() -> int:
    """How many CUDA devices can be used; cards whose driver is missing or too old are counted by torch, too."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


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
