"""What the networks of each fold say of all studies, kept once they are trained: a training that was interrupted goes
on with the folds that are left."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from OrthoDiffusionLib.anatomy import load_joint
from OrthoDiffusionLib.bundles.weights import weights_bytes
from OrthoDiffusionLib.datasets.cache import CachedStudy, studies_digest
from OrthoDiffusionLib.datasets.whole_files import write_whole
from OrthoDiffusionLib.training.resuming import FREE
from OrthoDiffusionLib.training.settings import DiagnosisSettings
from OrthoDiffusionLib.training.trained_plane import TrainedPlane

FORMAT = 2
"""Of the files; another one trains all folds again."""

OF_READING = ("reads_around", "reading_penalty", "pools_features")
"""Settings that heads without a reading of structures have no use for."""


class FoldAnswers(NamedTuple):
    """What a fold's networks say of all studies, and how they were trained.

    Attributes:
        logits: (studies, findings).
        pooled: features, (studies, channels).
        losses: float64, (steps, 2), of each step and, after an epoch, on held-out patients, else NaN; without steps in
            files from before they were kept.
    """

    logits: torch.Tensor
    pooled: torch.Tensor
    losses: torch.Tensor = torch.zeros(0, 2, dtype=torch.float64)


class KeptFolds:
    """The answers of a training's folds.

    Args:
        folder: of a file for each fold, made when it is not there; or None, to keep nothing.
        start: the networks that training starts from.
        studies: that it is trained on, in order.
        fold: of each study.
        settings: of the training.

    Attributes:
        digest: of all that tells the training from others.
    """

    def __init__(
        self,
        folder: Path | None,
        start: TrainedPlane,
        studies: Sequence[CachedStudy],
        fold: Sequence[int],
        settings: DiagnosisSettings,
    ) -> None:
        self._folder = folder
        about = {
            "format": FORMAT,
            "start": start.description.told_apart(),
            "studies": studies_digest(studies),
            "fold": list(fold),
            "settings": settings.model_dump(mode="json", exclude={FREE, *OF_READING}),
        }
        if settings.reads_structures:
            about["reading"] = {name: getattr(settings, name) for name in OF_READING}
            about["shows_in"] = load_joint(start.description.joint).shows_in
        digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
        digest.update(weights_bytes(start.networks.state_dict()))
        self.digest = digest.hexdigest()[:16]

    def answers(self, number: int, train: Callable[[], FoldAnswers]) -> FoldAnswers:
        """Those of a fold: as they were kept, or as training makes them.

        Raises:
            OSError: when they cannot be kept.
        """
        if self._folder is None:
            return train()
        path = self._folder / f"fold-{number}-{self.digest}.safetensors"
        try:
            return FoldAnswers(**load_file(path))
        except (FileNotFoundError, SafetensorError):
            made = train()
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, weights_bytes(made._asdict()))
            return made
