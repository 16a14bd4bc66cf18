"""How chance chooses what a step sees: by the seed, the step and the window's number alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from OrthoDiffusionLib.anatomy import Plane

Study = TypeVar("Study")


def window_generator(seed: int, plane: Plane, step: int, number: int) -> np.random.Generator:
    """The chance of one window, whose first draw is `drawn_study`.

    Args:
        seed: of the training.
        plane: that is trained.
        step: counted from 0.
        number: of the window in the step, counted from 0.
    """
    return np.random.Generator(np.random.PCG64([seed, plane.pose_id, step, number]))


def drawn_study(studies: Sequence[Study], generator: np.random.Generator) -> Study:
    """Any of the studies, each as often as any other."""
    return studies[int(generator.integers(len(studies)))]
