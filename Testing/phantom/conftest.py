"""Two healthy knees, made once for all tests that only look at them."""

from __future__ import annotations

import pytest

from OrthoDiffusionLib.phantom import Anatomy, PhantomStudy, make_anatomy, scan_anatomy

LEFT, RIGHT = 3, 1
"""Seeds of a left and of a right knee."""


@pytest.fixture(scope="session")
def healthy_anatomies() -> dict[str, Anatomy]:
    anatomies = [make_anatomy(seed, findings={}) for seed in (LEFT, RIGHT)]
    return {anatomy.laterality: anatomy for anatomy in anatomies}


@pytest.fixture(scope="session")
def healthy_studies(healthy_anatomies: dict[str, Anatomy]) -> dict[str, PhantomStudy]:
    return {side: scan_anatomy(anatomy, anatomy.seed) for side, anatomy in healthy_anatomies.items()}
