"""Signals of the tissues: as a sequence's physics has them, or drawn at random for training that holds anywhere."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from OrthoDiffusionLib.phantom.sequences import Sequence
from OrthoDiffusionLib.phantom.tissues import REVERSIBLE, Tissue, relaxation

Signals = npt.NDArray[np.float32]

VARIATION = 0.07
"""Spread of a tissue's signal from one person to the next, relative; T1 and T2 in vivo vary by 5 to 15 %."""

TRANSFER = 0.8
"""What the many pulses of a fat-suppressed spin echo leave of the muscles' signal by magnetisation transfer: an order
of magnitude. In the brain, echo trains of many slices lose some 20 % (Radunsky et al. 2019, PMC7053148)."""

SPREAD = 35 / 255
"""Largest standard deviation of a tissue's voxels in contrasts of chance, relative to the largest mean of a tissue:
Billot et al. 2023 (Med Image Anal 86:102789)."""

FAT_SHARES = np.array([relaxation(tissue, 1.5).fat for tissue in Tissue], np.float32)
"""Of each tissue's signal in contrasts of chance."""

MIXTURES = ((Tissue.FATTY_MUSCLE, Tissue.MUSCLE, Tissue.FAT), (Tissue.RED_MARROW, Tissue.MARROW, Tissue.MUSCLE))


def physical_signals(sequence: Sequence, field: float, generator: np.random.Generator) -> Signals:
    """Water and fat signal of each tissue by the sequence's equation: float32, (2, tissues)."""
    tissues = {tissue: relaxation(tissue, field) for tissue in Tissue}
    # By their angle to the field and the fat between their fibres, ligaments are black in one knee and grey in another.
    fibrous = tissues[Tissue.LIGAMENT]
    tissues[Tissue.LIGAMENT] = fibrous._replace(t2=fibrous.t2 * generator.uniform(0.8, 2.2))
    signals = np.array(
        [sequence.signal(about, REVERSIBLE.get(tissue, math.inf)) for tissue, about in tissues.items()], np.float32
    ).T
    signals *= np.asarray(generator.normal(1, VARIATION, size=signals.shape[1]), np.float32)
    if sequence.fat_left < 1 and sequence.family == "spin echo":
        signals[:, [Tissue.MUSCLE, Tissue.FATTY_MUSCLE]] *= np.float32(TRANSFER)
    # Blood that flows leaves a slice between a spin echo's pulses, and comes fresh into that of a gradient echo.
    flow = (0.02, 0.6) if sequence.family == "spin echo" else (0.3, 1.0)
    signals[:, Tissue.VESSEL] *= np.float32(generator.uniform(*flow))
    return signals


def random_signals(generator: np.random.Generator) -> Signals:
    """A Gaussian for each tissue, the air mostly dark: float32, (3, tissues), of water, fat and standard deviation.

    Water and fat add up to the mean, and have the tissue's own shares of it, so that a scanner misplaces its fat;
    `textured` makes voxels of the spreads. Source: Billot et al. 2023 (Med Image Anal 86:102789), there as here with
    means and standard deviations from uniform distributions, but without fat.
    """
    values = generator.uniform(0, 1, size=len(Tissue)).astype(np.float32)
    values[Tissue.AIR] = 0.0 if generator.random() < 0.9 else generator.uniform(0, 0.3)
    # What is made of two tissues lies between them in any contrast.
    for mixed, one, other in MIXTURES:
        values[mixed] = values[one] + generator.uniform(0.1, 0.7) * (values[other] - values[one])
    # Clinical contrasts leave cortex, tendons and ligaments dark: half of the time they share one low signal.
    if generator.random() < 0.5:
        fibrous = [Tissue.CORTEX, Tissue.TENDON, Tissue.LIGAMENT, Tissue.MENISCUS, Tissue.SEPTUM]
        values[fibrous] = generator.uniform(0, 0.25) * generator.uniform(0.7, 1.3, size=len(fibrous))
    spreads = generator.uniform(0, SPREAD, size=len(Tissue)).astype(np.float32)
    fat = values * FAT_SHARES
    # Beyond half of its mean, a Gaussian that is cut at 0 would brighten what is to be dark, and fill the air.
    return np.stack([values - fat, fat, np.minimum(spreads, values / 2)])
