"""A clinical head on a trained fusion of features: what age, height, weight, sex and the like add to the images.

The fusion and its logits stay as they are, so that a run without clinical data answers as if there were no such head;
the clinical part and each finding's share of it are learnt. Values are hidden at random in training, for hardly any
record is whole.
"""

from __future__ import annotations

import copy
import math
from typing import NamedTuple

import torch

from OrthoDiffusionLib.bundles.clinical_data import FIELDS
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.networks.clinical_fusion import NUMERIC, ClinicalFusionHead, clinical_inputs
from OrthoDiffusionLib.networks.plane_fusion import FeatureFusion, FusionNetwork
from OrthoDiffusionLib.training.divergence import diverged_in_epoch
from OrthoDiffusionLib.training.finding_loss import FindingLoss
from OrthoDiffusionLib.training.fold_training import FoldTraining, trained_on_folds
from OrthoDiffusionLib.training.fusion_data import FusionData
from OrthoDiffusionLib.training.learning_rate import along_cosine
from OrthoDiffusionLib.training.plane_dropout import without_some_planes
from OrthoDiffusionLib.training.settings import FusionSettings
from OrthoDiffusionLib.training.stage_report import StageReport

ALPHA_RATE = 10.0
"""Learning rate of the findings' shares over that of the rest: one number each, they would hardly move else."""


LEAST_SEEN = 2
"""Studies that must tell a value, or a code: what fewer tell, a run takes for unknown."""


class ClinicalTraining(NamedTuple):
    """What a training of a clinical head leaves.

    Attributes:
        head: trained on all studies with clinical data, on the CPU, in evaluation mode.
        centre: means of age, height and weight over them, (3,).
        spread: standard deviations, (3,).
        held_out: logits of image and clinical data together, out of fold, (studies with clinical data, findings).
        present: of the same studies, 0, 1 or NaN.
        epochs: that the head was trained for.
        losses: cross entropy of the held-out logits, and of those of the images alone on the same studies.
        seen: by name, what the studies tell: no codes for a number, the codes that occur for the others.
    """

    head: ClinicalFusionHead
    centre: torch.Tensor
    spread: torch.Tensor
    held_out: torch.Tensor
    present: torch.Tensor
    epochs: int
    losses: tuple[float, float]
    seen: dict[str, tuple[int, ...]]


def train_clinical(
    fusion: FoldTraining[FusionNetwork], data: FusionData, settings: FusionSettings, report: StageReport
) -> ClinicalTraining:
    """Train a clinical head on all studies with clinical data, after one for each fold without that fold's patients.

    Args:
        fusion: of features, trained on `data`.
        data: its studies; those of which nothing but the images is known are left out.
        settings: of the training.
        report: told how far it is.

    Raises:
        OrthoDiffusionError: EMPTY_STUDY, when fewer than two folds have clinical data; TRAINING_DIVERGED.
    """
    values = torch.tensor(
        [[math.nan] * 6 if study.clinical is None else study.clinical.values() for study in data.studies]
    )
    judged = torch.nonzero(torch.isfinite(values).any(dim=1))[:, 0]
    if len(data.fold[judged].unique()) < 2:
        raise OrthoDiffusionError(
            ErrorKind.EMPTY_STUDY,
            "Too few studies of the dataset have clinical data.",
            "Add them to the manifest, or leave out --clinical.",
        )
    torch.manual_seed(settings.seed)

    def learner(fold: int | None) -> _Learner:
        rows = judged if fold is None else judged[data.fold[judged] != fold]
        network = fusion.network if fold is None else fusion.of_folds[fold]
        assert isinstance(network, FeatureFusion)
        return _Learner(network, data, data.values[-1 if fold is None else fold], values, rows, settings)

    learners = {fold: learner(fold) for fold in data.folds()}
    trained = trained_on_folds(learners, lambda: learner(None), data, judged, settings, report)
    centre, spread = standardisation(values[judged])
    judge = FindingLoss(data.present, balanced=False)
    together, alone = (judge.of(logits[judged], judged).item() for logits in (trained.held_out, fusion.held_out))
    return ClinicalTraining(
        trained.network,
        centre,
        spread,
        trained.held_out[judged],
        data.present[judged],
        trained.epochs,
        (together, alone),
        seen_values(values[judged]),
    )


def seen_values(values: torch.Tensor) -> dict[str, tuple[int, ...]]:
    """What at least two of (studies, 6) tell, by name: no codes for a number, the codes that occur for the others."""
    seen: dict[str, tuple[int, ...]] = {}
    for column, name in enumerate(FIELDS):
        known = values[torch.isfinite(values[:, column]), column]
        if column < NUMERIC and len(known) >= LEAST_SEEN:
            seen[name] = ()
        elif column >= NUMERIC:
            codes, counts = known.long().unique(return_counts=True)
            if often := codes[counts >= LEAST_SEEN].tolist():
                seen[name] = tuple(often)
    return seen


def standardisation(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Means and standard deviations of age, height and weight, (3,) each, of what is known of (studies, 6).

    A value that is known of fewer than two studies gets 0 and 1, and one that is the same in all the deviation 1.
    """
    centre, spread = torch.zeros(NUMERIC), torch.ones(NUMERIC)
    for column in range(NUMERIC):
        known = values[torch.isfinite(values[:, column]), column]
        if len(known) >= LEAST_SEEN:
            centre[column] = known.mean()
            deviation = known.std()
            spread[column] = deviation if float(deviation) > 0 else 1.0
    return centre, spread


class _Learner:
    """One clinical head and the studies that it learns from."""

    def __init__(
        self,
        network: FeatureFusion,
        data: FusionData,
        features: torch.Tensor,
        values: torch.Tensor,
        rows: torch.Tensor,
        settings: FusionSettings,
    ) -> None:
        self._network, self._data, self._features, self._values = network, data, features, values
        self._rows, self._settings = rows, settings
        self._centre, self._spread = standardisation(values[rows])
        self._head = ClinicalFusionHead(network.width, data.present.shape[1])
        self._head.mri_head.load_state_dict(network.last.state_dict())
        self._head.mri_head.requires_grad_(False)
        self._loss = FindingLoss(data.present[rows], balanced=False)
        rest = [
            parameter
            for name, parameter in self._head.named_parameters()
            if name != "alpha_param" and parameter.requires_grad
        ]
        # Decay would draw every share to one half.
        groups = [
            {"params": rest, "share": 1.0, "weight_decay": settings.weight_decay},
            {"params": [self._head.alpha_param], "share": ALPHA_RATE, "weight_decay": 0.0},
        ]
        self._optimiser = torch.optim.AdamW(groups)
        self._generator = torch.Generator().manual_seed(settings.seed)

    def learn(self, epoch: int) -> None:
        """One epoch, planes taken away and values hidden at random."""
        self._head.train()
        rate = along_cosine(epoch, self._settings.epochs)
        for group in self._optimiser.param_groups:
            group["lr"] = group["share"] * self._settings.learning_rate * rate
        order = torch.randperm(len(self._rows), generator=self._generator)
        for chosen in order.split(self._settings.batch):
            rows = self._rows[chosen]
            dropout = self._settings.plane_dropout
            planes = without_some_planes(self._data.assessed[rows], dropout, self._generator)
            hidden = torch.rand(len(rows), self._values.shape[1], generator=self._generator)
            values = torch.where(hidden < self._settings.clinical_dropout, math.nan, self._values[rows])
            loss = self._loss.of(self._logits(rows, planes, values), chosen)
            if not math.isfinite(loss.item()):
                raise diverged_in_epoch(epoch)
            self._optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self._optimiser.step()

    def logits(self, rows: torch.Tensor) -> torch.Tensor:
        """Logits (rows, findings) with all planes and values that the studies have."""
        self._head.eval()
        with torch.no_grad():
            return self._logits(rows, self._data.assessed[rows], self._values[rows])

    def finished(self) -> ClinicalFusionHead:
        """A copy of the head as it is now, in evaluation mode."""
        return copy.deepcopy(self._head).eval().requires_grad_(False)

    def _logits(self, rows: torch.Tensor, planes: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        features = self._network.fused(self._features[rows], planes)
        return self._head(features, *clinical_inputs(values, self._centre, self._spread)).logits
