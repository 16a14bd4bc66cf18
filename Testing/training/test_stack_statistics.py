"""What training reads off a prepared study is what a run reads off the volume itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from tiny_dataset import write_dataset

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.bundles.manifest import PlaneRecipe
from OrthoDiffusionLib.datasets.cache import prepare_manifest
from OrthoDiffusionLib.datasets.manifest import read_manifest
from OrthoDiffusionLib.inference.model import PlaneModel
from OrthoDiffusionLib.inference.one_piece import keep_one_piece
from OrthoDiffusionLib.inference.plane_pass import plane_scores
from OrthoDiffusionLib.networks.structure_statistics import structure_statistics
from OrthoDiffusionLib.training.stack_statistics import read_structures
from OrthoDiffusionLib.training.trained_plane import PlaneDescription, TrainedPlane, empty_networks
from OrthoDiffusionLib.volumes.nifti import read_nifti
from OrthoDiffusionLib.volumes.orientation import to_network_axes
from OrthoDiffusionLib.volumes.windows import resize_slices

SIZE = 16


def test_training_and_run_read_the_same(tmp_path: Path) -> None:
    description = PlaneDescription(
        joint="knee", plane=Plane.CORONAL, base_channels=32, channel_multipliers=(1, 1, 1), block="mid_0", timestep=50,
        window_size=SIZE, skips=True, history=("Not trained.",),
    )  # fmt: skip
    torch.manual_seed(1)
    networks = empty_networks(description, segmentation=True, diagnosis=False).eval().requires_grad_(False)
    manifest = read_manifest(write_dataset(tmp_path, (Plane.CORONAL,)))
    (study,) = prepare_manifest(manifest, tmp_path / "cache", SIZE)[:1]
    plane = TrainedPlane(description, networks)
    trained = read_structures(plane, study, 0, "cpu", around=True).unflatten(0, (11, -1)).numpy()

    recipe = PlaneRecipe(timestep=50, block="mid_0", encoder="none", encoder_training="None.")
    model = PlaneModel(Plane.CORONAL, recipe, networks, torch.device("cpu"), 16, SIZE)
    volume = read_nifti(tmp_path / "0-coronal-image.nii.gz")
    scores = plane_scores(model, volume, 0, lambda _: None)
    keep_one_piece(scores.scores, [one.label for one in load_joint("knee").structures if one.one_piece])
    image = resize_slices(to_network_axes(volume, Plane.CORONAL).array, SIZE)
    run = structure_statistics(image, scores.scores, around=True)

    assert (np.isfinite(run).all(axis=1)).sum() > 2, "an untrained network should still paint several structures"
    # Prepared stacks are rounded to 16 bits, which moves a few voxels of an untrained network from class to class.
    assert np.allclose(trained, run, atol=0.03, equal_nan=True)
