"""A volume is drawn in the plane that is asked for, whatever plane its own slices lie in."""

from __future__ import annotations

import numpy as np
import pytest

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.evaluation.pictures import _as_viewed
from OrthoDiffusionLib.volumes.volume import SeriesSource, Volume

SHAPE = (24, 32, 20)
"""Along P, S and R: a sagittal 3D volume as it is stored."""

TOWARDS = {"L": (0, -1), "R": (0, 1), "A": (1, 1), "P": (1, -1), "S": (2, 1)}


@pytest.mark.parametrize("plane", Plane)
def test_a_sagittal_volume_is_cut_across_its_slices_for_another_plane(plane: Plane) -> None:
    affine = np.array([[0, 0, 1.0, -10], [-0.5, 0, 0, 6], [0, 0.6, 0, -9], [0, 0, 0, 1]])
    mm = np.moveaxis(np.indices(SHAPE), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    spacing = {"L": 1.0, "R": 1.0, "A": 0.5, "P": 0.5, "S": 0.6}
    column, row, normal = plane.network_axcodes
    for code, axis, sign in ((normal, 0, 1), (row, 1, -1), (column, 2, 1)):
        ras, direction = TOWARDS[code]
        seen = _as_viewed(Volume(mm[..., ras], affine, SeriesSource(name="3D")), plane)
        assert np.allclose(np.diff(seen.slices, axis=axis), sign * direction * spacing[code])
        assert seen.pixel == pytest.approx((spacing[row], spacing[column]))
