"""Which block at which timestep tells the findings best: a sweep of linear probes on frozen features.

Source: denoising networks as self-supervised learners (Xiang et al. 2023, ICCV): the score of a linear probe rises and
then falls with the timestep, and is best near the middle of the network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from OrthoDiffusionLib.datasets.cache import CachedStudy
from OrthoDiffusionLib.datasets.splits import folds
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.training.probing_features import Features

FOLDS = 5
"""Each study is scored by a probe that saw no study of its patient."""

INVERSE_PENALTY = 0.1
"""Of the logistic regression on standardised features: there are more features than studies."""


@dataclass(frozen=True)
class ProbeScore:
    """How well one block at one timestep tells the findings.

    Attributes:
        block: of the network.
        timestep: of the noise.
        auroc: of each finding that some studies have and others not, from out-of-fold scores.
    """

    block: str
    timestep: int
    auroc: Mapping[str, float]

    @property
    def macro(self) -> float:
        """Mean over the findings."""
        return float(np.mean(list(self.auroc.values())))


def probe_scores(
    features: Features, studies: Sequence[CachedStudy], findings: Sequence[str], seed: int = 0
) -> list[ProbeScore]:
    """AUROC of a linear probe for each block and timestep, on patient-grouped folds.

    Args:
        features: of `pooled_features`.
        studies: in the same order.
        findings: keys, in the order of each study's `present`.
        seed: of the folds.

    Raises:
        OrthoDiffusionError: EMPTY_STUDY, when there are too few patients, or no finding that some have and others not.
    """
    patients = [study.patient for study in studies]
    if len(set(patients)) < FOLDS:
        raise OrthoDiffusionError(
            ErrorKind.EMPTY_STUDY, f"A probe needs studies of {FOLDS} patients or more.", "Choose a larger dataset."
        )
    present = np.stack([study.present for study in studies])
    parts = folds(patients, FOLDS, seed)
    usable = [index for index in range(len(findings)) if _tells(present[:, index], parts)]
    if not usable:
        raise OrthoDiffusionError(
            ErrorKind.EMPTY_STUDY,
            "No finding is known to be present in some studies and absent in others of every fold.",
            "Choose a larger dataset, or one with findings.",
        )
    return [
        ProbeScore(
            block, timestep, {findings[index]: _out_of_fold_auroc(values, present[:, index], parts) for index in usable}
        )
        for (block, timestep), values in features.items()
    ]


def _tells(truth: npt.NDArray[np.float32], parts: Sequence[Sequence[int]]) -> bool:
    """Whether the studies outside each fold have the finding both present and absent."""
    return all(len(set(_known(truth, part)[1])) == 2 for part in parts)


def _known(
    truth: npt.NDArray[np.float32], left_out: Sequence[int]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    rows = np.setdiff1d(np.flatnonzero(np.isfinite(truth)), left_out)
    return rows, truth[rows]


def _out_of_fold_auroc(
    values: npt.NDArray[np.float32], truth: npt.NDArray[np.float32], parts: Sequence[Sequence[int]]
) -> float:
    scores = np.zeros(len(truth))
    for part in parts:
        rows, labels = _known(truth, part)
        model = make_pipeline(StandardScaler(), LogisticRegression(C=INVERSE_PENALTY, max_iter=2000))
        model.fit(values[rows], labels)
        scores[part] = model.decision_function(values[part])
    known = np.isfinite(truth)
    return float(roc_auc_score(truth[known], scores[known]))
