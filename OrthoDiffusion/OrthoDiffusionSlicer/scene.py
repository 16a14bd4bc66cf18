"""MRML in and out: volumes into a scene, results onto them. No Qt: the same code runs in the desktop and without."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from OrthoDiffusionSlicer.segmentation_file import grid, is_whole

ATTRIBUTE = "OrthoDiffusion."
FILL_OPACITY, OUTLINE_OPACITY = 0.45, 1.0
DICOM_UID = "DICOM"
"""What the subject hierarchy calls DICOM's own identifiers (vtkMRMLSubjectHierarchyConstants)."""
TABLE_COLUMNS = ("finding", "name", "probability", "threshold", "present")


@dataclass(frozen=True)
class SceneResult:
    """What a result became in the scene; None for what it does not hold."""

    segmentation: Any | None
    table: Any | None


def add_volume(scene: Any, name: str, array: np.ndarray, affine: np.ndarray) -> Any:
    """Add a scalar volume.

    Args:
        scene: vtkMRMLScene.
        name: shown to the person.
        array: (i, j, k).
        affine: (4, 4), voxel index to RAS in mm.

    Returns:
        the new vtkMRMLScalarVolumeNode.
    """
    image = vtk.vtkImageData()
    image.SetDimensions(*array.shape)
    voxels = numpy_to_vtk(np.ascontiguousarray(array.transpose(2, 1, 0)).ravel(), deep=True)
    image.GetPointData().SetScalars(voxels)
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", scene.GenerateUniqueName(name))
    node.SetAndObserveImageData(image)
    node.SetIJKToRASMatrix(_matrix(affine))
    node.CreateDefaultDisplayNodes()
    return node


def volume_array(node: Any) -> tuple[np.ndarray, np.ndarray]:
    """Voxels (i, j, k) and affine (voxel index to RAS, mm) of a volume node; a copy.

    Raises:
        ValueError: of `check_volume`.
    """
    check_volume(node)
    image = node.GetImageData()
    flat = vtk_to_numpy(image.GetPointData().GetScalars())
    array = flat.reshape(image.GetDimensions()[::-1]).transpose(2, 1, 0).copy()
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return array, np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def check_volume(node: Any) -> None:
    """Refuse a volume node that is no single greyscale image in its own place.

    Raises:
        ValueError: with a sentence for the person, for a node without an image, with several components, or under a
            transform.
    """
    image = node.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None:
        raise ValueError(f"The volume “{node.GetName()}” holds no image. Choose another one.")
    if image.GetNumberOfScalarComponents() != 1:
        raise ValueError(f"The volume “{node.GetName()}” is in colour. Choose a greyscale MR series.")
    if node.GetParentTransformNode() is not None:
        raise ValueError(
            f"The volume “{node.GetName()}” is under a transform. Harden the transform (Data module), then run again."
        )


def place_of(node: Any) -> tuple[float, ...]:
    """Where a volume's voxels lie, and whether a transform is above them; the same until the volume is moved."""
    own, above = vtk.vtkMatrix4x4(), node.GetParentTransformNode()
    node.GetIJKToRASMatrix(own)
    return (*(own.GetElement(row, column) for row in range(4) for column in range(4)), float(above is not None))


def show_in_views(scene: Any, volumes: Mapping[str, Any]) -> None:
    """Show each series in the slice views of its own plane, turned to its slices; other views stay as they are.

    Args:
        scene: vtkMRMLScene.
        volumes: volume node of each plane: `sagittal`, `coronal`, `axial`.
    """
    layers = {node.GetLayoutName(): node for node in _nodes(scene, "vtkMRMLSliceCompositeNode")}
    for view in _nodes(scene, "vtkMRMLSliceNode"):
        volume, layer = volumes.get(view.GetOrientation().lower()), layers.get(view.GetLayoutName())
        if volume is not None and layer is not None:
            layer.SetBackgroundVolumeID(volume.GetID())
            view.RotateToVolumePlane(volume)


def _nodes(scene: Any, kind: str) -> list[Any]:
    return [scene.GetNthNodeByClass(index, kind) for index in range(scene.GetNumberOfNodesByClass(kind))]


def add_result(scene: Any, folder: Path, volumes: Sequence[Any] = (), remarks: Sequence[str] = ()) -> SceneResult:
    """Add a result: one new segmentation and one new table; nothing that is in the scene is changed.

    Args:
        scene: vtkMRMLScene.
        folder: that a run wrote.
        volumes: volume nodes of the study; the first one is what Slicer shows to correct on, and gives the place in the
            hierarchy.
        remarks: warnings of this program's own; they are kept with the result's.

    Raises:
        OSError, ValueError: when the folder holds no readable result.
    """
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    result["warnings"] = [*result["warnings"], *remarks]
    segmentation = table = None
    try:
        if result["segmentation"]:
            segmentation = _read_segmentation(scene, folder / result["segmentation"])
            _set_reference(segmentation, folder / result["segmentation"], volumes)
        if result["findings"]:
            table = scene.AddNewNodeByClass("vtkMRMLTableNode", scene.GenerateUniqueName("OrthoDiffusion findings"))
            _fill_with_findings(table, result["findings"], result["notice"])
        for node in filter(None, (segmentation, table)):
            _set_provenance(node, result, _series_uids(scene, volumes))
            _place_beside(scene, node, volumes)
    except Exception:
        # Half a result in the scene would look like a whole one.
        for node in filter(None, (segmentation, table)):
            scene.RemoveNode(node)
        raise
    return SceneResult(segmentation, table)


def _read_segmentation(scene: Any, path: Path) -> Any:
    if not is_whole(path):
        raise ValueError("The segmentation is damaged. Run the study again.")
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", scene.GenerateUniqueName("OrthoDiffusion segmentation"))
    storage = scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    storage.SetFileName(str(path))
    read = storage.ReadData(node)
    # The file goes with the job's folder: the scene must save the segmentation anew, not point there.
    scene.RemoveNode(storage)
    if not read:
        scene.RemoveNode(node)
        raise ValueError("The segmentation could not be read. Run the study again.")
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    if display is not None:
        display.SetOpacity2DFill(FILL_OPACITY)
        display.SetOpacity2DOutline(OUTLINE_OPACITY)
    return node


def _set_reference(node: Any, path: Path, volumes: Sequence[Any]) -> None:
    """Name the volume that the segmentation is corrected on, and keep its own grid for it.

    With the volume's grid, which vtkMRMLSegmentationNode would take along with the volume, the first stroke of a
    correction and every saving of the scene would cut the label maps of all structures to that one series' slices.
    """
    converter, role = slicer.vtkSegmentationConverter, node.GetReferenceImageGeometryReferenceRole()
    affine, shape = grid(path)
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(*shape)
    image.SetGeometryFromImageToWorldMatrix(_matrix(affine))
    node.GetSegmentation().SetConversionParameter(
        converter.GetReferenceImageGeometryParameterName(), converter.SerializeImageGeometry(image)
    )
    if volumes:
        node.SetNodeReferenceID(role, volumes[0].GetID())


def _fill_with_findings(node: Any, findings: Sequence[Mapping[str, Any]], notice: str) -> None:
    planes = sorted({plane for record in findings for plane in record["plane_probabilities"]})
    table = vtk.vtkTable()
    for name in TABLE_COLUMNS:
        numeric = name in ("probability", "threshold")
        cells = [record[name] if name != "finding" else record["key"] for record in findings]
        if name == "present":
            cells = ["yes" if cell else "no" for cell in cells]
        table.AddColumn(_column(name, cells, numeric))
    for plane in planes:
        for kind in ("probabilities", "weights"):
            cells = [record[f"plane_{kind}"].get(plane, float("nan")) for record in findings]
            table.AddColumn(_column(f"{plane} {'probability' if kind == 'probabilities' else 'weight'}", cells, True))
    # The scene's file of the table has no attributes: the notice must be in the table itself.
    table.AddColumn(_column("notice", [notice] * len(findings), False))
    node.SetAndObserveTable(table)
    node.SetLocked(True)


def _column(name: str, cells: Sequence[Any], numeric: bool) -> Any:
    column = vtk.vtkDoubleArray() if numeric else vtk.vtkStringArray()
    column.SetName(name)
    for cell in cells:
        column.InsertNextValue(cell)
    return column


def _series_uids(scene: Any, volumes: Sequence[Any]) -> list[str]:
    """DICOM SeriesInstanceUID of each volume that came from DICOM."""
    hierarchy = scene.GetSubjectHierarchyNode()
    if hierarchy is None:
        return []
    items = [hierarchy.GetItemByDataNode(volume) for volume in volumes]
    uids = [hierarchy.GetItemUID(item, DICOM_UID) for item in items if item]
    return [uid for uid in uids if uid]


def _set_provenance(node: Any, result: Mapping[str, Any], series_uids: Sequence[str]) -> None:
    provenance = result["provenance"]
    attributes = {
        "Notice": result["notice"],
        "Bundle": f"{provenance['bundle']['name']} {provenance['bundle']['version']}",
        "BundleSHA256": provenance["bundle"]["manifest_sha256"],
        "CodeVersion": provenance["code_version"],
        "Seed": str(provenance["seed"]),
        "Device": provenance["device"],
        "NotAssessed": ", ".join(result["not_assessed"]),
        # Names alone: a result holds no values.
        "ClinicalData": ", ".join(result.get("clinical", ())),
        "Warnings": "\n".join(result["warnings"]),
        "SeriesUIDs": ", ".join(series_uids),
        "Provenance": json.dumps(provenance, sort_keys=True),
    }
    for name, value in attributes.items():
        node.SetAttribute(ATTRIBUTE + name, value)


def _place_beside(scene: Any, node: Any, volumes: Sequence[Any]) -> None:
    hierarchy = scene.GetSubjectHierarchyNode()
    if hierarchy is None:
        return
    parent = hierarchy.GetSceneItemID()
    if volumes and (beside := hierarchy.GetItemByDataNode(volumes[0])):
        parent = hierarchy.GetItemParent(beside)
    item = hierarchy.GetItemByDataNode(node)
    if item:
        hierarchy.SetItemParent(item, parent)
    else:
        hierarchy.CreateItem(parent, node)


def _matrix(affine: np.ndarray) -> Any:
    matrix = vtk.vtkMatrix4x4()
    for row in range(4):
        for column in range(4):
            matrix.SetElement(row, column, float(affine[row, column]))
    return matrix
