"""How well a decoder in training finds each structure in studies that it does not train on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from OrthoDiffusionLib.anatomy import load_joint
from OrthoDiffusionLib.datasets.cache import CachedStudy
from OrthoDiffusionLib.evaluation.metrics import dice
from OrthoDiffusionLib.training.prepared_stacks import segmented_stack
from OrthoDiffusionLib.training.trained_plane import TrainedPlane

VALIDATION_SIZE = 40
"""Studies at most that a validation looks at."""


def structure_dice(
    trained: TrainedPlane, studies: Sequence[CachedStudy], device: torch.device | str
) -> dict[str, float]:
    """Dice of each structure over all slices of a study's first masked series, 0 to 1, by the plane's networks alone.

    All slices and not the centre window's: ligaments, fibula and patella lie in a stack's outermost ones.

    Args:
        trained: networks with a decoder, on `device`; they are left in evaluation mode.
        studies: with masks of the plane; the first `VALIDATION_SIZE` are looked at.
        device: of the networks.

    Returns:
        by the structure's key, the mean over the studies that show it; structures that none shows are left out.
    """
    trained.networks.eval()
    plane = trained.description.plane
    structures = load_joint(trained.description.joint).structures
    overlaps: dict[str, list[float]] = {structure.key: [] for structure in structures}
    for study in studies[:VALIDATION_SIZE]:
        stack = segmented_stack(trained, study, study.masked[plane].index(True), device)
        assert stack.labels is not None
        found = stack.scores.argmax(dim=0).numpy()
        for structure in structures:
            if (stack.labels == structure.label).any():
                overlaps[structure.key].append(dice(found, stack.labels, structure.label))
    return {key: float(np.mean(values)) for key, values in overlaps.items() if values}


def mean_dice(of_structures: Mapping[str, float]) -> float:
    """Each structure alike; 0 where there is none."""
    return math.fsum(of_structures.values()) / max(len(of_structures), 1)
