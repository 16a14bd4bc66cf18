"""Surfaces between the grid's points: smooth in thick slices, and crisp in the labels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas
from OrthoDiffusionLib.phantom.distances import Field
from OrthoDiffusionLib.phantom.sampling import Body
from OrthoDiffusionLib.phantom.tissues import Tissue

THICKNESS = 4.0
"""mm of the one slice, parallel to x and y round z = 0; its pixels lie at x = -12 to 12 mm."""

ACROSS = np.arange(-12.0, 13.0)


def canvas_of(tissue: Tissue) -> AnatomyCanvas:
    canvas = AnatomyCanvas((-18, -18, -18), (18, 18, 18))
    canvas.paint(canvas.everywhere(), np.ones(canvas.tissue.shape, bool), tissue)
    return canvas


def tilted(canvas: AnatomyCanvas, slope: float, height: float = 0.0) -> Field:
    """Distance over a plane that rises with x."""
    x, _, z = canvas.everywhere().points
    return np.asarray((z - slope * x - height) / np.hypot(1, slope), np.float32)


def profile(canvas: AnatomyCanvas, tissue: Tissue) -> npt.NDArray[np.float32]:
    """Share of a tissue in each pixel along x."""
    table = np.zeros((1, len(Tissue)), np.float32)
    table[0, tissue] = 1
    to_joint = np.diag([1.0, 1.0, THICKNESS, 1.0])
    to_joint[:3, 3] = (ACROSS[0], -5, 0)
    planes = (np.arange(7) + 0.5) / 7 - 0.5
    return np.asarray(Body.of(canvas, table, to_joint).mean_of_planes((len(ACROSS), 11), 0, planes)[0, :, 5])


@pytest.mark.parametrize("slope", [0.03, 0.08, 0.12])
def test_a_surface_nearly_parallel_to_a_slice_is_a_smooth_ramp(slope: float) -> None:
    truth = np.clip(0.5 + slope * ACROSS / THICKNESS, 0, 1)
    smooth, terraced = canvas_of(Tissue.FAT), canvas_of(Tissue.FAT)
    region = smooth.everywhere()
    smooth.paint(region, region.covered(tilted(smooth, slope)), Tissue.MUSCLE, 1)
    terraced.paint(region, region.below(tilted(terraced, slope)), Tissue.MUSCLE, 1)
    ramp = profile(smooth, Tissue.MUSCLE)
    # At the slice's own edges the grid's spacing rounds the ramp a little.
    assert np.abs(ramp - truth).max() < 0.02
    assert np.diff(ramp).min() > 0.8 * slope / THICKNESS
    # A mask knows no more than the grid: half a point's height off at the edge of each terrace.
    assert np.abs(profile(terraced, Tissue.MUSCLE) - truth).max() > 0.04
    assert np.array_equal(smooth.tissue, terraced.tissue)
    assert np.array_equal(smooth.labels, terraced.labels)


@pytest.mark.parametrize("fluid_first", [True, False])
def test_a_film_thinner_than_the_grid_is_whole(fluid_first: bool) -> None:
    """0.3 mm of fluid on cartilage, which the grid's points hit or miss."""
    slope, film = 0.06, 0.3
    canvas = canvas_of(Tissue.FLUID if fluid_first else Tissue.FAT)
    region = canvas.everywhere()
    canvas.paint(region, region.covered(tilted(canvas, slope)), Tissue.CARTILAGE)
    if fluid_first:
        canvas.paint(region, ~region.covered(tilted(canvas, slope, film)), Tissue.MUSCLE)
    else:
        room = canvas.is_any(region, Tissue.FAT)
        canvas.paint(region, room & region.covered(tilted(canvas, slope, film)), Tissue.FLUID)
    share = film / THICKNESS
    assert profile(canvas, Tissue.FLUID) == pytest.approx(share, abs=0.015)
    crisp = (canvas.tissue == Tissue.FLUID).any(axis=2)[:, 30]
    assert crisp.any() and not crisp.all()


def test_a_layer_cut_short_by_another_surface_keeps_that_one() -> None:
    """Cartilage painted into what a bone leaves free ends at the bone, and no fat is left between."""
    slope = 0.06
    canvas = canvas_of(Tissue.FAT)
    region = canvas.everywhere()
    canvas.paint(region, region.covered(tilted(canvas, slope)), Tissue.CORTEX)
    room = canvas.is_any(region, Tissue.FAT)
    canvas.paint(region, room & region.covered(tilted(canvas, slope, 4.0)), Tissue.CARTILAGE)
    truth = np.clip(0.5 + slope * ACROSS / THICKNESS, 0, 1)
    assert profile(canvas, Tissue.CORTEX) == pytest.approx(truth, abs=0.01)
    assert profile(canvas, Tissue.CARTILAGE) == pytest.approx(1 - truth, abs=0.01)


def test_a_surface_that_is_painted_over_leaves_no_trace() -> None:
    canvas = canvas_of(Tissue.FAT)
    region = canvas.everywhere()
    canvas.paint(region, region.covered(tilted(canvas, 0.2)), Tissue.MUSCLE)
    canvas.paint(region, region.covered(tilted(canvas, 0.0, 12.0)), Tissue.CORTEX)
    z = canvas.low[2] + 0.6 * canvas.shared.place[2]
    assert z.min() > 11
    assert set(canvas.shared.own) | set(canvas.shared.others[0]) == {Tissue.FAT, Tissue.CORTEX}


def test_a_coverage_is_a_mask_with_distances() -> None:
    canvas = canvas_of(Tissue.FAT)
    region = canvas.everywhere()
    first, second = tilted(canvas, 0.2), tilted(canvas, -0.3, -0.35)
    masks = region.below(first), region.below(second, 0.5)
    bodies = region.covered(first), region.covered(second, 0.5)
    room = np.random.default_rng(0).random(canvas.tissue.shape) < 0.5
    assert all(np.array_equal(body.mask, mask) for body, mask in zip(bodies, masks, strict=True))
    assert np.array_equal((bodies[0] & ~bodies[1]).mask, masks[0] & ~masks[1])
    assert np.array_equal((room & bodies[0] & bodies[1] & room).mask, room & masks[0] & masks[1])
    assert np.array_equal((~(bodies[0] & room)).mask, ~(masks[0] & room))
