"""What a person chooses; kept in the scene."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import parameterNodeWrapper

from OrthoDiffusionSlicer.patients import check_one_patient

PLANES = ("sagittal", "coronal", "axial")


@parameterNodeWrapper
class OrthoDiffusionParameterNode:
    """Parameters of the module.

    sagittalVolume, coronalVolume, axialVolume - The series of each plane; at least one.
    bundle - What the worker calls the bundle; empty for the first one.
    device - What computes, as the worker calls it: the best there is, or the CPU.
    """

    sagittalVolume: vtkMRMLScalarVolumeNode
    coronalVolume: vtkMRMLScalarVolumeNode
    axialVolume: vtkMRMLScalarVolumeNode
    bundle: str = ""
    device: str = "auto"


def chosen_volumes(parameters: Any) -> dict[str, Any]:
    """The volume node of each plane that has one."""
    chosen = {plane: getattr(parameters, f"{plane}Volume") for plane in PLANES}
    return {plane: node for plane, node in chosen.items() if node is not None}


def missing_for_run(volumes: dict[str, Any], bundle: str, bundles: Collection[str], busy: bool) -> list[str]:
    """Everything that stands in the way of a run, as sentences for a tooltip; empty when it can start.

    Args:
        volumes: volume node of each plane that has one.
        bundle: that is asked for; empty for the first one.
        bundles: that there are.
        busy: whether a study is being run.
    """
    missing = []
    if not volumes:
        missing.append(_("Choose at least one volume."))
    if len({node.GetID() for node in volumes.values()}) < len(volumes):
        missing.append(_("Choose a different volume for each plane."))
    for node in volumes.values():
        if node.GetParentTransformNode() is not None:
            missing.append(_("Harden the transform of “{name}” (Data module).").format(name=node.GetName()))
    try:
        check_one_patient(volumes.values())
    except ValueError as error:
        missing.append(str(error))
    if not bundles:
        missing.append(_("Install a model."))
    elif bundle and bundle not in bundles:
        missing.append(_("Choose a model; the one that the scene names is not installed."))
    if busy:
        missing.append(_("Wait until the study that is being run is done, or cancel it."))
    return missing
