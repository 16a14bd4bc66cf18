"""Networks that several tests of trainings share."""

from __future__ import annotations

import pytest
from trained_planes import TrainedPlanes


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedPlanes:
    return TrainedPlanes(tmp_path_factory.mktemp("trained-planes"))
