"""Bones of label maps: knees pass however they are cut, and numbers that mean other structures do not."""

from __future__ import annotations

import numpy as np
import pytest

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.phantom import PhantomStudy, make_study
from OrthoDiffusionLib.volumes.plausible_anatomy import check_bones
from OrthoDiffusionLib.volumes.volume import Volume

KNEE = load_joint("knee")
FEMUR, TIBIA, FIBULA, PATELLA, CARTILAGE = range(1, 6)
EXTREMES = (
    {finding.key: 0.0 for finding in KNEE.findings},
    {finding.key: 1.0 for finding in KNEE.findings},
    {"PD": 1.0},
)


def recoded(volume: Volume, meanings: dict[int, int]) -> Volume:
    """Each label with the number that another coding gives it; the others are background."""
    array = np.zeros_like(volume.array)
    for label, value in meanings.items():
        array[volume.array == label] = value
    return Volume(array, volume.affine)


def maps(study: PhantomStudy) -> dict[Plane, Volume]:
    return {plane: Volume(series.labels, series.volume.affine) for plane, series in study.planes.items()}


def refusal(volume: Volume, joint: str = "knee") -> str:
    with pytest.raises(OrthoDiffusionError) as error:
        check_bones(volume, joint, load_joint(joint).structures)
    assert error.value.kind is ErrorKind.BAD_LABEL_MAP
    return error.value.sentence


@pytest.mark.parametrize("findings", EXTREMES)
def test_phantoms_pass_and_so_do_all_parts_of_them(findings: dict[str, float]) -> None:
    study = make_study(21, findings=findings)
    for labels in maps(study).values():
        for axis in range(3):
            length = labels.shape[axis]
            for parts in (1, 2, 3):
                for start in range(parts):
                    part = [slice(None)] * 3
                    part[axis] = slice(start * length // parts, (start + 1) * length // parts)
                    offset = np.eye(4)
                    offset[axis, 3] = part[axis].start
                    check_bones(Volume(labels.array[tuple(part)], labels.affine @ offset), "knee", KNEE.structures)


def test_a_map_with_a_margin_passes_and_one_whose_slices_were_not_all_annotated(
    healthy_studies: dict[str, PhantomStudy],
) -> None:
    labels = maps(healthy_studies["left"])[Plane.SAGITTAL]
    check_bones(Volume(np.pad(labels.array, 3), labels.affine), "knee", KNEE.structures)
    sparse = np.full_like(np.pad(labels.array, 3), -1)
    sparse[3:-3, 3:-3, 13] = labels.array[:, :, 10]
    check_bones(Volume(sparse, labels.affine), "knee", KNEE.structures)


def test_other_codings_are_refused(healthy_studies: dict[str, PhantomStudy]) -> None:
    for plane, labels in maps(healthy_studies["left"]).items():
        # Femur, its cartilage, tibia and its cartilage, as 1 to 4.
        assert "The fibula is larger than the tibia" in refusal(
            recoded(labels, {FEMUR: 1, CARTILAGE: 2, TIBIA: 3, PATELLA: 4})
        )
        assert "The tibia does not lie below the femur" in refusal(recoded(labels, {TIBIA: 1, FEMUR: 2, FIBULA: 3}))
        assert "The patella is larger than the femur" in refusal(recoded(labels, {FIBULA: 1, FEMUR: 4}))
        if plane is Plane.AXIAL:
            assert "which is too small for one" in refusal(
                Volume(np.pad(recoded(labels, {PATELLA: 1, TIBIA: 2}).array, 1), labels.affine)
            )


def test_orientations_that_no_patient_has_are_refused(healthy_studies: dict[str, PhantomStudy]) -> None:
    labels = maps(healthy_studies["right"])[Plane.SAGITTAL]
    for turned, sentence in (
        (np.diag([1.0, 1, -1, 1]), "The tibia does not lie below"),
        (np.eye(4)[[0, 2, 1, 3]], "The tibia does not lie below"),
        # Left and front for right and back, as when LPS is taken for RAS.
        (np.diag([-1.0, -1, 1, 1]), "The patella does not lie in front of"),
    ):
        assert sentence in refusal(Volume(labels.array, turned @ labels.affine))


def test_joints_without_a_table_are_left_alone(healthy_studies: dict[str, PhantomStudy]) -> None:
    labels = maps(healthy_studies["left"])[Plane.CORONAL]
    upside_down = Volume(labels.array, np.diag([1.0, 1, -1, 1]) @ labels.affine)
    assert refusal(upside_down)
    check_bones(upside_down, "ankle", load_joint("ankle").structures)
