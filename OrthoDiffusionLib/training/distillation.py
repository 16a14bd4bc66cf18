"""Contrastive self-distillation: the middle learns to say what a window shows, however it is turned and noised.

The student is the trained network, which sees the windows as in plain pre-training. The teacher is its moving average,
which sees each window turned, scaled and noised another way, with little noise. The student's summary of a window, by
way of small heads, is to be more like the teacher's of the same window than like those of other patients' windows.

Source: the contrastive self-distillation of DDAE++ (Xiang et al. 2025, arXiv 2505.10999), which builds on
self-conditioning: as the summary steers the decoder, what it learns helps denoising.

The other windows are those of the same step in all processes. A queue of past ones (MoCo, He et al. 2020), tried for
the sake of small batches, failed while the average moved fast: its keys are older than a window's own, age alone can
tell them apart, and soon all keys of a step were alike. A loss without other windows (BYOL, Grill et al. 2020) relies
on an average that lags behind, and the published one is a copy until `ema_start`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from lightning_fabric import Fabric
from torch import nn

from OrthoDiffusionLib.diffusion.schedule import cosine_schedule
from OrthoDiffusionLib.networks.encoder import DenoisingEncoder, encoder_state
from OrthoDiffusionLib.networks.self_conditioning import summary_of
from OrthoDiffusionLib.networks.unet import DenoisingUNet
from OrthoDiffusionLib.training.averaging import AveragedWeights
from OrthoDiffusionLib.training.bfloat16 import multiply_in_bfloat16
from OrthoDiffusionLib.training.contrastive_loss import contrastive_losses, keys_of
from OrthoDiffusionLib.training.pretraining_batches import NoisedViews, PretrainBatch
from OrthoDiffusionLib.training.projection_heads import ProjectionHeads, projector_of
from OrthoDiffusionLib.training.settings import PretrainSettings
from OrthoDiffusionLib.training.sharding import whole_tensors


class Student(nn.Module):
    """The denoising network and the heads, as one network for the processes to share."""

    def __init__(self, network: DenoisingUNet) -> None:
        super().__init__()
        self.network = network
        self.heads = ProjectionHeads(network.config.middle_channels)

    def forward(self, x_t: torch.Tensor, timesteps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The prediction, as of the network, and the windows' vectors, (batch, 128)."""
        predicted, summary = self.network.denoised_and_summary(x_t, timesteps)
        return predicted, self.heads(summary)


class Targets(NamedTuple):
    """What the student's vectors of a part of the batch are compared with.

    Attributes:
        numbers: of the part's windows among all of the step, (n,).
        keys: of the teacher for all of them, (m, 128), of length 1.
        patients: int64 (m,).
    """

    numbers: torch.Tensor
    keys: torch.Tensor
    patients: torch.Tensor


def distillation_loss(queries: torch.Tensor, targets: Targets, timesteps: torch.Tensor) -> torch.Tensor:
    """Mean over windows of the contrastive loss, each weighed by the share of the window that its noise has left.

    Args:
        queries: of the student for a part of the batch, (n, 128).
        targets: of the part.
        timesteps: of the student's windows, (n,).
    """
    left = torch.as_tensor(cosine_schedule().alphas_cumprod, dtype=torch.float32, device=queries.device)[timesteps]
    return (left * contrastive_losses(queries, *targets)).mean()


class Distillation:
    """The teacher; each process has all of it.

    Args:
        student: set up.
        averaged: weights of its network.
        settings: of the training.
        device: of this process.
    """

    def __init__(
        self, student: Student, averaged: AveragedWeights, settings: PretrainSettings, device: torch.device
    ) -> None:
        self._student, self._averaged, self._settings, self._device = student, averaged, settings, device
        self._averaged_projector = AveragedWeights(
            student.heads.projector, settings.ema_decay, settings.ema_every, settings.ema_start
        )
        self._encoder = DenoisingEncoder(settings.network).to(device).eval().requires_grad_(False)
        self._projector = projector_of(settings.network.middle_channels).to(device).eval().requires_grad_(False)
        self._take_up_the_average()

    def targets(self, fabric: Fabric, parts: Sequence[PretrainBatch]) -> list[Targets]:
        """Of each part of this process's windows; all processes must call it, with as many windows each."""
        mine = torch.cat([self._projections(part.teacher) for part in parts if part.teacher is not None])
        patients = torch.cat([part.patients for part in parts]).to(self._device)
        # In order of the processes, which is that of the windows' numbers.
        keys = keys_of(torch.as_tensor(fabric.all_gather(mine)).reshape(-1, mine.shape[1]))
        everyone = torch.as_tensor(fabric.all_gather(patients)).reshape(-1)
        numbers = fabric.global_rank * len(mine) + torch.arange(len(mine), device=self._device)
        return [Targets(some, keys, everyone) for some in numbers.split([len(part.windows) for part in parts])]

    def follow(self, step: int) -> None:
        """Take the weights after a step into account, once the network's average has; all processes must call it."""
        self._averaged_projector.update(self._student.heads.projector, step)
        if step % self._settings.ema_every == 0:
            self._take_up_the_average()

    def state(self) -> dict[str, dict[str, torch.Tensor]]:
        """For a checkpoint, what the network's average does not hold; all processes must call it."""
        return {
            "heads": whole_tensors(self._student.heads.state_dict()),
            "averaged_projector": whole_tensors(self._averaged_projector.tensors),
        }

    def load(self, parts: Mapping[str, Mapping[str, torch.Tensor]]) -> None:
        """Take up what `state` gave, but the student's heads; the network's average must have been loaded before."""
        self._averaged_projector.load(parts["averaged_projector"])
        self._take_up_the_average()

    @torch.no_grad()
    def _projections(self, views: NoisedViews) -> torch.Tensor:
        """The teacher's of views, float32 (n, 128)."""
        windows, noise, timesteps = (tensor.to(self._device) for tensor in views)
        with multiply_in_bfloat16(self._encoder, enabled=self._settings.precision == "bfloat16"):
            x_t = cosine_schedule().noised(windows, timesteps, noise)
            summary = summary_of(self._encoder.features(x_t, timesteps, self._encoder.block_names[-1]))
            projections: torch.Tensor = self._projector(summary)
        return projections.float()

    def _take_up_the_average(self) -> None:
        self._encoder.load_state_dict(whole_tensors(encoder_state(self._averaged.tensors)))
        self._projector.load_state_dict(whole_tensors(self._averaged_projector.tensors))
