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
from OrthoDiffusionLib.training.bfloat16 import multiply_in_bfloat16
from OrthoDiffusionLib.training.distillation import Distillation, Targets, distillation_loss
from OrthoDiffusionLib.training.divergence import diverged
from OrthoDiffusionLib.training.pretraining_batches import PretrainBatch
from OrthoDiffusionLib.training.settings import PretrainSettings
from OrthoDiffusionLib.training.sharding import part_of


class StepOutcome(NamedTuple):
    """What a step tells.

    Attributes:
        loss: that is lowered; mean over the whole batch, of all processes.
        stopped: whether any process was asked to end.
        denoising: loss of it alone.
        distillation: loss of it alone, before its weight; 0 without it.
    """

    loss: float
    stopped: bool
    denoising: float
    distillation: float


class _Losses(NamedTuple):
    """Of a part of the batch; without distillation `whole` is `denoising`."""

    whole: torch.Tensor
    denoising: torch.Tensor
    distillation: torch.Tensor


def train_step(
    fabric: Fabric,
    module: _FabricModule,
    optimiser: torch.optim.Optimizer,
    parts: Sequence[PretrainBatch],
    settings: PretrainSettings,
    step: int,
    stopped: bool = False,
    distillation: Distillation | None = None,
) -> StepOutcome:
    """One step of the optimiser on this process's parts of the batch.

    Args:
        fabric: launched.
        module: the network, set up; with distillation, the student.
        optimiser: of its parameters, set up.
        parts: that go through the network one after the other; their gradients are averaged.
        settings: of the training.
        step: counted from 0.
        stopped: whether this process was asked to end. All learn of it at the same step, or those that were not asked
            would wait for the others without end.
        distillation: that is added to denoising.

    Raises:
        OrthoDiffusionError: TRAINING_DIVERGED, in all processes at the same step, when the loss or a gradient is no
            finite number; the weights are those from before the step.
    """
    optimiser.zero_grad(set_to_none=True)
    total = torch.zeros(3, device=fabric.device)
    targets = [None] * len(parts) if distillation is None else distillation.targets(fabric, parts)
    mine = sum(len(part.windows) for part in parts)
    for number, (part, target) in enumerate(zip(parts, targets, strict=True)):
        share = len(part.windows) / mine
        with fabric.no_backward_sync(module, enabled=number + 1 < len(parts)):
            losses = _losses(module, part, settings, fabric.device, target)
            fabric.backward(share * losses.whole)
        total += share * torch.stack([losses.whole, losses.denoising, losses.distillation]).detach()
    gradients = [part_of(p.grad) for group in optimiser.param_groups for p in group["params"] if p.grad is not None]
    size = torch.stack([gradient.norm() for gradient in gradients]).sum()
    told = torch.stack([*total, size.to(total.device), torch.tensor(float(stopped), device=total.device)])
    mean, denoising, contrast, gradient, asked = torch.as_tensor(fabric.all_reduce(told, reduce_op="mean")).tolist()
    if not (math.isfinite(mean) and math.isfinite(gradient)):
        raise diverged(step, mean, gradient)
    optimiser.step()
    return StepOutcome(mean, asked > 0, denoising, contrast)


def _losses(
    module: _FabricModule,
    part: PretrainBatch,
    settings: PretrainSettings,
    device: torch.device,
    targets: Targets | None,
) -> _Losses:
    """Mean squared error of the prediction, and the loss of distillation if there are targets of it."""
    windows, noise = part.windows.to(device), part.noise.to(device)
    with multiply_in_bfloat16(module, enabled=settings.precision == "bfloat16"):
        noised = cosine_schedule().noised(windows, part.timesteps, noise)
        told = module(noised, part.timesteps.to(device))
    predicted = told if targets is None else told[0]
    denoising = functional.mse_loss(predicted.float(), _target(windows, noise, part.timesteps, settings))
    if targets is None:
        return _Losses(denoising, denoising, torch.zeros_like(denoising))
    contrast = distillation_loss(told[1], targets, part.timesteps.to(device))
    return _Losses(denoising + settings.distillation * contrast, denoising, contrast)


def _target(
    windows: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor, settings: PretrainSettings
) -> torch.Tensor:
    if settings.prediction == "noise":
        return noise
    # The velocity is what noising becomes a quarter of a turn further on: sqrt(abar) noise - sqrt(1 - abar) x0.
    return cosine_schedule().noised(noise, timesteps, -windows)
