"""A fusion of planes, trained on what their frozen networks say of each study.

Temperatures and thresholds are chosen when a bundle is exported, on the held-out logits of the networks of the folds.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import nn

from OrthoDiffusionLib.networks.plane_fusion import FeatureFusion, FusionNetwork, GatedStackedPlanes, make_fusion
from OrthoDiffusionLib.training.divergence import diverged_in_epoch
from OrthoDiffusionLib.training.finding_loss import FindingLoss
from OrthoDiffusionLib.training.fold_training import FoldTraining, trained_on_folds
from OrthoDiffusionLib.training.fusion_data import FusionData
from OrthoDiffusionLib.training.learning_rate import along_cosine
from OrthoDiffusionLib.training.plane_dropout import without_some_planes
from OrthoDiffusionLib.training.settings import FusionSettings
from OrthoDiffusionLib.training.stage_report import StageReport


def train_fusion(
    kind: str, data: FusionData, settings: FusionSettings, report: StageReport, device: torch.device | str = "cpu"
) -> FoldTraining[FusionNetwork]:
    """Train a fusion on all studies, after one for each fold without that fold's patients.

    Args:
        kind: of fusion, one of `make_fusion`.
        data: what the planes say of the studies.
        settings: of the training.
        report: told how far it is.
        device: to train on.

    Raises:
        OrthoDiffusionError: TRAINING_DIVERGED.
    """
    torch.manual_seed(settings.seed)
    learners = {fold: _Learner(kind, data, fold, settings, device) for fold in data.folds()}
    return trained_on_folds(
        learners, lambda: _Learner(kind, data, None, settings, device), data, data.rows(None), settings, report
    )


class _Learner:
    """One network and the studies that it learns from: those outside a fold, or all for None."""

    def __init__(
        self, kind: str, data: FusionData, fold: int | None, settings: FusionSettings, device: torch.device | str
    ) -> None:
        self._data, self._settings, self._device = data, settings, device
        self._rows = data.rows(fold)
        self._values = data.values[-1 if fold is None else fold]
        self._network = make_fusion(kind, self._values.shape[2], data.present.shape[1])
        if isinstance(self._network, FeatureFusion):
            self._network.standardise(self._values[self._rows], data.assessed[self._rows])
        self._network.to(device).train()
        # A gate has no bias from which the weights' shift could be taken again.
        balanced = settings.balanced and _bias(self._network) is not None
        self._loss = FindingLoss(data.present[self._rows].to(device), balanced=balanced)
        self._optimiser = torch.optim.AdamW(self._network.parameters(), weight_decay=settings.weight_decay)
        self._generator = torch.Generator().manual_seed(settings.seed)

    def learn(self, epoch: int) -> None:
        """One epoch; the rate falls along a cosine that ends with the last epoch of the settings."""
        order = torch.randperm(len(self._rows), generator=self._generator)
        rate = along_cosine(epoch, self._settings.epochs)
        for group in self._optimiser.param_groups:
            group["lr"] = self._settings.learning_rate * rate
        for chosen in order.split(self._settings.batch):
            rows = self._rows[chosen]
            dropout = self._settings.plane_dropout
            planes = without_some_planes(self._data.assessed[rows], dropout, self._generator)
            logits = self._network(self._values[rows].to(self._device), planes.to(self._device)).logits
            loss = self._loss.of(logits, chosen.to(self._device))
            if not math.isfinite(loss.item()):
                raise diverged_in_epoch(epoch)
            self._optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self._optimiser.step()

    def logits(self, rows: torch.Tensor) -> torch.Tensor:
        """Logits (rows, findings) with all planes that the studies have, on the CPU."""
        self._network.eval()
        with torch.no_grad():
            assessed = self._data.assessed[rows].to(self._device)
            logits = self._network(self._values[rows].to(self._device), assessed).logits - self._loss.shift
        self._network.train()
        return logits.cpu()

    def finished(self) -> FusionNetwork:
        """A copy of the network as it is now, its probabilities following the findings' frequencies."""
        network = copy.deepcopy(self._network)
        if (bias := _bias(network)) is not None:
            with torch.no_grad():
                bias.sub_(self._loss.shift)
        return network.to("cpu").eval().requires_grad_(False)


def _bias(network: FusionNetwork) -> nn.Parameter | None:
    """The bias of the layer that gives the logits."""
    if isinstance(network, FeatureFusion):
        return network.last.bias
    last = network.meta[-1] if isinstance(network, GatedStackedPlanes) else None
    return last.bias if isinstance(last, nn.Linear) else None
