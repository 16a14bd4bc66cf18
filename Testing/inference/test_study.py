"""From the files that were named to a study."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from tiny_dataset import SHAPE, affine_of

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.inference.request import StudyRequest
from OrthoDiffusionLib.inference.study import assemble_study


def save(path: Path, plane: Plane, nowhere: bool = False) -> None:
    array = np.random.default_rng(plane.pose_id).normal(100, 10, SHAPE).astype(np.float32)
    raw = bytearray(nibabel.Nifti1Image(array, affine_of(plane, (5.0, 5.0, 7.5))).to_bytes())
    header = nibabel.Nifti1Header(bytes(raw[:348]))
    if nowhere:
        header["srow_x"] = np.nan
    raw[:348] = header.binaryblock
    path.write_bytes(raw)


def test_a_named_folder_may_hold_a_volume_that_lies_nowhere(tmp_path: Path) -> None:
    save(tmp_path / "nowhere.nii", Plane.AXIAL, nowhere=True)
    save(tmp_path / "axial.nii", Plane.AXIAL)
    request = StudyRequest(tmp_path / "out", series={Plane.AXIAL: tmp_path})
    study = assemble_study(request)
    assert study.series[Plane.AXIAL].volume.source.name == "axial.nii"
    assert [warning for warning in study.warnings if "nowhere.nii" in warning] == list(study.warnings[:1])
    save(tmp_path / "axial.nii", Plane.SAGITTAL)
    with pytest.raises(OrthoDiffusionError) as caught:
        assemble_study(request)
    assert caught.value.kind is ErrorKind.BAD_AFFINE
