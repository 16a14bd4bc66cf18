"""The gate that weighs the planes, trained on logits of studies that the planes' networks have not seen."""

from __future__ import annotations

import torch
from torch.nn import functional

from OrthoDiffusionLib.networks.fusion import PLANES, PlaneGate

STEPS = 300
LEARNING_RATE = 5e-3
PLANE_DROPOUT = 0.3
"""Share of the steps in which one plane is taken away: a study may lack it."""


def train_gate(logits: torch.Tensor, present: torch.Tensor, seed: int = 0) -> PlaneGate:
    """Train a gate.

    Args:
        logits: held-out logits of the planes in pose order, (studies, 3, findings).
        present: 0, 1 or NaN for unknown, (studies, findings).
        seed: of the weights and of the plane dropout.
    """
    torch.manual_seed(seed)
    gate = PlaneGate().train()
    optimiser = torch.optim.AdamW(gate.parameters(), lr=LEARNING_RATE, weight_decay=1e-2)
    known = torch.isfinite(present)
    for _ in range(STEPS):
        mask = torch.ones(PLANES, dtype=torch.bool)
        if float(torch.rand(())) < PLANE_DROPOUT:
            mask[int(torch.randint(PLANES, ()))] = False
        weights = gate(logits, mask)
        fused = (weights * torch.where(mask[None, :, None], logits, 0.0)).sum(dim=1)
        loss = functional.binary_cross_entropy_with_logits(fused[known], present[known])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return gate.eval().requires_grad_(False)
