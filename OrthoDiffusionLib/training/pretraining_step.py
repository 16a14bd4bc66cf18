"""One step of pre-training: the loss of a batch, its gradients, and what all processes must agree on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from lightning_fabric import Fabric
from lightning_fabric.wrappers import _FabricModule
from torch.nn import functional

from OrthoDiffusionLib.diffusion.schedule import cosine_schedule
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.training.half_precision import multiply_in_bfloat16
from OrthoDiffusionLib.training.pretraining_batches import PretrainBatch
from OrthoDiffusionLib.training.settings import PretrainSettings
from OrthoDiffusionLib.training.sharding import part_of


class StepOutcome(NamedTuple):
    """What a step tells.

    Attributes:
        loss: mean over the whole batch, of all processes.
        stopped: whether any process was asked to end.
    """

    loss: float
    stopped: bool


def train_step(
    fabric: Fabric,
    module: _FabricModule,
    optimiser: torch.optim.Optimizer,
    parts: Sequence[PretrainBatch],
    settings: PretrainSettings,
    step: int,
    stopped: bool = False,
) -> StepOutcome:
    """One step of the optimiser on this process's parts of the batch.

    Args:
        fabric: launched.
        module: the network, set up.
        optimiser: of its parameters, set up.
        parts: that go through the network one after the other; their gradients are averaged.
        settings: of the training.
        step: counted from 0.
        stopped: whether this process was asked to end. All learn of it at the same step, or those that were not asked
            would wait for the others without end.

    Raises:
        OrthoDiffusionError: TRAINING_DIVERGED, in all processes at the same step, when the loss or a gradient is no
            finite number; the weights are those from before the step.
    """
    optimiser.zero_grad(set_to_none=True)
    total = torch.zeros((), device=fabric.device)
    mine = sum(len(part.windows) for part in parts)
    for number, part in enumerate(parts):
        share = len(part.windows) / mine
        with fabric.no_backward_sync(module, enabled=number + 1 < len(parts)):
            loss = share * _loss(module, part, settings, fabric.device)
            fabric.backward(loss)
        total += loss.detach()
    gradients = [part_of(p.grad) for group in optimiser.param_groups for p in group["params"] if p.grad is not None]
    size = torch.stack([gradient.norm() for gradient in gradients]).sum()
    told = torch.stack([total, size.to(total.device), torch.tensor(float(stopped), device=total.device)])
    mean, gradient, asked = torch.as_tensor(fabric.all_reduce(told, reduce_op="mean")).tolist()
    if not (math.isfinite(mean) and math.isfinite(gradient)):
        raise OrthoDiffusionError(
            ErrorKind.TRAINING_DIVERGED,
            f"The loss is not a number any more at step {step}; the last checkpoint is from before.",
            "Look for a broken image in the dataset, or lower the learning rate; the same command goes on from there.",
            detail=f"loss {mean}, gradient {gradient}",
        )
    optimiser.step()
    return StepOutcome(mean, asked > 0)


def _loss(module: _FabricModule, part: PretrainBatch, settings: PretrainSettings, device: torch.device) -> torch.Tensor:
    """Mean squared error of the prediction."""
    windows, noise = part.windows.to(device), part.noise.to(device)
    with multiply_in_bfloat16(module, enabled=settings.precision == "bfloat16"):
        noised = cosine_schedule().noised(windows, part.timesteps, noise)
        predicted = module(noised, part.timesteps.to(device))
    return functional.mse_loss(predicted.float(), _target(windows, noise, part.timesteps, settings))


def _target(
    windows: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor, settings: PretrainSettings
) -> torch.Tensor:
    if settings.prediction == "noise":
        return noise
    # The velocity is what noising becomes a quarter of a turn further on: sqrt(abar) noise - sqrt(1 - abar) x0.
    return cosine_schedule().noised(noise, timesteps, -windows)
