"""The processes of a training: one, or several on one machine or many, each with its device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy, ModelParallelStrategy, Strategy
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch import distributed

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.training.sharding import sharded

PATIENCE = timedelta(hours=2)
"""For which processes wait for each other: the first one draws samples, or another is still preparing studies."""

ACCELERATORS = ("cpu", "cuda", "auto")

STRATEGIES = ("auto", "ddp", "fsdp")
"""ddp: each device holds the whole network. fsdp: each holds a part of it. auto: ddp where there are several."""


def training_fabric(accelerator: str, devices: int, nodes: int, sharing: str) -> Fabric:
    """The processes, not launched yet.

    Args:
        accelerator: `cpu`, `cuda` or `auto`.
        devices: processes or GPUs of each machine.
        nodes: machines; each runs the same command with NODE_RANK, MASTER_ADDR and MASTER_PORT set, or under torchrun
            or SLURM.
        sharing: how the devices share the network, one of `STRATEGIES`.

    Raises:
        OrthoDiffusionError: USAGE for an unknown accelerator or strategy; DEVICE_UNAVAILABLE, when the machine has no
            such devices.
    """
    if sharing not in STRATEGIES:
        raise OrthoDiffusionError(
            ErrorKind.USAGE, f"There is no strategy “{sharing}”.", f"Choose one of {', '.join(STRATEGIES)}."
        )
    if accelerator not in ACCELERATORS:
        raise OrthoDiffusionError(
            ErrorKind.USAGE, f"There is no accelerator “{accelerator}”.", f"Choose {', '.join(ACCELERATORS)}."
        )
    strategy: str | Strategy = "auto"
    if sharing == "fsdp":
        strategy = ModelParallelStrategy(
            sharded, data_parallel_size=devices * nodes, tensor_parallel_size=1, timeout=PATIENCE
        )
    elif sharing == "ddp" or devices * nodes > 1:
        strategy = DDPStrategy(timeout=PATIENCE)
    try:
        return Fabric(accelerator=accelerator, devices=devices, num_nodes=nodes, strategy=strategy)
    except (RuntimeError, ValueError, ImportError, MisconfigurationException) as error:
        raise OrthoDiffusionError(
            ErrorKind.DEVICE_UNAVAILABLE,
            f"This machine has no {accelerator} accelerator, or fewer than {devices} of them.",
            "Choose another --accelerator or fewer --devices; --accelerator cpu always works.",
            detail=str(error),
        ) from error


@contextmanager
def launched(fabric: Fabric) -> Iterator[None]:
    """Launch the processes, and let go of what connects them at the end.

    Threads of the connection that still hold a tensor when the interpreter ends abort it: of some 70 pairs of processes
    on a busy machine that were refused at once, 5 ended so.
    """
    fabric.launch()
    try:
        yield
    finally:
        if distributed.is_available() and distributed.is_initialized():
            distributed.destroy_process_group()
