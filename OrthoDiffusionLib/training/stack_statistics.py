"""Statistics of the structures that a plane's own networks find in a prepared stack."""

from __future__ import annotations

import torch

from OrthoDiffusionLib.anatomy import load_joint
from OrthoDiffusionLib.datasets.cache import CachedStudy
from OrthoDiffusionLib.inference.one_piece import keep_one_piece
from OrthoDiffusionLib.networks.structure_statistics import structure_statistics
from OrthoDiffusionLib.training.prepared_stacks import segmented_stack
from OrthoDiffusionLib.training.trained_plane import TrainedPlane


def read_structures(
    trained: TrainedPlane, study: CachedStudy, series: int, device: torch.device | str, *, around: bool = False
) -> torch.Tensor:
    """Segment all slices of a series, and tell the structures' statistics.

    Args:
        trained: networks with a segmentation decoder, on `device`.
        study: that has the series.
        series: of the networks' plane, counted from 0.
        device: of the networks.
        around: whether what lies around the structures is told too.

    Returns:
        float32, (structures x statistics,), NaN where unknown.
    """
    stack = segmented_stack(trained, study, series, device)
    structures = load_joint(trained.description.joint).structures
    with torch.inference_mode():
        keep_one_piece(stack.scores, [structure.label for structure in structures if structure.one_piece])
        return torch.from_numpy(structure_statistics(stack.image, stack.scores, around=around)).flatten()
