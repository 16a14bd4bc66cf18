"""A `.seg.nrrd` is opened by Slicer's own reader with its segments, colours, codes and place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from OrthoDiffusionLib.anatomy import load_joint
from OrthoDiffusionLib.volumes.segmentation_nrrd import write_segmentation_nrrd

KNEE = load_joint("knee")


def oblique_labels() -> tuple[np.ndarray, np.ndarray]:
    """Labels without the last structure, on an odd-sized, anisotropic, oblique, left-handed grid."""
    labels = np.random.default_rng(0).integers(0, 11, (31, 17, 9)).astype(np.int16)
    cos, sin = np.cos(0.4), np.sin(0.4)
    affine = np.eye(4)
    affine[:3, :3] = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]) @ np.diag([0.5, 0.7, -3.3])
    affine[:3, 3] = [3, -20, 44]
    return labels, affine


def test_slicer_reads_it(tmp_path: Path) -> None:
    slicer = pytest.importorskip("slicer", reason="needs the wheel slicer-core")
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    labels, affine = oblique_labels()
    path = tmp_path / "labels.seg.nrrd"
    write_segmentation_nrrd(path, labels, affine, KNEE.structures, KNEE.region)
    scene = slicer.vtkMRMLScene()
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    storage = scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    storage.SetFileName(str(path))
    assert storage.ReadData(node) == 1
    segmentation = node.GetSegmentation()
    assert segmentation.GetNumberOfSegments() == 11
    for index, structure in enumerate(KNEE.structures):
        segment = segmentation.GetNthSegment(index)
        assert (segment.GetName(), segment.GetLabelValue()) == (structure.name, structure.label)
        assert segment.GetColor() == pytest.approx([value / 255 for value in structure.color], abs=1e-5)
        entry = vtk.reference("")
        assert segment.GetTag("TerminologyEntry", entry)
        assert f"~SCT^{structure.terminology.type.value}^" in str(entry)
        assert "~SCT^72696002^Knee~" in str(entry)
    image = segmentation.GetNthSegment(0).GetRepresentation("Binary labelmap")
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    found = np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
    assert np.allclose(found, affine, atol=1e-12)
    voxels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1]).transpose(2, 1, 0)
    assert np.array_equal(voxels, labels)


def test_same_labels_same_bytes(tmp_path: Path) -> None:
    labels, affine = oblique_labels()
    for name in ("first", "second"):
        write_segmentation_nrrd(tmp_path / name, labels, affine, KNEE.structures, KNEE.region)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
