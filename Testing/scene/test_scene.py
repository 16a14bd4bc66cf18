"""What a result becomes in Slicer's real MRML scene."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from OrthoDiffusionSlicer.environment import find_installation
from OrthoDiffusionSlicer.protocol import Conversation, WorkerError

from OrthoDiffusionLib.anatomy import load_joint
from OrthoDiffusionLib.volumes.segmentation_nrrd import write_segmentation_nrrd

slicer = pytest.importorskip("slicer", reason="needs the wheel slicer-core")

from OrthoDiffusionSlicer.job import Job  # noqa: E402
from OrthoDiffusionSlicer.scene import add_result, add_volume, show_in_views, volume_array  # noqa: E402

KNEE = load_joint("knee")


def oblique() -> tuple[np.ndarray, np.ndarray]:
    """An odd-sized, anisotropic, oblique volume with an odd origin."""
    array = np.random.default_rng(1).integers(0, 1000, (23, 17, 9)).astype(np.int16)
    cos, sin = np.cos(0.3), np.sin(0.3)
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, 1], [-cos, sin, 0], [sin, cos, 0]]) @ np.diag([0.6, 0.7, 3.7])
    affine[:3, 3] = [-12.5, 40.25, 7]
    return array, affine


def test_each_series_is_shown_in_the_views_of_its_plane() -> None:
    scene = slicer.vtkMRMLScene()
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene)
    array, affine = oblique()
    sagittal, earlier = (add_volume(scene, name, array, affine) for name in ("sagittal", "earlier"))
    layers, views = {}, {}
    for name, orientation in (("Red", "Axial"), ("Yellow", "Sagittal")):
        views[name] = scene.AddNewNodeByClass("vtkMRMLSliceNode")
        views[name].SetLayoutName(name)
        views[name].SetOrientation(orientation)
        layers[name] = scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
        layers[name].SetLayoutName(name)
        layers[name].SetBackgroundVolumeID(earlier.GetID())
    show_in_views(scene, {"sagittal": sagittal})
    assert layers["Yellow"].GetBackgroundVolumeID() == sagittal.GetID()
    assert layers["Red"].GetBackgroundVolumeID() == earlier.GetID()
    matrix = views["Yellow"].GetSliceToRAS()
    normal = np.array([matrix.GetElement(row, 2) for row in range(3)])
    across = affine[:3, 2] / np.linalg.norm(affine[:3, 2])
    assert abs(normal @ across) == pytest.approx(1, abs=1e-6)


@pytest.fixture
def result(tmp_path: Path) -> Path:
    """A result folder as a run leaves it, of made-up numbers."""
    array, affine = oblique()
    write_segmentation_nrrd(tmp_path / "segmentation.seg.nrrd", array % 12, affine, KNEE.structures, KNEE.region)
    findings = [
        {
            "key": finding.key,
            "name": finding.name,
            "probability": 0.1 * index,
            "threshold": 0.5,
            "present": index > 4,
            "plane_probabilities": {"sagittal": 0.1 * index},
            "plane_weights": {"sagittal": 1.0},
        }
        for index, finding in enumerate(KNEE.findings)
    ]
    bundle = {"name": "tiny", "version": "1", "manifest_sha256": "0" * 64}
    content = {
        "segmentation": "segmentation.seg.nrrd",
        "findings": findings,
        "notice": "Research use only.",
        "not_assessed": ["axial", "coronal"],
        "warnings": ["Not assessed by: axial, coronal."],
        "provenance": {"bundle": bundle, "code_version": "0", "seed": 0, "device": "cpu"},
    }
    (tmp_path / "result.json").write_text(json.dumps(content))
    return tmp_path


def test_volume_there_and_back() -> None:
    array, affine = oblique()
    node = add_volume(slicer.vtkMRMLScene(), "sagittal", array, affine)
    back, placed = volume_array(node)
    assert np.array_equal(back, array)
    assert np.allclose(placed, affine, atol=1e-12)


def test_volume_under_a_transform_is_refused() -> None:
    scene = slicer.vtkMRMLScene()
    node = add_volume(scene, "sagittal", *oblique())
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetAndObserveTransformNodeID(transform.GetID())
    with pytest.raises(ValueError, match="Harden the transform"):
        volume_array(node)


def test_result_in_the_scene(result: Path) -> None:
    scene = slicer.vtkMRMLScene()
    volume = add_volume(scene, "sagittal", *oblique())
    first, second = (add_result(scene, result, [volume]) for _ in range(2))
    assert first.segmentation.GetID() != second.segmentation.GetID()
    assert first.segmentation.GetName() != second.segmentation.GetName()
    segmentation = first.segmentation.GetSegmentation()
    names = [segmentation.GetNthSegment(n).GetName() for n in range(segmentation.GetNumberOfSegments())]
    assert names == [structure.name for structure in KNEE.structures]
    assert first.segmentation.GetAttribute("OrthoDiffusion.Notice") == "Research use only."
    assert first.segmentation.GetAttribute("OrthoDiffusion.NotAssessed") == "axial, coronal"
    assert first.segmentation.GetNodeReference("referenceImageGeometryRef") is volume
    table = first.table.GetTable()
    assert table.GetNumberOfRows() == 8
    columns = [table.GetColumn(n).GetName() for n in range(table.GetNumberOfColumns())]
    assert columns[:5] == ["finding", "name", "probability", "threshold", "present"]
    assert table.GetValueByName(7, "probability").ToDouble() == pytest.approx(0.7)


def test_scene_file_holds_everything(result: Path, tmp_path: Path) -> None:
    scene = slicer.vtkMRMLScene()
    add_result(scene, result, [add_volume(scene, "sagittal", *oblique())])
    path = tmp_path / "scene.mrb"
    assert scene.WriteToMRB(str(path), None)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        scene_text = archive.read(next(name for name in names if name.endswith(".mrml"))).decode()
    assert any(name.endswith(".seg.nrrd") for name in names)
    assert any(name.endswith((".tsv", ".csv")) for name in names)
    assert "OrthoDiffusion.BundleSHA256" in scene_text
    assert str(result) not in scene_text


def test_job_hands_volumes_over_and_leaves_nothing() -> None:
    from OrthoDiffusionLib.volumes.reading import read_series

    array, affine = oblique()
    job = Job({"sagittal": add_volume(slicer.vtkMRMLScene(), "Jane Doe", array, affine)})
    assert job.folder.stat().st_mode & 0o777 == 0o700
    (handed,) = read_series(Path(job.series["sagittal"]))
    assert np.array_equal(handed.array, array)
    assert np.allclose(handed.affine, affine, atol=1e-9)
    assert b"Jane Doe" not in Path(job.series["sagittal"]).read_bytes()
    job.close()
    assert not job.folder.exists()


def test_conversation_survives_pieces_and_stray_lines() -> None:
    told: list[Any] = []
    strays: list[str] = []
    conversation = Conversation(lambda fraction, message: told.append((fraction, message)), strays.append)
    answers: list[Any] = []
    for _ in range(2):
        conversation.request("run", {}, answers.append, answers.append)
    messages = [
        {"jsonrpc": "2.0", "method": "progress", "params": {"stage": "s", "fraction": 0.5, "message": "Hälfte"}},
        {"jsonrpc": "2.0", "id": 1, "result": {"output": "x"}},
        {"jsonrpc": "2.0", "id": 2, "error": {"code": 1, "message": "No.", "data": {"kind": "k", "action": "Wait."}}},
    ]
    data = b"noise\n" + b"".join(json.dumps(message, ensure_ascii=False).encode() + b"\n" for message in messages)
    for byte in data:
        conversation.receive(bytes([byte]))
    assert told == [(0.5, "Hälfte")]
    assert strays == ["noise"]
    assert answers == [{"output": "x"}, WorkerError("k", "No.", "Wait.")]


def test_installation_is_found_in_a_checkout_and_installed(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    assert find_installation(str(root / "OrthoDiffusion" / "OrthoDiffusion.py")).resources == root / "Resources"
    (tmp_path / "OrthoDiffusionLib").mkdir()
    (tmp_path / "OrthoDiffusionLib" / "__init__.py").touch()
    (tmp_path / "OrthoDiffusionResources" / "Schemas").mkdir(parents=True)
    (tmp_path / "Resources" / "Icons").mkdir(parents=True)
    installed = find_installation(str(tmp_path / "OrthoDiffusion.py"))
    assert (installed.root, installed.resources) == (tmp_path, tmp_path / "OrthoDiffusionResources")
