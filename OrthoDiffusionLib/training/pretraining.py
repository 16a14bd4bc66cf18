"""Pre-training without labels: a denoising network learns to tell the noise in windows of one plane."""

from __future__ import annotations

import csv
import math
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.wrappers import _FabricModule
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint as recomputed
from torch.utils.tensorboard import SummaryWriter

from OrthoDiffusionLib import __version__
from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.datasets.cache import CachedStudy
from OrthoDiffusionLib.diffusion.schedule import cosine_schedule
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.networks.unet import DenoisingUNet
from OrthoDiffusionLib.training.averaging import AveragedWeights
from OrthoDiffusionLib.training.checkpoints import (
    Checkpoint,
    latest_checkpoint,
    optimiser_tensors,
    restore_optimiser,
    save_checkpoint,
)
from OrthoDiffusionLib.training.half_precision import multiply_in_bfloat16
from OrthoDiffusionLib.training.prefetch import PREFETCHERS, prefetched
from OrthoDiffusionLib.training.pretraining_batches import PretrainBatch, pretraining_batch
from OrthoDiffusionLib.training.settings import PretrainSettings

Report = Callable[[int, float], None]
"""Told the step (counted from 0) and its loss, on the first process alone."""


def pretrain(
    fabric: Fabric,
    studies: Sequence[CachedStudy],
    plane: Plane,
    settings: PretrainSettings,
    output: Path,
    report: Report = lambda step, loss: None,
) -> None:
    """Train up to `settings.steps`, from the newest checkpoint of the output folder if it has one.

    The windows of a step depend on seed, step and their number alone, and a checkpoint holds all state; so a run that
    was killed at any moment and started again ends with the same weights, bit for bit, and many processes agree with
    one.

    Args:
        fabric: launched, of precision `32-true`: what is multiplied in bfloat16 follows from the settings.
        studies: prepared; those without a series of the plane are left out.
        plane: to be trained.
        settings: of the training.
        output: folder of the checkpoints, `losses.csv` and pictures.
        report: told each step's loss.

    Raises:
        OrthoDiffusionError: EMPTY_STUDY, without a series of the plane; BAD_SETTINGS, when the batch cannot be shared
            among the processes or the folder holds another training; TRAINING_DIVERGED, when the loss is no number:
            the last checkpoint is from before that step.
    """
    usable = [study for study in studies if plane in study.depths]
    if not usable:
        raise OrthoDiffusionError(
            ErrorKind.EMPTY_STUDY, f"No study has a {plane.value} series.", "Choose another plane or dataset."
        )
    if settings.batch % fabric.world_size:
        raise OrthoDiffusionError(
            ErrorKind.BAD_SETTINGS,
            f"A batch of {settings.batch} cannot be shared among {fabric.world_size} processes.",
            "Choose a batch that is a multiple of the number of processes.",
        )
    torch.manual_seed(settings.seed + plane.pose_id)
    network = DenoisingUNet(settings.network)
    if settings.recompute:
        _recompute(network)
    optimiser: torch.optim.Optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    averaged = AveragedWeights(network, settings.ema_decay, settings.ema_every, settings.ema_start)
    about = {"version": __version__, "plane": plane.value, "settings": settings.model_dump(mode="json")}
    first = _resumed(output, about, network, optimiser, averaged)
    module, optimiser = fabric.setup(network, optimiser)
    for name, tensor in averaged.tensors.items():
        averaged.tensors[name] = tensor.to(fabric.device)
    share = settings.batch // fabric.world_size
    mine = range(fabric.global_rank * share, (fabric.global_rank + 1) * share)

    def save(step: int) -> None:
        if fabric.is_global_zero:
            parts = {
                "weights": network.state_dict(),
                "averaged": averaged.tensors,
                "optimiser": optimiser_tensors(optimiser),
            }
            save_checkpoint(output, Checkpoint(step, parts, about))
        fabric.barrier()

    log = _LossLog(output / "losses.csv", first) if fabric.is_global_zero else None
    parts = [mine[begin : begin + settings.together] for begin in range(0, len(mine), settings.together)]

    def batches(step: int) -> list[PretrainBatch]:
        return [pretraining_batch(usable, plane, settings, step, part) for part in parts]

    # A processor has no time to spare for batches; an accelerator waits for none.
    workers = 0 if fabric.device.type == "cpu" else PREFETCHERS
    with _asked_to_stop() as stopping:
        for step, parted in prefetched(batches, first, settings.steps, workers):
            loss = _step(fabric, module, optimiser, parted, settings, step)
            averaged.update(network, step)
            if log is not None:
                log.write(step, loss)
                report(step, loss)
            done = step + 1
            if done % settings.save_every == 0 or done == settings.steps or stopping():
                save(done)
            if settings.sample_every and done % settings.sample_every == 0 and fabric.is_global_zero:
                from OrthoDiffusionLib.training.pretraining_pictures import save_samples

                save_samples(averaged.tensors, settings, output / f"samples-{done:08d}.png")
            if stopping():
                raise OrthoDiffusionError(
                    ErrorKind.CANCELLED,
                    f"Training was stopped after {done} steps; the checkpoint is kept.",
                    "The same command goes on from there.",
                )


def _step(
    fabric: Fabric,
    module: _FabricModule,
    optimiser: torch.optim.Optimizer,
    parts: Sequence[PretrainBatch],
    settings: PretrainSettings,
    step: int,
) -> float:
    """One step of the optimiser on this process's parts of the batch; the mean loss over the whole batch."""
    optimiser.zero_grad(set_to_none=True)
    total = torch.zeros((), device=fabric.device)
    mine = sum(len(part.windows) for part in parts)
    for number, part in enumerate(parts):
        windows, noise, timesteps = (tensor.to(fabric.device) for tensor in part)
        share = len(windows) / mine
        with fabric.no_backward_sync(module, enabled=number + 1 < len(parts)):
            with multiply_in_bfloat16(module, enabled=settings.precision == "bfloat16"):
                predicted = module(cosine_schedule().noised(windows, timesteps.cpu(), noise), timesteps)
            loss = share * functional.mse_loss(predicted.float(), _target(windows, noise, timesteps, settings))
            fabric.backward(loss)
        total += loss.detach()
    mean = float(torch.as_tensor(fabric.all_reduce(total, reduce_op="mean")))
    if not math.isfinite(mean):
        raise OrthoDiffusionError(
            ErrorKind.TRAINING_DIVERGED,
            f"The loss is not a number any more at step {step}; the last checkpoint is from before.",
            "Look for a broken image in the dataset, or lower the learning rate; the same command goes on from there.",
        )
    optimiser.step()
    return mean


def _target(
    windows: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor, settings: PretrainSettings
) -> torch.Tensor:
    if settings.prediction == "noise":
        return noise
    # The velocity is what noising becomes a quarter of a turn further on: sqrt(abar) noise - sqrt(1 - abar) x0.
    return cosine_schedule().noised(noise, timesteps.cpu(), -windows)


def _recompute(network: DenoisingUNet) -> None:
    for layer in [*network.input_blocks, network.middle_block, *network.output_blocks]:
        layer.forward = partial(recomputed, layer.forward, use_reentrant=False)


def _resumed(
    output: Path,
    about: dict[str, Any],
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    averaged: AveragedWeights,
) -> int:
    """Take up the newest checkpoint, if there is one; the number of steps that are done."""
    found = latest_checkpoint(output)
    if found is None:
        return 0
    before, now = ({**a["settings"], "steps": 0, "save_every": 0, "sample_every": 0} for a in (found.about, about))
    if found.about["plane"] != about["plane"] or before != now:
        raise OrthoDiffusionError(
            ErrorKind.BAD_SETTINGS,
            "The output folder holds a training with another plane or other settings.",
            "Choose another folder, or the settings that it was started with.",
        )
    network.load_state_dict(found.parts["weights"])
    averaged.load(found.parts["averaged"])
    restore_optimiser(optimiser, found.parts["optimiser"])
    return found.step


@contextmanager
def _asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Whether the process was asked to end (SIGTERM): a step is finished and saved first."""
    asked: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGTERM, before)


class _LossLog:
    """`losses.csv`, a row for each step, and the same for TensorBoard; steps done again replace the old ones."""

    def __init__(self, path: Path, first: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        kept: list[list[str]] = []
        if path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                kept = [row for row in csv.reader(file) if row and row[0].isdigit() and int(row[0]) < first]
        self._path = path
        self._board = SummaryWriter(str(path.parent / "tensorboard"), purge_step=first)
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["step", "loss"], *kept])

    def write(self, step: int, loss: float) -> None:
        with self._path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow([step, f"{loss:.6f}"])
        self._board.add_scalar("loss", loss, step)
