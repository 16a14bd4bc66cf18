"""What a result becomes in the scene, voxel by voxel and word by word, and after the scene was saved and read again."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="needs the wheel slicer-core")
vtk = pytest.importorskip("vtk")

from OrthoDiffusionSlicer.scene import add_result, add_volume  # noqa: E402

from OrthoDiffusionLib.anatomy import load_joint  # noqa: E402
from OrthoDiffusionLib.volumes.segmentation_nrrd import terminology_entry, write_segmentation_nrrd  # noqa: E402

KNEE = load_joint("knee")
SHAPE = (23, 17, 9)
SERIES_UID = "2.25.31415926535"
UNHEARD = "lateral_meniscus"
"""A structure without a voxel: its segment is there nevertheless."""


def oblique_affine() -> np.ndarray:
    """Anisotropic, tilted about two axes, with an odd origin."""
    a, b = 0.3, -0.2
    tilt = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    turn = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = tilt @ turn @ np.array([[0, 0, 0.9], [-0.31, 0, 0], [0, 0.47, 0]]) @ np.diag([1, 1, 4.1])
    affine[:3, 3] = [-12.37, 40.25, 7.01]
    return affine


def some_labels() -> np.ndarray:
    labels = np.random.default_rng(3).integers(0, 12, SHAPE).astype(np.int16)
    labels[labels == KNEE.structure(UNHEARD).label] = 0
    return labels


def result_folder(folder: Path, segmented: bool = True, diagnosed: bool = True) -> Path:
    folder.mkdir()
    if segmented:
        path = folder / "segmentation.seg.nrrd"
        write_segmentation_nrrd(path, some_labels(), oblique_affine(), KNEE.structures, KNEE.region)
    findings = [
        {
            "key": finding.key,
            "name": finding.name,
            "probability": 0.05 + 0.1 * index,
            "threshold": 0.5,
            "present": index > 4,
            "plane_probabilities": {"sagittal": 0.1 * index} | ({"axial": 0.2} if index else {}),
            "plane_weights": {"sagittal": 0.25} | ({"axial": 0.75} if index else {}),
        }
        for index, finding in enumerate(KNEE.findings)
    ]
    content = {
        "segmentation": "segmentation.seg.nrrd" if segmented else None,
        "findings": findings if diagnosed else [],
        "notice": "Research use only; not for diagnosis: «übung».",
        "not_assessed": ["coronal"],
        "warnings": ["Not assessed by: coronal.", "A second; with: signs."],
        "provenance": {
            "bundle": {"name": "tiny", "version": "1", "manifest_sha256": "0" * 64},
            "code_version": "0",
            "seed": 7,
            "device": "cpu",
        },
    }
    (folder / "result.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


@pytest.fixture
def scene(desktop: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(slicer, "mrmlScene", desktop.new_scene())
    return slicer.mrmlScene


def study_with_a_volume(scene: Any) -> tuple[int, Any]:
    """A volume under a study under a patient, as DICOM comes into the scene."""
    hierarchy = scene.GetSubjectHierarchyNode()
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "someone")
    study = hierarchy.CreateStudyItem(patient, "knee")
    volume = add_volume(scene, "sagittal", np.zeros(SHAPE, np.int16), oblique_affine())
    item = hierarchy.GetItemByDataNode(volume)
    hierarchy.SetItemParent(item, study)
    hierarchy.SetItemUID(item, "DICOM", SERIES_UID)
    return study, volume


def check_segments(node: Any, volume: Any, labels: np.ndarray | None = None) -> None:
    segmentation = node.GetSegmentation()
    assert segmentation.GetNumberOfSegments() == len(KNEE.structures)
    labels = some_labels() if labels is None else labels
    for index, structure in enumerate(KNEE.structures):
        segment = segmentation.GetNthSegment(index)
        identity = segmentation.GetNthSegmentID(index)
        assert (segment.GetName(), segment.GetLabelValue()) == (structure.name, structure.label)
        assert np.allclose(np.multiply(segment.GetColor(), 255), structure.color, atol=0.01)
        term = vtk.reference("")
        assert segment.GetTag(segment.GetTerminologyEntryTagName(), term)
        assert term.get() == terminology_entry(structure, KNEE.region)
        found = slicer.util.arrayFromSegmentBinaryLabelmap(node, identity, volume)
        expected = (labels == structure.label).transpose(2, 1, 0)
        assert np.array_equal(found > 0 if found is not None else np.zeros_like(expected), expected), structure.name


def check_table(node: Any) -> None:
    table = node.GetTable()
    names = [table.GetColumnName(index) for index in range(table.GetNumberOfColumns())]
    assert names == [
        *("finding", "name", "probability", "threshold", "present"),
        *("axial probability", "axial weight", "sagittal probability", "sagittal weight"),
        "notice",
    ]
    assert table.GetValueByName(7, "notice").ToString() == "Research use only; not for diagnosis: «übung»."
    keys = [table.GetValueByName(row, "finding").ToString() for row in range(8)]
    assert keys == [finding.key for finding in KNEE.findings]
    probabilities = table.GetColumnByName("probability")
    assert probabilities.IsA("vtkDoubleArray")
    assert [probabilities.GetValue(row) for row in range(8)] == pytest.approx([0.05 + 0.1 * row for row in range(8)])
    assert np.isnan(table.GetColumnByName("axial weight").GetValue(0))


def check_provenance(node: Any) -> None:
    expected = {
        "Notice": "Research use only; not for diagnosis: «übung».",
        "Bundle": "tiny 1",
        "BundleSHA256": "0" * 64,
        "Seed": "7",
        "NotAssessed": "coronal",
        "Warnings": "Not assessed by: coronal.\nA second; with: signs.",
    }
    assert {name: node.GetAttribute(f"OrthoDiffusion.{name}") for name in expected} == expected
    assert json.loads(node.GetAttribute("OrthoDiffusion.Provenance"))["seed"] == 7


def test_in_the_scene(scene: Any, tmp_path: Path) -> None:
    study, volume = study_with_a_volume(scene)
    added = add_result(scene, result_folder(tmp_path / "result"), [volume])
    check_segments(added.segmentation, volume)
    check_table(added.table)
    hierarchy = scene.GetSubjectHierarchyNode()
    for node in (added.segmentation, added.table):
        check_provenance(node)
        assert node.GetAttribute("OrthoDiffusion.SeriesUIDs") == SERIES_UID
        assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == study


def test_a_second_result_leaves_the_first(scene: Any, tmp_path: Path) -> None:
    _study, volume = study_with_a_volume(scene)
    folder = result_folder(tmp_path / "result")
    first = add_result(scene, folder, [volume])
    first.segmentation.GetSegmentation().GetNthSegment(0).SetName("corrected by hand")
    second = add_result(scene, folder, [volume])
    assert first.segmentation.GetSegmentation().GetNthSegment(0).GetName() == "corrected by hand"
    assert second.segmentation.GetName() != first.segmentation.GetName()
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 2
    assert scene.GetNumberOfNodesByClass("vtkMRMLTableNode") == 2


def test_half_a_result(scene: Any, tmp_path: Path) -> None:
    added = add_result(scene, result_folder(tmp_path / "diagnosed", segmented=False))
    assert added.segmentation is None
    check_table(added.table)
    assert add_result(scene, result_folder(tmp_path / "segmented", diagnosed=False)).table is None


@pytest.mark.parametrize("damage", [lambda data: data[:-200], lambda data: data[:400], lambda data: b"NRRD0004\n"])
def test_a_damaged_result_adds_nothing(scene: Any, tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    folder = result_folder(tmp_path / "result")
    path = folder / "segmentation.seg.nrrd"
    path.write_bytes(damage(path.read_bytes()))
    before = scene.GetNumberOfNodes()
    with pytest.raises(ValueError, match="Run the study again"):
        add_result(scene, folder)
    assert scene.GetNumberOfNodes() == before


def test_correcting_and_saving_leave_the_other_structures_as_they_are(scene: Any, desktop: Any, tmp_path: Path) -> None:
    """The result's grid is finer than the slices of the series that it is corrected on."""
    thick = np.diag([0.4, 0.4, 9.0, 1.0])
    series = add_volume(scene, "sagittal", np.zeros((60, 60, 3), np.int16), thick)
    segmentation = add_result(scene, result_folder(tmp_path / "result"), [series]).segmentation
    assert segmentation.GetNodeReference("referenceImageGeometryRef") is series
    own = add_volume(scene, "own grid", np.zeros(SHAPE, np.int16), oblique_affine())
    editor, converter = slicer.vtkSlicerSegmentEditorLogic, slicer.vtkSegmentationConverter
    geometry = editor.GetReferenceImageGeometryStringFromSegmentation(segmentation.GetSegmentation())
    stroke = slicer.vtkOrientedImageData()
    assert converter.DeserializeImageGeometry(geometry, stroke, True)
    assert stroke.GetDimensions() == SHAPE, "a correction can go wherever the result could"
    stroke.GetPointData().GetScalars().Fill(0)
    i, j, k = np.argwhere(some_labels() == 0)[0]
    stroke.SetScalarComponentFromDouble(i, j, k, 0, 1)
    logic, corrected = slicer.vtkSlicerSegmentationsModuleLogic, KNEE.structures[0]
    assert logic.SetBinaryLabelmapToSegment(stroke, segmentation, corrected.key, logic.MODE_MERGE_MAX)
    expected = some_labels()
    expected[i, j, k] = corrected.label
    check_segments(segmentation, own, expected)
    again = saved_and_read(scene, desktop, tmp_path)
    (read,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode", again)
    check_segments(read, own, expected)


def saved_and_read(scene: Any, desktop: Any, folder: Path) -> Any:
    """The scene as it comes out of a file of itself."""
    assert scene.WriteToMRB(str(folder / "scene.mrb"), None)
    with zipfile.ZipFile(folder / "scene.mrb") as archive:
        archive.extractall(folder / "unpacked")
    (path,) = (folder / "unpacked").rglob("*.mrml")
    again = desktop.new_scene()
    again.SetURL(str(path))
    assert again.Connect()
    return again


def test_saved_and_read_again(scene: Any, desktop: Any, tmp_path: Path) -> None:
    _study, volume = study_with_a_volume(scene)
    add_result(scene, result_folder(tmp_path / "result"), [volume])
    again = saved_and_read(scene, desktop, tmp_path)
    (segmentation,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode", again)
    (table,) = slicer.util.getNodesByClass("vtkMRMLTableNode", again)
    (volume,) = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode", again)
    check_segments(segmentation, volume)
    check_table(table)
    check_provenance(segmentation)
    check_provenance(table)
    assert segmentation.GetNodeReference("referenceImageGeometryRef") is volume
    hierarchy = again.GetSubjectHierarchyNode()
    study = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(segmentation))
    assert hierarchy.GetItemName(study) == "knee"
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(table)) == study
