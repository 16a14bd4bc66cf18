"""Which block at which timestep tells the findings best: a sweep of linear probes on frozen features.

Source: denoising networks as self-supervised learners (Xiang et al. 2023, ICCV): the score of a linear probe rises and
then falls with the timestep, and is best near the middle of the network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.datasets.cache import CachedStudy
from OrthoDiffusionLib.datasets.splits import folds
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.inference.plane_pass import noised_window
from OrthoDiffusionLib.networks.encoder import DenoisingEncoder
from OrthoDiffusionLib.volumes.windows import centre_window, normalised

FOLDS = 5
"""Each study is scored by a probe that saw no study of its patient."""

INVERSE_PENALTY = 0.1
"""Of the logistic regression on standardised features: there are more features than studies."""

Features = Mapping[tuple[str, int], npt.NDArray[np.float32]]


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


def pooled_features(
    encoder: DenoisingEncoder,
    studies: Sequence[CachedStudy],
    plane: Plane,
    blocks: Sequence[str],
    timesteps: Sequence[int],
    advance: Callable[[], None] = lambda: None,
    device: torch.device | str = "cpu",
) -> Features:
    """Mean over all positions of each block's activation, of the centre window: float32 (studies, channels) each.

    Several series of one study are averaged. All blocks come from one pass for each timestep.

    Args:
        encoder: trained, in evaluation mode.
        studies: at the window's size, each with a series of the plane.
        plane: whose series are looked at.
        blocks: of `encoder.block_names`.
        timesteps: 0 to 999.
        advance: called after each study and timestep.
        device: to compute on; the encoder ends on the CPU.

    Raises:
        OrthoDiffusionError: USAGE for an unknown block, EMPTY_STUDY without studies.
    """
    if unknown := set(blocks) - set(encoder.block_names):
        raise OrthoDiffusionError(
            ErrorKind.USAGE,
            f"The encoder has no block {min(unknown)}.",
            f"Choose of {', '.join(encoder.block_names)}.",
        )
    if not studies:
        raise OrthoDiffusionError(
            ErrorKind.EMPTY_STUDY, f"No study has a {plane.value} series.", "Choose another plane or dataset."
        )
    encoder.to(device)
    rows: dict[tuple[str, int], list[npt.NDArray[np.float32]]] = {(b, t): [] for b in blocks for t in timesteps}
    for study in studies:
        for timestep in timesteps:
            pooled: dict[str, list[npt.NDArray[np.float32]]] = {block: [] for block in blocks}
            for series, depth in enumerate(study.depths[plane]):
                start = centre_window(depth)
                image, _ = study.window(plane, series, start)
                noised = noised_window(normalised(image), plane, start, timestep, 0, device)
                with torch.inference_mode():
                    for block, hidden in encoder.activations(*noised):
                        if block in pooled:
                            pooled[block].append(hidden.mean(dim=(2, 3, 4))[0].cpu().numpy())
            for block in blocks:
                rows[block, timestep].append(np.mean(pooled[block], axis=0))
            advance()
    encoder.to("cpu")
    return {key: np.stack(values).astype(np.float32) for key, values in rows.items()}


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
