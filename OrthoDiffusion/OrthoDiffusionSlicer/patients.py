"""Whether volumes are of one patient and of one visit, as far as their places in the subject hierarchy say.

The worker cannot see it: what it gets of a volume are voxels and their place. The identifiers are compared, and neither
kept nor told.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from OrthoDiffusionSlicer.scene import DICOM_UID

PATIENT_LEVEL, STUDY_LEVEL = "Patient", "Study"
"""What the subject hierarchy calls the levels of a patient and of a DICOM study (vtkMRMLSubjectHierarchyConstants)."""


def check_one_patient(volumes: Iterable[Any]) -> None:
    """Refuse volumes that came from DICOM files of different patients; one that did not may be of anybody.

    Args:
        volumes: volume nodes.

    Raises:
        ValueError: with a sentence for the person.
    """
    if len(_uids(volumes, PATIENT_LEVEL)) > 1:
        raise ValueError("The series belong to different patients. Choose the series of one visit of one patient.")


def patient_mark(volumes: Iterable[Any]) -> int | None:
    """What tells the patient of volumes from others while this program runs, and says nothing of them.

    None where no volume came from DICOM files, or where they are of several patients.
    """
    uids = _uids(volumes, PATIENT_LEVEL)
    # Python salts the hash of a text anew in each process.
    return hash(uids.pop()) if len(uids) == 1 else None


def say_several_studies(volumes: Iterable[Any]) -> list[str]:
    """A warning, where volumes come from several DICOM studies, in the words of the library's own."""
    if len(_uids(volumes, STUDY_LEVEL)) < 2:
        return []
    return ["The series that were assessed come from several DICOM studies; make sure that all are of the same visit."]


def _uids(volumes: Iterable[Any], level: str) -> set[str]:
    return {uid for uid in (_uid(node, level) for node in volumes) if uid}


def _uid(node: Any, level: str) -> str:
    """DICOM's identifier of the patient or study that a node lies under; empty without one."""
    scene = node.GetScene()
    hierarchy = scene.GetSubjectHierarchyNode() if scene is not None else None
    item = hierarchy.GetItemByDataNode(node) if hierarchy is not None else 0
    ancestor = hierarchy.GetItemAncestorAtLevel(item, level) if item else 0
    return str(hierarchy.GetItemUID(ancestor, DICOM_UID)) if ancestor else ""
