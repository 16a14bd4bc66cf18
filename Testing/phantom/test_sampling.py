"""A part of a grid has the signals of the whole, however little of the body is in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from OrthoDiffusionLib.phantom.canvas import SPACING, AnatomyCanvas
from OrthoDiffusionLib.phantom.kept_anatomy import BESIDE, KeptAnatomy, packed, read_anatomy
from OrthoDiffusionLib.phantom.sampling import Body
from OrthoDiffusionLib.phantom.study import Anatomy
from OrthoDiffusionLib.phantom.tissue_grid import TissueGrid
from OrthoDiffusionLib.phantom.tissues import Tissue
from OrthoDiffusionLib.phantom.upsampling import extent

FINER = 0.5
"""mm from one point that is looked at to the next."""

SIGNALS = np.where(np.arange(1 + max(Tissue)) == Tissue.MARROW, 100, 0).astype(np.float32)[None]


def ball_in_air() -> AnatomyCanvas:
    """A ball of marrow, whose last planes lie differently in the grid on each side."""
    canvas = AnatomyCanvas((-9, -9.4, -10), (15, 10, 9))
    region = canvas.everywhere()
    x, y, z = region.points
    canvas.paint(region, region.covered(np.sqrt((x - 0.2) ** 2 + (y + 0.1) ** 2 + (z - 0.3) ** 2) - 7), Tissue.MARROW)
    return canvas


def on_disk(canvas: AnatomyCanvas, folder: Path) -> KeptAnatomy:
    (folder / "anatomy.npz").write_bytes(packed(Anatomy("knee", canvas, {}, "right", 0)))
    return read_anatomy(folder / "anatomy.npz")


def looked_up(grid: TissueGrid, low: npt.NDArray[np.float64], high: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Signals from one corner to another, (z, x, y)."""
    index_to_joint = np.diag([FINER, FINER, FINER, 1.0])
    index_to_joint[:3, 3] = low
    i, j, k = np.floor((high - low) / FINER).astype(int) + 1
    body = Body.of(grid, SIGNALS, index_to_joint)
    return np.stack([body.mean_of_planes((i, j), 0, np.array([float(n)]))[0] for n in range(k)])


def signals_of_a_part(
    canvas: AnatomyCanvas, kept: KeptAnatomy, axis: int, border: int, outwards: int
) -> npt.NDArray[np.float32]:
    """Signals of the whole where a scanner finds the same in the part that begins (outwards is -1: ends) at a plane."""
    first, end = np.zeros(3), np.array(canvas.tissue.shape) - 1.0
    # The part's border lies so far outside what is looked at.
    (first if outwards > 0 else end)[axis] = border + BESIDE * outwards
    # Never at a point of the grid, where the body's end would be a matter of rounding.
    low, high = canvas.low + SPACING * first + 0.13, canvas.low + SPACING * end - 0.13
    part = kept.between(low, high)
    assert part.tissue.shape[axis] == (canvas.tissue.shape[axis] - border if outwards > 0 else border + 1)
    whole = looked_up(canvas, low, high)
    assert np.abs(looked_up(part, low, high) - whole).max() < 1e-2, border
    return whole


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("outwards", [1, -1])
def test_a_part_may_hold_the_bodys_last_planes_alone(tmp_path: Path, axis: int, outwards: int) -> None:
    """Air at its border then shares with tissue that is not in it, further to the sides than the tissue that is."""
    ball = ball_in_air()
    kept = on_disk(ball, tmp_path)
    box = extent(ball.tissue != Tissue.AIR, 0)
    assert box is not None
    last = box[axis].stop - 1 if outwards > 0 else box[axis].start
    borders = range(last - 4 * outwards, last + 2 * outwards, outwards)
    brightest = [signals_of_a_part(ball, kept, axis, border, outwards).max() for border in borders]
    # Some of the parts show tissue, and some air alone.
    assert max(brightest) > 50 and min(brightest) == 0


def test_air_before_a_parts_body_is_not_found_behind_it(tmp_path: Path) -> None:
    """It shares with a ball that ends one plane before the part, whose own body, a bead, begins two planes later."""
    canvas = ball_in_air()
    border = int(np.argmin(canvas.tissue.any(axis=(1, 2))[10:])) + 10
    region = canvas.everywhere()
    x, y, z = region.points
    # Without distances the bead shares no points: all that may be found beyond it is the ball's.
    bead = region.below(np.sqrt((x - 10.5) ** 2 + (y + 0.1) ** 2 + (z - 0.3) ** 2) - 2.2)
    canvas.paint(region, bead, Tissue.MARROW)
    assert canvas.tissue.any(axis=(1, 2))[border - 1 : border + 3].tolist() == [True, False, False, True]
    assert signals_of_a_part(canvas, on_disk(canvas, tmp_path), 0, border, 1).max() > 50
