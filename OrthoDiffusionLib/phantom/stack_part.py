"""Some of a stack's slices, scanned as they would be with all the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from OrthoDiffusionLib.phantom.smooth_fields import Field, draw_smooth_field


class StackPart(NamedTuple):
    """Slices of a stack.

    Attributes:
        first: of them.
        end: the one after the last of them.
        slices: of the whole stack.
    """

    first: int
    end: int
    slices: int

    def smooth_field(self, shape: Sequence[int], knots: Sequence[int], generator: np.random.Generator) -> Field:
        """What these slices see of a field that varies smoothly over the whole stack.

        Args:
            shape: of the part, (i, j, slices).
            knots: along each axis of the whole stack, 2 or more.
            generator: draws the field.
        """
        whole = draw_smooth_field((*shape[:2], self.slices), knots, generator)
        return whole.part((slice(None), slice(None), slice(self.first, self.end)))
