"""A training that has lost its way ends before the step that would spoil its weights."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError


def stop_unless_finite(loss: float, parameters: Iterable[torch.Tensor], step: int) -> None:
    """Refuse a step whose loss or gradients are no finite numbers; a finite loss can have gradients that are not.

    Args:
        loss: of the step.
        parameters: whose gradients are to be looked at; those without one are passed over.
        step: counted from 0.

    Raises:
        OrthoDiffusionError: TRAINING_DIVERGED.
    """
    size = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    if math.isfinite(loss) and bool(torch.isfinite(size)):
        return
    raise OrthoDiffusionError(
        ErrorKind.TRAINING_DIVERGED,
        f"The loss or a gradient is not a number any more at step {step}.",
        "Look for a broken image in the dataset, or lower the learning rate.",
        detail=f"loss {loss}, gradient {size.item()}",
    )
