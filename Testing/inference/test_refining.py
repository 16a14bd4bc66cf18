"""Outlines refined with the images' own detail: where they lie, and what a bundle with such a network does."""

from __future__ import annotations

import json
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
from OrthoDiffusionLib.inference.engine import Engine
from OrthoDiffusionLib.inference.grids import ScoreVolume, label_grid, network_grid_affine
from OrthoDiffusionLib.inference.refining import MARGIN, detail_images, refined
from OrthoDiffusionLib.inference.request import StudyRequest
from OrthoDiffusionLib.inference.watch import Unwatched
from OrthoDiffusionLib.networks.refinement import FACTOR, RefinementNetwork
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


def ball() -> tuple[Volume, np.ndarray]:
    """An oblique, anisotropic, odd-sized stack with a ball of radius 14 mm, and the ball's centre in RAS, mm."""
    shape, spacing = (149, 171, 23), (0.62, 0.55, 3.3)
    affine = oblique(shape, spacing)
    middle = affine @ [81, 92, 12, 1]
    places = np.einsum("rc,cijk->rijk", affine[:3, :3], np.indices(shape)) + affine[:3, 3][:, None, None, None]
    inside = np.linalg.norm(places - middle[:3, None, None, None], axis=0) < 14
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
    assert images.shape == (23, 1, FACTOR * SIZE, FACTOR * SIZE)
    assert images.mean() == pytest.approx(0, abs=0.05)
    bright = np.moveaxis((images[:, 0] - images.min()).numpy(), 0, 2)
    assert np.allclose(centre(bright, fine_affine), middle, atol=0.15)
    scores = coarse_scores(volume)
    torch.manual_seed(0)
    unchanged = RefinementNetwork(2).eval()
    with torch.inference_mode():
        fine = refined(unchanged, volume, Plane.SAGITTAL, scores, scores, lambda: None)
    assert np.allclose(fine.affine, fine_affine)
    assert torch.allclose(fine.scores.sum(dim=0), torch.ones(()), atol=1e-5)
    labels, _ = label_grid([fine], volume.affine, volume.shape, lambda: None)
    truth = np.asarray(volume.array) > 200
    assert 2 * (labels * truth).sum() / (labels.sum() + truth.sum()) > 0.985
    assert np.allclose(centre(labels.astype(float), volume.affine), middle, atol=0.15)


def test_the_network_is_asked_around_structures_alone() -> None:
    volume, _ = ball()
    scores = coarse_scores(volume)
    network = RefinementNetwork(2).eval()
    torch.nn.init.constant_(network.leave.bias, 1.0)
    with torch.no_grad():
        # It says class 1 everywhere.
        network.leave.bias[FACTOR**2 :] = 20.0
    with torch.inference_mode():
        fine = refined(network, volume, Plane.SAGITTAL, scores, scores, lambda: None).scores.argmax(dim=0)
    rows, columns = torch.nonzero((scores.scores[1] > 0.02).any(dim=0), as_tuple=True)
    low, high = FACTOR * (int(rows.min()) - MARGIN), FACTOR * (int(rows.max()) + 1 + MARGIN)
    assert low > 0
    assert high < FACTOR * SIZE
    assert not fine[:, :low].any()
    assert not fine[:, high:].any()
    assert fine[:, low:high, FACTOR * int(columns.min())].all()


def test_constant_slices_and_a_stack_without_structures_are_no_trouble() -> None:
    volume = Volume(np.full((31, 33, 5), 7, np.int16), oblique((31, 33, 5), (1.0, 1.1, 3.0)))
    nothing = torch.zeros(2, 5, SIZE, SIZE)
    nothing[0] = 1
    scores = ScoreVolume(nothing, np.eye(4))
    assert not detail_images(volume.array, SIZE).any()
    with torch.inference_mode():
        fine = refined(RefinementNetwork(2).eval(), volume, Plane.SAGITTAL, scores, scores, lambda: None)
    assert bool((fine.scores[0] > 0.99).all())


def bundle_with_refinement(folder: Path) -> Path:
    """A tiny bundle of two planes, and the same one with a refinement that finds femur everywhere near a structure."""
    plain = open_bundle(write_tiny_bundle(folder / "plain", {Plane.AXIAL: (SEGMENTS,), Plane.CORONAL: (SEGMENTS,)}))
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


def test_a_bundle_with_a_refinement_uses_it(tmp_path: Path) -> None:
    bundle_with_refinement(tmp_path)
    series = {}
    for plane in (Plane.AXIAL, Plane.CORONAL):
        array = np.random.default_rng(plane.pose_id).normal(100, 10, SHAPE).astype(np.float32)
        series[plane] = tmp_path / f"{plane.value}.nii.gz"
        nibabel.save(nibabel.Nifti1Image(array, affine_of(plane, (5.0, 5.0, 7.5))), series[plane])
    for name in ("plain", "refining"):
        request = StudyRequest(
            tmp_path / f"{name} result", series=series, bundle=str(tmp_path / name), diagnose=False, device="cpu"
        )
        Engine().run(request, Unwatched())
    found = {
        name: np.asarray(nibabel.load(tmp_path / f"{name} result" / "labels_axial.nii.gz").dataobj)
        for name in ("plain", "refining")
    }
    assert len(np.unique(found["plain"])) > 1
    assert (found["refining"] == 1).mean() > 0.9
    fused = np.asarray(nibabel.load(tmp_path / "refining result" / "labels_fused.nii.gz").dataobj)
    assert (fused[fused > 0] == 1).mean() > 0.9


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
