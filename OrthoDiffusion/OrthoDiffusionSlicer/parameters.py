"""What a person chooses; kept in the scene."""

from __future__ import annotations

from typing import Any

from slicer import vtkMRMLScalarVolumeNode
from slicer.parameterNodeWrapper import parameterNodeWrapper

PLANES = ("sagittal", "coronal", "axial")


@parameterNodeWrapper
class OrthoDiffusionParameterNode:
    """Parameters of the module.

    sagittalVolume, coronalVolume, axialVolume - The series of each plane; at least one.
    bundle - Name of the bundle; empty for the default one.
    """

    sagittalVolume: vtkMRMLScalarVolumeNode
    coronalVolume: vtkMRMLScalarVolumeNode
    axialVolume: vtkMRMLScalarVolumeNode
    bundle: str = ""


def chosen_volumes(parameters: Any) -> dict[str, Any]:
    """The volume node of each plane that has one."""
    chosen = {plane: getattr(parameters, f"{plane}Volume") for plane in PLANES}
    return {plane: node for plane, node in chosen.items() if node is not None}


def missing_for_run(volumes: dict[str, Any], busy: bool) -> list[str]:
    """Everything that stands in the way of a run, as sentences for a tooltip; empty when it can start."""
    missing = []
    if not volumes:
        missing.append("Choose at least one volume.")
    if len({node.GetID() for node in volumes.values()}) < len(volumes):
        missing.append("Choose a different volume for each plane.")
    if busy:
        missing.append("Wait until the study that is being run is done, or cancel it.")
    return missing
