"""Which way a body's surface faces."""

from __future__ import annotations

import numpy as np

from OrthoDiffusionLib.phantom.distances import Field


def normals(distance: Field) -> tuple[Field, Field, Field]:
    """Unit vectors away from a body at each lattice point, one field for each axis; `distance` is that to the body."""
    x, y, z = np.gradient(distance)
    length = np.maximum(np.sqrt(x * x + y * y + z * z), 1e-6)
    return x / length, y / length, z / length
