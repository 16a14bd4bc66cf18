"""How far a diagnosis head's training is, kept between two steps: an interrupted one ends with the same weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from OrthoDiffusionLib.networks.plane_networks import PlaneNetworks
from OrthoDiffusionLib.training.checkpoints import (
    Checkpoint,
    Tensors,
    copied_state,
    optimiser_tensors,
    restore_optimiser,
    save_checkpoint,
)
from OrthoDiffusionLib.training.resuming import taken_up


@dataclass
class HeadProgress:
    """What the next step of a head's training depends on, beside the networks and the optimiser.

    Attributes:
        generator: of orders and views.
        order: of the studies in the epoch that was begun last.
        losses: of each step done and, after an epoch, on held-out patients, else NaN.
        lowest: loss on held-out patients so far.
        best: the networks' weights then; None before.
        best_epoch: after so many epochs; 0 before.
    """

    generator: np.random.Generator
    order: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    losses: list[tuple[float, float]] = field(default_factory=list)
    lowest: float = math.inf
    best: Tensors | None = None
    best_epoch: int = 0

    @property
    def step(self) -> int:
        """Steps done."""
        return len(self.losses)


class UnfinishedHead:
    """Checkpoints of one head's training.

    Args:
        folder: of the checkpoints.
        about: what tells the training from others; `settings` among it.
        save_every: steps between checkpoints.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any], save_every: int) -> None:
        self._folder = folder
        self._about = dict(about)
        self._save_every = save_every

    def is_due(self, step: int) -> bool:
        """Whether a checkpoint is to be saved after so many steps."""
        return step % self._save_every == 0

    def save(self, networks: PlaneNetworks, optimiser: torch.optim.Optimizer, progress: HeadProgress) -> None:
        """Keep all that the next step depends on.

        Raises:
            OSError: when it cannot be written.
        """
        parts: dict[str, Tensors] = {
            "networks": copied_state(networks),
            "optimiser": optimiser_tensors(optimiser),
            "progress": {
                "order": torch.from_numpy(progress.order),
                "losses": torch.tensor(progress.losses, dtype=torch.float64),
            },
        }
        if progress.best is not None:
            parts["best"] = progress.best
        told = {
            "generator": progress.generator.bit_generator.state,
            "lowest": progress.lowest,
            "best_epoch": progress.best_epoch,
        }
        save_checkpoint(self._folder, Checkpoint(progress.step, parts, {**self._about, **told}))

    def take_up(self, networks: PlaneNetworks, optimiser: torch.optim.Optimizer, progress: HeadProgress) -> None:
        """Put all three where the newest checkpoint has them; where there is none they stay.

        Raises:
            OrthoDiffusionError: BAD_SETTINGS, when the folder holds another training.
        """
        found = taken_up(self._folder, self._about)
        if found is None:
            return
        networks.load_state_dict(found.parts["networks"])
        restore_optimiser(optimiser, found.parts["optimiser"])
        progress.generator.bit_generator.state = found.about["generator"]
        progress.order = found.parts["progress"]["order"].numpy()
        progress.losses = [(loss, validation) for loss, validation in found.parts["progress"]["losses"].tolist()]
        progress.lowest, progress.best_epoch = found.about["lowest"], found.about["best_epoch"]
        progress.best = found.parts.get("best")
