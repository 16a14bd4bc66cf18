"""What diagnosis and fusion heads are trained to lower: cross entropy of known findings, rare ones not drowned."""

from __future__ import annotations

import torch
from torch.nn import functional

RAREST = 10.0
"""Weight at most of a study with a rare finding against one without it."""


class FindingLoss:
    """Binary cross entropy over the findings that are known.

    Args:
        present: 0, 1 or NaN for unknown, (studies, findings).
        balanced: a finding's presence weighs as much more as it is rarer than its absence, at most `RAREST` times.

    Attributes:
        shift: (findings,), what the weights add to every logit of a head that learnt with them: a positive weight w
            moves it up by log w. Taken off the last bias, probabilities follow the frequencies again.
    """

    def __init__(self, present: torch.Tensor, *, balanced: bool) -> None:
        self._known = torch.isfinite(present)
        self._truth = torch.where(self._known, present, torch.zeros_like(present))
        positive = (self._truth * self._known).sum(0)
        negative = ((1 - self._truth) * self._known).sum(0)
        weight = (negative / positive.clamp(min=1)).clamp(1, RAREST)
        self._weight = weight if balanced else torch.ones_like(positive)
        self.shift = self._weight.log()

    def of(self, logits: torch.Tensor, rows: torch.Tensor, among: torch.Tensor | None = None) -> torch.Tensor:
        """The mean over what is known of these studies; of a part of a step's, its share in the step's mean.

        Args:
            logits: (batch, findings).
            rows: of the studies, integers (batch,).
            among: of all studies of the step; None where these are all.
        """
        known = self._known[rows]
        counted = known if among is None else self._known[among]
        losses = functional.binary_cross_entropy_with_logits(
            logits, self._truth[rows], pos_weight=self._weight, reduction="none"
        )
        return (losses * known).sum() / counted.sum().clamp(min=1)
