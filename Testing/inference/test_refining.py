"""Outlines refined with the images' own detail: where they lie, and what a bundle with such a network does."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from tiny_bundle import DIAGNOSES, SEGMENTS, write_tiny_bundle
from tiny_dataset import SHAPE, affine_of

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.bundles.building import write_bundle
from OrthoDiffusionLib.bundles.opening import open_bundle
from OrthoDiffusionLib.bundles.registry import MANIFEST_FILE
from OrthoDiffusionLib.bundles.weights import read_weights
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.inference import engine as engine_module
from OrthoDiffusionLib.inference.engine import Engine
from OrthoDiffusionLib.inference.grids import ScoreVolume, label_grid, network_grid_affine
from OrthoDiffusionLib.inference.refining import LEAST_SHARE, MARGIN, detail_images, refined
from OrthoDiffusionLib.inference.request import StudyRequest
from OrthoDiffusionLib.inference.result_folder import read_result
from OrthoDiffusionLib.inference.structure_scores import refined_views
from OrthoDiffusionLib.inference.views import Views
from OrthoDiffusionLib.inference.watch import Unwatched
from OrthoDiffusionLib.networks.refinement import FACTOR, MULTIPLE, SEEN, RefinementNetwork, with_neighbours
from OrthoDiffusionLib.volumes.orientation import to_network_axes
from OrthoDiffusionLib.volumes.volume import Volume

SIZE = 64


def oblique(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> np.ndarray:
    """The affine of a sagittal stack, turned by 17 and 9 degrees, away from the origin."""
    about_z, about_x = np.radians(17), np.radians(9)
    turn = np.array([[np.cos(about_z), -np.sin(about_z), 0], [np.sin(about_z), np.cos(about_z), 0], [0, 0, 1]]) @ (
        np.array([[1, 0, 0], [0, np.cos(about_x), -np.sin(about_x)], [0, np.sin(about_x), np.cos(about_x)]])
    )
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0.0]]).T * spacing
    affine[:3, 3] = (31, -12, 50)
    return affine


def centre(weights: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Centre of mass in RAS, mm."""
    index = np.array([np.average(axis, weights=weights) for axis in np.indices(weights.shape)])
    return np.asarray(affine @ [*index, 1])[:3]


def ball(radius: float = 14) -> tuple[Volume, np.ndarray]:
    """An oblique, anisotropic, odd-sized stack with a ball of this radius in mm, and the ball's centre in RAS, mm."""
    shape, spacing = (149, 171, 23), (0.62, 0.55, 3.3)
    affine = oblique(shape, spacing)
    middle = affine @ [81, 92, 12, 1]
    places = np.einsum("rc,cijk->rijk", affine[:3, :3], np.indices(shape)) + affine[:3, 3][:, None, None, None]
    inside = np.linalg.norm(places - middle[:3, None, None, None], axis=0) < radius
    return Volume((100 + 300 * inside).astype(np.int16), affine), middle[:3]


def coarse_scores(volume: Volume) -> ScoreVolume:
    """The ball as class 1 of two, as networks with windows of `SIZE` pixels would see it."""
    turned = to_network_axes(volume, Plane.SAGITTAL)
    slices = torch.from_numpy(np.moveaxis(turned.array > 200, 2, 0).astype(np.float32))[:, None]
    share = torch.nn.functional.interpolate(slices, (SIZE, SIZE), mode="bilinear", antialias=True)[:, 0]
    affine = network_grid_affine(turned.affine, turned.array.shape, SIZE)
    return ScoreVolume(torch.stack([1 - share, share]), affine)


def test_images_and_probabilities_lie_where_they_were() -> None:
    volume, middle = ball()
    turned = to_network_axes(volume, Plane.SAGITTAL)
    fine_affine = network_grid_affine(turned.affine, turned.array.shape, FACTOR * SIZE)
    images = detail_images(turned.array, SIZE)
    assert images.shape == (23, FACTOR * SIZE, FACTOR * SIZE)
    assert images.mean() == pytest.approx(0, abs=0.05)
    bright = np.moveaxis((images - images.min()).numpy(), 0, 2)
    assert np.allclose(centre(bright, fine_affine), middle, atol=0.15)
    scores = coarse_scores(volume)
    torch.manual_seed(0)
    unchanged = RefinementNetwork(2).eval()
    with torch.inference_mode():
        fine = refined(unchanged, images, scores, scores, lambda: None)
    assert np.allclose(fine.affine, fine_affine)
    assert torch.allclose(fine.scores.sum(dim=0), torch.ones(()), atol=1e-5)
    labels, _ = label_grid([fine], volume.affine, volume.shape, lambda: None)
    truth = np.asarray(volume.array) > 200
    assert 2 * (labels * truth).sum() / (labels.sum() + truth.sum()) > 0.985
    assert np.allclose(centre(labels.astype(float), volume.affine), middle, atol=0.15)


def test_the_network_is_asked_around_structures_alone() -> None:
    volume, _ = ball(radius=5)
    scores = coarse_scores(volume)
    network = RefinementNetwork(2).eval()
    torch.nn.init.constant_(network.leave.bias, 1.0)
    with torch.no_grad():
        # It says class 1 everywhere.
        network.leave.bias[FACTOR**2 :] = 20.0
    with torch.inference_mode():
        images = detail_images(to_network_axes(volume, Plane.SAGITTAL).array, SIZE)
        fine = refined(network, images, scores, scores, lambda: None).scores.argmax(dim=0)
    # In the four slices that go through the network with the ball's middle.
    there = scores.scores[1, 8:12].amax(dim=0) >= LEAST_SHARE
    rows, columns = torch.nonzero(there, as_tuple=True)
    low, high = int(rows.min()) - MARGIN, int(rows.max()) + 1 + MARGIN
    low, high = FACTOR * (low - low % MULTIPLE), FACTOR * (high + -high % MULTIPLE)
    assert low > 0
    assert high < FACTOR * SIZE
    assert not fine[:, :low].any()
    assert not fine[:, high:].any()
    assert fine[8:12, low:high, FACTOR * int(columns.min())].all()
    assert not fine[0].any()


def test_constant_slices_and_a_stack_without_structures_are_no_trouble() -> None:
    volume = Volume(np.full((31, 33, 5), 7, np.int16), oblique((31, 33, 5), (1.0, 1.1, 3.0)))
    nothing = torch.zeros(2, 5, SIZE, SIZE)
    nothing[0] = 1
    scores = ScoreVolume(nothing, np.eye(4))
    assert not detail_images(volume.array, SIZE).any()
    assert not detail_images(np.full((149, 171, 5), 7, np.int16), SIZE).any()
    bright = detail_images(1e37 * np.random.default_rng(0).random((31, 33, 5)), SIZE)
    assert bright.std() == pytest.approx(1, abs=0.01)
    with torch.inference_mode():
        images = detail_images(to_network_axes(volume, Plane.SAGITTAL).array, SIZE)
        fine = refined(RefinementNetwork(2).eval(), images, scores, scores, lambda: None)
    assert bool((fine.scores[0] > 0.99).all())


def test_a_fine_pixel_of_the_image_answers_at_its_own_place() -> None:
    network = RefinementNetwork(2).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        for sub_pixel in range(FACTOR**2):
            # Of the slice itself, between its neighbours.
            network.enter.weight[sub_pixel, SEEN // 2 * FACTOR**2 + sub_pixel, 1, 1] = 1
            network.leave.weight[FACTOR**2 + sub_pixel, sub_pixel, 1, 1] = 20
    nothing = torch.tensor([1.0, 0.0])[None, :, None, None].expand(1, 2, 8, 8)
    for row, column in ((6, 9), (7, 8), (6, 8), (7, 9)):
        images = torch.zeros(1, SEEN, 16, 16)
        images[0, SEEN // 2, row, column] = 4
        with torch.inference_mode():
            found = network(images, nothing, nothing[:, None].expand(1, SEEN, 2, 8, 8)).argmax(dim=1)[0]
        assert torch.nonzero(found).tolist() == [[row, column]]


def test_every_slice_is_seen_between_its_neighbours() -> None:
    stack = torch.arange(5)[:, None] * torch.ones(2)
    assert with_neighbours(stack, 1, 3)[..., 0].tolist() == [[0, 1, 2], [1, 2, 3]]
    assert with_neighbours(stack, 0, 1)[..., 1].tolist() == [[0, 0, 1]]
    assert with_neighbours(stack, 3, 5)[..., 1].tolist() == [[2, 3, 4], [3, 4, 4]]
    assert with_neighbours(stack[:1], 0, 1)[..., 0].tolist() == [[0, 0, 0]]


def test_a_second_pass_starts_from_the_mean_of_what_the_first_one_found() -> None:
    """Each pass of this network makes class 1 likelier by the same factor, so two make it so by its square."""
    volume, _ = ball()
    own = coarse_scores(volume)
    half = ScoreVolume(torch.full_like(own.scores, 0.5), own.affine)
    network = RefinementNetwork(2).eval()
    with torch.no_grad():
        network.leave.bias[FACTOR**2 :] = 1.0
    # The same place on two grids: the second one's slices lie in reverse.
    turned = np.diag([1.0, 1, -1, 1])
    turned[2, 3] = half.scores.shape[1] - 1
    scores = {Plane.SAGITTAL: half, Plane.AXIAL: ScoreVolume(half.scores.clone(), half.affine @ turned)}
    images = dict.fromkeys(scores, detail_images(to_network_axes(volume, Plane.SAGITTAL).array, SIZE))
    for views, passes, factor in (((Plane.SAGITTAL, Plane.AXIAL), 1, 1), ((Plane.SAGITTAL, Plane.AXIAL), 2, 2),
                                  ((Plane.SAGITTAL,), 2, 1)):  # fmt: skip
        with torch.inference_mode():
            fine = refined_views(network, images, scores, views, (), lambda: None, passes)
        assert tuple(fine) == views
        for found in fine.values():
            assert found.scores.shape[2:] == (FACTOR * SIZE, FACTOR * SIZE)
            odds = found.scores[1] / found.scores[0]
            assert torch.allclose(odds, torch.tensor(float(factor)).exp(), rtol=1e-3)


def test_a_loose_piece_of_bone_is_no_sure_background_after_two_passes() -> None:
    volume, _ = ball()
    scores = coarse_scores(volume)
    scores.scores[:, 1, 2:6, 2:6] = torch.tensor([0.05, 0.95])[:, None, None]
    images = detail_images(to_network_axes(volume, Plane.SAGITTAL).array, SIZE)
    views = {plane: ScoreVolume(scores.scores.clone(), scores.affine) for plane in (Plane.SAGITTAL, Plane.AXIAL)}
    with torch.inference_mode():
        fine = refined_views(
            RefinementNetwork(2).eval(), dict.fromkeys(views, images), views, tuple(views), (1,), lambda: None
        )
    for found in fine.values():
        assert found.scores[:, 1, 6:10, 6:10].sum(dim=0).max() < 0.2
        assert found.scores[:, 10].sum(dim=0).min() > 0.99


def bundle_with_refinement(folder: Path) -> Path:
    """A tiny bundle of all planes, and the same one with a refinement that finds femur everywhere near a structure."""
    plain = open_bundle(write_tiny_bundle(folder / "plain", dict.fromkeys(Plane, (SEGMENTS,))))
    manifest = json.loads((plain.folder / MANIFEST_FILE).read_text(encoding="utf-8"))
    assert "refinement" not in manifest
    weights = {name: read_weights(plain, name) for name in plain.manifest.weight_files()}
    network = RefinementNetwork(len(plain.manifest.structures) + 1)
    with torch.no_grad():
        network.leave.bias[FACTOR**2 : 2 * FACTOR**2] = 20.0
    name = "models/refinement.safetensors"
    refinement = {"weights": name, "training": "Set by hand."}
    description = {key: value for key, value in manifest.items() if key not in ("files", "schema_version")}
    write_bundle(
        folder / "refining",
        {**description, "name": "refining", "refinement": refinement},
        {**weights, name: network.state_dict()},
        "# Refining\n",
        "MIT\n",
    )
    return folder / "refining"


def series_of(folder: Path, planes: Iterable[Plane]) -> dict[Plane, Path]:
    series = {}
    for plane in planes:
        array = np.random.default_rng(plane.pose_id).normal(100, 10, SHAPE).astype(np.float32)
        series[plane] = folder / f"{plane.value}.nii.gz"
        nibabel.save(nibabel.Nifti1Image(array, affine_of(plane, (5.0, 5.0, 7.5))), series[plane])
    return series


def ran(output: Path, bundle: Path, series: dict[Plane, Path], *, combine: bool = True) -> Path:
    request = StudyRequest(output, series=series, bundle=str(bundle), diagnose=False, device="cpu", combine=combine)
    return Engine().run(request, Unwatched())


def labels(result: Path, name: str) -> np.ndarray:
    return np.asarray(nibabel.load(result / f"labels_{name}.nii.gz").dataobj)


@pytest.mark.parametrize("combine", [True, False])
def test_a_bundle_with_a_refinement_uses_it(tmp_path: Path, combine: bool) -> None:
    refining = bundle_with_refinement(tmp_path)
    series = series_of(tmp_path, (Plane.AXIAL, Plane.CORONAL))
    plain = ran(tmp_path / "plain result", tmp_path / "plain", series, combine=combine)
    result = ran(tmp_path / "refined result", refining, series, combine=combine)
    assert len(np.unique(labels(plain, "axial"))) > 1
    assert (labels(result, "axial") == 1).mean() > 0.9
    fused = labels(result, "fused")
    assert (fused[fused > 0] == 1).mean() > 0.9
    again = ran(tmp_path / "again", refining, series, combine=combine)
    for name in ("labels_axial.nii.gz", "confidence_coronal.nii.gz", "labels_fused.nii.gz"):
        assert (again / name).read_bytes() == (result / name).read_bytes()


def test_one_plane_and_a_volume_that_stands_for_all_are_refined(tmp_path: Path) -> None:
    refining = bundle_with_refinement(tmp_path)
    alone = ran(tmp_path / "alone", refining, series_of(tmp_path, (Plane.SAGITTAL,)))
    assert (labels(alone, "sagittal") == 1).mean() > 0.9
    volume = tmp_path / "volume.nii.gz"
    array = np.random.default_rng(0).normal(100, 10, (72, 71, 62)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(array, affine_of(Plane.SAGITTAL, (1.2, 1.0, 1.1))), volume)
    result = ran(tmp_path / "whole", refining, {Plane.SAGITTAL: volume})
    assert [record.reformatted_from for record in read_result(result).series] == [Plane.SAGITTAL, None, Plane.SAGITTAL]
    assert labels(result, "sagittal").shape == array.shape
    assert (labels(result, "sagittal") == 1).mean() > 0.9


def test_planes_that_are_apart_share_nothing_through_a_third(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Axial fits sagittal and sagittal fits coronal, but not axial coronal."""
    refining, series = bundle_with_refinement(tmp_path), series_of(tmp_path, Plane)
    axial, sagittal, coronal = Plane
    found = {}
    for name, of_axial in (("fits", (axial, sagittal)), ("alone", (axial,))):
        of = {axial: of_axial, sagittal: (sagittal, coronal), coronal: (sagittal, coronal)}
        of |= {sagittal: of_axial} if len(of_axial) > 1 else {}
        monkeypatch.setattr(engine_module, "views_of_planes", lambda *_, of=of: Views(of, (sagittal, coronal)))
        result = ran(tmp_path / name, refining, series)
        found[name] = (result / "confidence_coronal.nii.gz").read_bytes()
    assert found["fits"] == found["alone"]


def test_a_run_can_be_stopped_while_it_refines(tmp_path: Path) -> None:
    class Impatient(Unwatched):
        refining = False

        def progress(self, stage: str, fraction: float, message: str) -> None:
            self.refining = self.refining or "Refining" in message

        def check(self) -> None:
            if self.refining:
                raise OrthoDiffusionError(ErrorKind.CANCELLED, "Stopped.", "Nothing.")

    series = series_of(tmp_path, (Plane.AXIAL,))
    request = StudyRequest(
        tmp_path / "result", series=series, bundle=str(bundle_with_refinement(tmp_path)), diagnose=False, device="cpu"
    )
    with pytest.raises(OrthoDiffusionError, match=r"Stopped\."):
        Engine().run(request, Impatient())
    assert not (tmp_path / "result").exists()


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    bundle = open_bundle(bundle_with_refinement(tmp_path))
    manifest = json.loads((bundle.folder / MANIFEST_FILE).read_text(encoding="utf-8"))
    description = {key: value for key, value in manifest.items() if key not in ("files", "schema_version")}
    weights = {name: read_weights(bundle, name) for name in bundle.manifest.weight_files()}
    wrong = {**weights, "models/refinement.safetensors": RefinementNetwork(3).state_dict()}
    write_bundle(tmp_path / "wrong", {**description, "name": "wrong"}, wrong, "# Wrong\n", "MIT\n")
    with pytest.raises(OrthoDiffusionError) as caught:
        Engine().load(str(tmp_path / "wrong"), "cpu")
    assert caught.value.kind is ErrorKind.BUNDLE_INVALID


def test_a_refinement_needs_planes_that_segment(tmp_path: Path) -> None:
    bundle = open_bundle(write_tiny_bundle(tmp_path / "heads", {Plane.AXIAL: (DIAGNOSES,)}))
    manifest = json.loads((bundle.folder / MANIFEST_FILE).read_text(encoding="utf-8"))
    description = {key: value for key, value in manifest.items() if key not in ("files", "schema_version")}
    weights = {name: read_weights(bundle, name) for name in bundle.manifest.weight_files()}
    name = "models/refinement.safetensors"
    with pytest.raises(ValueError, match="needs planes that segment"):
        write_bundle(
            tmp_path / "refining",
            {**description, "refinement": {"weights": name, "training": "None."}},
            {**weights, name: RefinementNetwork(12).state_dict()},
            "# None\n",
            "MIT\n",
        )
