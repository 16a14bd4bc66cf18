"""The bundle that comes with OrthoDiffusion: small enough for the repository, and honest about itself."""

from __future__ import annotations

import pytest

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.bundles.opening import Bundle, open_bundle
from OrthoDiffusionLib.bundles.registry import find_bundle


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return open_bundle(find_bundle(None))


def test_it_is_whole_and_small(bundle: Bundle) -> None:
    sizes = [path.stat().st_size for path in bundle.folder.rglob("*") if path.is_file()]
    assert sum(sizes) <= 60e6
    assert max(sizes) < 16e6


def test_it_assesses_every_plane(bundle: Bundle) -> None:
    assert all(bundle.manifest.segments(plane) and bundle.manifest.diagnoses(plane) for plane in Plane)
    assert len(bundle.manifest.structures) == 11
    assert len(bundle.manifest.calibration) == len(bundle.manifest.findings) == 8


def test_it_says_what_it_is_and_how_good(bundle: Bundle) -> None:
    notice = bundle.manifest.notice()
    assert "Research use only" in notice and "phantoms" in notice
    card = bundle.card()
    for words in ("## Measured", "mean Dice", "macro-AUROC", "expected calibration error", "95 %"):
        assert words in card
