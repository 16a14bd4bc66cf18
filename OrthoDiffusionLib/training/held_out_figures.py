"""What heads say of studies that they did not learn from, as figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from sklearn.metrics import roc_auc_score


def held_out_auroc(held_out: Mapping[str, torch.Tensor], findings: Sequence[str]) -> dict[str, float]:
    """AUROC of each finding that some studies are known to have and others to lack, 0 to 1.

    The heads of different folds score on scales of their own, so that this is rather too low than too high.

    Args:
        held_out: `logits/<study>` and `present/<study>`, (findings,) each, as `train_diagnosis` leaves them.
        findings: keys, in that order.
    """
    ids = sorted(name.removeprefix("logits/") for name in held_out if name.startswith("logits/"))
    logits = np.stack([held_out[f"logits/{study}"].double().numpy() for study in ids])
    present = np.stack([held_out[f"present/{study}"].double().numpy() for study in ids])
    found = {}
    for index, key in enumerate(findings):
        known = np.isfinite(present[:, index])
        if len(set(present[known, index])) == 2:
            found[key] = float(roc_auc_score(present[known, index], logits[known, index]))
    return found
