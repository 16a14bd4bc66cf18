"""Several planes' answers together: on oblique odd-sized grids in place, and apart where a person moved."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from dicom_files import oblique_volume

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.inference.alignment import displacement
from OrthoDiffusionLib.inference.grids import ScoreVolume, averaged
from OrthoDiffusionLib.inference.study import Study, StudySeries
from OrthoDiffusionLib.inference.views import each_alone, views_of_planes
from OrthoDiffusionLib.volumes.volume import Volume

CENTRE = np.array([3.0, -5.0, 8.0])
RADIUS = 32.0


def ball_seen_by(normal: int, moved: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> ScoreVolume:
    """Probabilities of a ball in RAS space, with a bump to its left, on an oblique grid, 3.3 mm between slices."""
    depth, height, width = 31, 73, 67
    tilt = oblique_volume((3, 3, 3), (1.0, 1.0, 1.0)).affine[:3, :3]
    axes = np.roll(np.diag([1.4, 1.5, 3.3]), normal - 2, axis=0)
    affine = np.eye(4)
    affine[:3, :3] = tilt @ axes
    affine[:3, 3] = CENTRE - affine[:3, :3] @ (np.array([height, width, depth]) - 1) / 2
    index = np.stack(np.meshgrid(np.arange(height), np.arange(width), np.arange(depth), indexing="ij"), axis=-1)
    places = index @ affine[:3, :3].T + affine[:3, 3] - moved
    ball = 1 / (1 + np.exp(np.linalg.norm(places - CENTRE, axis=-1) - RADIUS))
    bump = 1 / (1 + np.exp(np.linalg.norm(places - CENTRE - [RADIUS, 0, 0], axis=-1) - 12))
    scores = np.stack([(1 - ball) * (1 - bump), ball * (1 - bump), bump]).astype(np.float32)
    return ScoreVolume(torch.from_numpy(scores).permute(0, 3, 1, 2).contiguous(), affine)


def test_two_planes_that_a_third_one_fits_are_not_combined_with_each_other() -> None:
    planes = (Plane.AXIAL, Plane.SAGITTAL, Plane.CORONAL)
    volumes = {plane: Volume(np.zeros((2, 2, 2)), np.eye(4)) for plane in planes}
    moved = ((0.0, 0.0, 0.0), (0.0, 4.0, 0.0), (0.0, -4.0, 0.0))
    scores = {plane: ball_seen_by(normal, by) for plane, normal, by in zip(planes, (2, 0, 1), moved, strict=True)}
    views = views_of_planes(scores, study_of(volumes), lambda: None)
    assert views.together == views.of[Plane.AXIAL] == views.of[Plane.SAGITTAL] == (Plane.AXIAL, Plane.SAGITTAL)
    assert views.of[Plane.CORONAL] == (Plane.AXIAL, Plane.CORONAL)


def study_of(planes: dict[Plane, Volume]) -> Study:
    return Study({plane: StudySeries(volume, volume) for plane, volume in planes.items()})


@pytest.mark.parametrize("moved", [(0.0, 0.0, 0.0), (3.0, -2.0, 1.0), (-7.0, 4.0, 6.0)])
def test_a_known_displacement_is_found(moved: tuple[float, float, float]) -> None:
    found = displacement(ball_seen_by(2), ball_seen_by(0, moved))
    assert found is not None
    assert np.abs(found - moved).max() < 0.5


@pytest.mark.parametrize("moved", [(0.0, 28.0, 0.0), (0.0, -45.0, 25.0), (0.0, 0.0, 50.0)])
def test_planes_far_apart_never_count_as_one_place(moved: tuple[float, float, float]) -> None:
    found = displacement(ball_seen_by(2), ball_seen_by(0, moved))
    assert found is not None
    assert np.linalg.norm(found) > 14


def test_planes_that_share_nothing_say_nothing() -> None:
    away = ball_seen_by(0)
    affine = away.affine.copy()
    affine[:3, 3] += 500
    assert displacement(ball_seen_by(2), ScoreVolume(away.scores, affine)) is None


def test_the_mean_of_three_views_stays_in_place() -> None:
    views = [ball_seen_by(normal) for normal in (2, 0, 1)]
    mean = averaged(views, views[0], lambda: None)
    assert mean.scores.shape == views[0].scores.shape
    # Where the ball is steepest, linear interpolation over 3.3 mm is off by a few percent.
    assert float((mean.scores - views[0].scores).abs().max()) < 0.12
    assert torch.allclose(mean.scores.sum(dim=0), torch.ones(()), atol=1e-5)
    assert averaged([views[1]], views[1], lambda: None) is views[1]


def test_a_plane_that_finds_a_structure_nowhere_has_no_say_in_it() -> None:
    seeing, blind = ball_seen_by(2), ball_seen_by(0)
    scores = blind.scores.clone()
    scores[0] += 0.9 * scores[2]
    scores[2] *= 0.1
    silent = ScoreVolume(scores, blind.affine)
    mean = averaged([seeing, silent], seeing, lambda: None)
    assert torch.allclose(mean.scores.sum(dim=0), torch.ones(()), atol=1e-5)
    inside = seeing.scores[2] > 0.99
    assert (mean.scores[2][inside] > 0.97).all()


def test_a_plane_that_moved_stands_alone_and_the_person_is_told() -> None:
    planes = (Plane.AXIAL, Plane.SAGITTAL, Plane.CORONAL)
    volumes = {plane: Volume(np.zeros((2, 2, 2)), np.eye(4)) for plane in planes}
    scores = dict(zip(planes, (ball_seen_by(2), ball_seen_by(0), ball_seen_by(1, (0.0, 12.0, 0.0))), strict=True))
    views = views_of_planes(scores, study_of(volumes), lambda: None)
    assert views.of[Plane.AXIAL] == views.of[Plane.SAGITTAL] == views.together == (Plane.AXIAL, Plane.SAGITTAL)
    assert views.of[Plane.CORONAL] == (Plane.CORONAL,)
    assert len(views.warnings) == 3
    assert "12 mm apart" in views.warnings[0]
    assert views.warnings[0].endswith("their label maps are not combined.")
    assert views.apart
    assert views.warnings[-1].endswith("these alone: axial, sagittal.")
    # Planes cut out of one volume cannot have moved.
    one = Volume(np.zeros((2, 2, 2)), np.eye(4))
    assert not views_of_planes(scores, study_of(dict.fromkeys(planes, one)), lambda: None).warnings
    alone = each_alone(scores, study_of(volumes))
    assert alone.of == {plane: (plane,) for plane in planes}
    assert alone.together == planes
    assert not alone.apart
