from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.volumes.checks import check_study, check_volume
from OrthoDiffusionLib.volumes.storage_order import stored_as
from OrthoDiffusionLib.volumes.volume import SeriesSource, Volume


def stack(normal: int, seed: int, centre: tuple[float, float, float] = (0, 0, 0), patient: str | None = None) -> Volume:
    spacing = np.where(np.arange(3) == normal, 3.3, 0.8)
    shape = tuple(int(count) for count in np.where(np.arange(3) == normal, 30, 120))
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = np.array(centre) - spacing * (np.array(shape) - 1) / 2
    array = np.random.default_rng(seed).integers(0, 900, shape).astype(np.int16)
    return Volume(array, affine, SeriesSource(f"series {seed}", f"1.2.{seed}", "1.2", patient, "MR"))


def study() -> dict[Plane, Volume]:
    return {Plane.SAGITTAL: stack(0, 1), Plane.CORONAL: stack(1, 2), Plane.AXIAL: stack(2, 3)}


def kind_of(volumes: dict[Plane, Volume]) -> ErrorKind:
    with pytest.raises(OrthoDiffusionError) as caught:
        check_study(volumes)
    return caught.value.kind


def test_a_good_study_passes() -> None:
    for volume in study().values():
        check_volume(volume)
    check_study(study())


def test_swapped_planes_are_named() -> None:
    volumes = study()
    volumes[Plane.SAGITTAL], volumes[Plane.CORONAL] = volumes[Plane.CORONAL], volumes[Plane.SAGITTAL]
    with pytest.raises(OrthoDiffusionError) as caught:
        check_study(volumes)
    assert caught.value.kind is ErrorKind.WRONG_PLANE
    assert caught.value.sentence == "The volume given as sagittal is coronal."


def test_same_volume_twice_in_whatever_storage() -> None:
    volumes = study()
    again = stored_as(volumes[Plane.SAGITTAL], (1, 2, 0), (True, False, True))
    volumes[Plane.CORONAL] = replace(again, source=SeriesSource("copy.nii.gz"))
    assert kind_of(volumes) is ErrorKind.DUPLICATE_VOLUME


def test_two_patients() -> None:
    volumes = study() | {Plane.AXIAL: stack(2, 3, patient="a"), Plane.SAGITTAL: stack(0, 1, patient="b")}
    assert kind_of(volumes) is ErrorKind.DIFFERENT_PATIENTS


def test_two_places() -> None:
    assert kind_of(study() | {Plane.AXIAL: stack(2, 3, centre=(0, 0, 400))}) is ErrorKind.NO_OVERLAP


def test_empty_study() -> None:
    assert kind_of({}) is ErrorKind.EMPTY_STUDY
