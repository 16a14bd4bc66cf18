"""Whether volumes are of one patient, as far as their places in the subject hierarchy say.

The worker cannot see it: what it gets of a volume are voxels and their place. The identifiers are compared, and neither
kept nor told.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from OrthoDiffusionSlicer.scene import DICOM_UID

PATIENT_LEVEL = "Patient"
"""What the subject hierarchy calls the level of a patient (vtkMRMLSubjectHierarchyConstants)."""


def check_one_patient(volumes: Iterable[Any]) -> None:
    """Refuse volumes that came from DICOM files of different patients; one that did not may be of anybody.

    Args:
        volumes: volume nodes.

    Raises:
        ValueError: with a sentence for the person.
    """
    if len({uid for uid in map(_patient_uid, volumes) if uid}) > 1:
        raise ValueError("The series belong to different patients. Choose the series of one visit of one patient.")


def _patient_uid(node: Any) -> str:
    """DICOM's identifier of the patient that a node lies under; empty without one."""
    scene = node.GetScene()
    hierarchy = scene.GetSubjectHierarchyNode() if scene is not None else None
    item = hierarchy.GetItemByDataNode(node) if hierarchy is not None else 0
    patient = hierarchy.GetItemAncestorAtLevel(item, PATIENT_LEVEL) if item else 0
    return str(hierarchy.GetItemUID(patient, DICOM_UID)) if patient else ""
