"""Heads of all folds, trained side by side until studies that they do not see gain no more.

One number is read off them: the epoch after which the loss on held-out studies, over all folds, is lowest. The final
head learns from all studies for as many epochs. As that epoch is chosen on the studies on which temperatures and
thresholds are chosen later, these flatter by as much as one number out of a few dozen can.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Generic, NamedTuple, Protocol, TypeVar

import torch

from OrthoDiffusionLib.training.divergence import diverged_in_epoch
from OrthoDiffusionLib.training.finding_loss import FindingLoss
from OrthoDiffusionLib.training.fusion_data import FusionData
from OrthoDiffusionLib.training.settings import FusionSettings
from OrthoDiffusionLib.training.stage_report import StageReport

Network = TypeVar("Network")
NetworkOut = TypeVar("NetworkOut", covariant=True)


class Learner(Protocol[NetworkOut]):
    """A head that learns from some of the studies."""

    def learn(self, epoch: int) -> None:
        """Learn for one epoch; they are counted from 0."""

    def logits(self, rows: torch.Tensor) -> torch.Tensor:
        """Logits (rows, findings) of studies, on the CPU."""

    def finished(self) -> NetworkOut:
        """A copy of the head as it is now, on the CPU, in evaluation mode."""


class FoldTraining(NamedTuple, Generic[Network]):
    """What is left of a training.

    Attributes:
        network: trained on all studies.
        of_folds: by fold, each without that fold's patients.
        held_out: logits (studies, findings) by the fold's network; zeros for studies that were not judged.
        epochs: that the network was trained for.
    """

    network: Network
    of_folds: dict[int, Network]
    held_out: torch.Tensor
    epochs: int


def trained_on_folds(
    learners: Mapping[int, Learner[Network]],
    make_final: Callable[[], Learner[Network]],
    data: FusionData,
    judged: torch.Tensor,
    settings: FusionSettings,
    report: StageReport,
) -> FoldTraining[Network]:
    """Train the heads of all folds, stop early, and train the final one for as long.

    Args:
        learners: by fold; each learns from studies outside it.
        make_final: makes the one that learns from all studies.
        data: all studies.
        judged: rows of the studies whose held-out loss counts.
        settings: epochs at most, and patience.
        report: told how far it is.

    Raises:
        OrthoDiffusionError: TRAINING_DIVERGED.
    """
    judge = FindingLoss(data.present, balanced=False)
    best, epochs = math.inf, 0
    held_out = torch.zeros_like(data.present)
    kept: dict[int, Network] = {}
    for epoch in range(settings.epochs):
        report(f"folds, epoch {epoch + 1}", 0.8 * epoch / settings.epochs)
        logits = torch.zeros_like(data.present)
        for fold, learner in learners.items():
            learner.learn(epoch)
            rows = judged[data.fold[judged] == fold]
            logits[rows] = learner.logits(rows)
        loss = judge.of(logits[judged], judged).item()
        if not math.isfinite(loss):
            raise diverged_in_epoch(epoch)
        if loss < best:
            best, epochs, held_out = loss, epoch + 1, logits
            kept = {fold: learner.finished() for fold, learner in learners.items()}
        elif epoch + 1 - epochs >= settings.patience:
            break
    final = make_final()
    for epoch in range(epochs):
        report("all studies", 0.8 + 0.2 * epoch / epochs)
        final.learn(epoch)
    return FoldTraining(final.finished(), kept, held_out, epochs)
