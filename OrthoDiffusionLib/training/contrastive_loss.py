"""How well a window's vector tells its other view from windows of other patients."""

from __future__ import annotations

import torch
from torch.nn import functional

TEMPERATURE = 0.2
"""As in MoCo v2 (Chen et al. 2020, arXiv 2003.04297)."""

EPSILON = 1e-5
"""Added to the variance, as in batch normalisation."""


def keys_of(projections: torch.Tensor) -> torch.Tensor:
    """A teacher's projections of a whole step, (n, d), normalised over the step's windows and then to length 1.

    Without the former, windows of knees, which resemble each other, all have nearly the same key.

    Source: MoCo v3 (Chen, Xie and He 2021, arXiv 2104.02057), whose projector ends in a batch normalisation.
    """
    variance, mean = torch.var_mean(projections, dim=0, correction=0)
    return functional.normalize((projections - mean) / (variance + EPSILON).sqrt(), dim=1)


def contrastive_losses(
    queries: torch.Tensor, numbers: torch.Tensor, keys: torch.Tensor, patients: torch.Tensor
) -> torch.Tensor:
    """InfoNCE of windows: the cross entropy of finding a window's own key among those of its step.

    Others of the same patient are left out: neighbouring windows show the same knee and are no mistake to confuse.

    Source: InfoNCE (van den Oord et al. 2018, arXiv 1807.03748).

    Args:
        queries: of the student, (n, d).
        numbers: of the windows among all of the step, (n,).
        keys: of the teacher for other views of all the step's windows, (m, d), of length 1.
        patients: whose windows they are, int64 (m,).

    Returns:
        float32 (n,), 0 at best; log(m) where all keys are alike and of different patients.
    """
    alike = functional.normalize(queries.float(), dim=1) @ keys.T / TEMPERATURE
    own = torch.arange(len(keys), device=keys.device)[None] == numbers[:, None]
    skipped = (patients[numbers][:, None] == patients[None]) & ~own
    return functional.cross_entropy(alike.masked_fill(skipped, -torch.inf), numbers, reduction="none")
