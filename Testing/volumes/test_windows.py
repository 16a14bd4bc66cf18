from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.volumes.orientation import plane_of, to_network_axes
from OrthoDiffusionLib.volumes.reading import read_series
from OrthoDiffusionLib.volumes.storage_order import storage_orders, stored_as
from OrthoDiffusionLib.volumes.windows import centre_window, overlapping_windows, window_tensor

CONFORMANCE = Path(__file__).parents[3] / "shared" / "conformance" / "preprocessing"


@pytest.mark.skipif(not CONFORMANCE.exists(), reason="the conformance volumes are not in ../shared/conformance")
@pytest.mark.parametrize("plane", Plane)
@pytest.mark.parametrize("stored", ["", "_stored_RAS"])
def test_published_preprocessing_is_reproduced_from_any_storage(plane: Plane, stored: str) -> None:
    expected = np.load(CONFORMANCE / "expected.npz")
    (volume,) = read_series(CONFORMANCE / f"{plane.value}{stored}.nii.gz")
    for order, flips in storage_orders()[::19]:
        again = stored_as(volume, order, flips)
        assert plane_of(again.affine, again.shape) is plane
        stack = to_network_axes(again, plane).array
        window = window_tensor(stack, centre_window(stack.shape[2]))
        assert window.shape == (1, 16, 256, 256) and window.dtype == np.float32
        reference = expected[f"{plane.value}/tensor_stride4"]
        difference = np.linalg.norm(window[0, :, ::4, ::4] - reference) / np.linalg.norm(reference)
        assert difference < 1e-5
        np.testing.assert_allclose(window[0, 0, :6, :6], expected[f"{plane.value}/corner"], atol=1e-5)
        np.testing.assert_allclose([window.mean(), window.std()], expected[f"{plane.value}/mean_std"], atol=1e-5)


@pytest.mark.parametrize("depth", [4, 15, 16, 17, 24, 25, 80])
def test_windows_cover_every_slice_and_stay_inside(depth: int) -> None:
    starts = overlapping_windows(depth)
    covered = {start + k for start in starts for k in range(16) if start + k < depth}
    assert covered == set(range(depth))
    assert starts == sorted(set(starts))
    assert depth < 16 or starts[-1] + 16 == depth


@pytest.mark.parametrize(("depth", "start"), [(16, 0), (17, 0), (30, 7), (31, 7), (80, 32), (5, 0)])
def test_centre_window_is_the_published_one(depth: int, start: int) -> None:
    assert centre_window(depth) == start


def test_short_stack_repeats_its_last_slice() -> None:
    stack = np.random.default_rng(0).random((20, 30, 5)).astype(np.float32)
    window = window_tensor(stack, 0, 32)[0]
    assert np.ptp(window) == pytest.approx(2.0)
    for k in range(5, 16):
        np.testing.assert_array_equal(window[k], window[4])


def test_constant_window_is_finite() -> None:
    window = window_tensor(np.full((20, 20, 16), 900, np.int16), 0, 32)
    np.testing.assert_array_equal(window, -1.0)
