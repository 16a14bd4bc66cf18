"""A real knee, run as a person would: the label maps lie on the DICOM's own grid, and missing planes are said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.bundles.registry import list_bundles
from OrthoDiffusionLib.inference.engine import Engine
from OrthoDiffusionLib.inference.request import StudyRequest
from OrthoDiffusionLib.inference.result_folder import read_result
from OrthoDiffusionLib.inference.watch import Unwatched
from OrthoDiffusionLib.volumes.nifti import read_nifti
from OrthoDiffusionLib.volumes.reading import read_series

KNEE = Path(__file__).parents[3] / "shared" / "data" / "knee_dess_sagittal_dicom.zip"


@pytest.mark.skipif(not KNEE.exists(), reason="needs ../shared/data/knee_dess_sagittal_dicom.zip beside the project")
@pytest.mark.skipif(not list_bundles(), reason="needs the demonstration bundle")
def test_label_maps_lie_on_the_dicom_grid(tmp_path: Path) -> None:
    Engine().run(StudyRequest(output=tmp_path / "out", paths=(KNEE,)), Unwatched())
    result = read_result(tmp_path / "out")
    (volume,) = read_series(KNEE)
    assert [record.plane for record in result.series] == list(Plane)
    assert [record.reformatted_from for record in result.series] == [Plane.SAGITTAL, None, Plane.SAGITTAL]
    assert "The coronal plane was reformatted from the sagittal 3D series." in result.warnings
    for record in result.series:
        assert record.labels is not None
        labels = read_nifti(tmp_path / "out" / record.labels)
        assert labels.shape == volume.shape == (512, 512, 80)
        assert np.allclose(labels.affine, volume.affine, atol=1e-4)
    assert result.not_assessed == ()
