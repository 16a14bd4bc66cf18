"""The whole network at its published size, and every shared conformance number where the shared folder stands."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from conformance_tensors import relative_error, state, tensor

from OrthoDiffusionLib.diffusion.schedule import cosine_schedule
from OrthoDiffusionLib.networks.config import UNetConfig
from OrthoDiffusionLib.networks.segmentation_decoder import SegmentationDecoder
from OrthoDiffusionLib.networks.unet import DenoisingUNet

NUMBERS = Path(__file__).parents[1] / "data" / "conformance"
SHAPES = json.loads((NUMBERS / "shapes.json").read_text())
SHARED = Path(__file__).parents[3] / "shared" / "conformance"
SIZES = {"small": (32, 64), "official": (64, 256)}
TOLERANCE = 1e-4

needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the full conformance numbers are not beside the repository"
)


@cache
def network_of(config: str) -> DenoisingUNet:
    network = DenoisingUNet(UNetConfig(base_channels=SIZES[config][0])).eval()
    network.load_state_dict(state(SHAPES["keys"][config]))
    return network


def on_window(config: str, timestep: int, compute: Callable[..., torch.Tensor], *arguments: str) -> torch.Tensor:
    size = SIZES[config][1]
    x0 = tensor(f"{config}/x0", (1, 1, 16, size, size)).clamp(-2, 2) / 2
    timesteps = torch.tensor([timestep])
    x_t = cosine_schedule().noised(x0, timesteps, tensor(f"{config}/noise/{timestep}", x0.shape))
    with torch.inference_mode():
        return compute(x_t, timesteps, *arguments)


@pytest.mark.slow
def test_noise_at_the_published_size() -> None:
    noise = on_window("official", 50, network_of("official"))
    numbers = np.load(NUMBERS / "noise_official.npz")
    assert relative_error(noise[:, :, ::4, ::8, ::8], numbers["t50/eps_stride4_8"]) < TOLERANCE
    assert [float(noise.mean()), float(noise.std())] == pytest.approx(numbers["t50/eps_mean_std"], rel=1e-4)


@needs_shared
@pytest.mark.parametrize("config", ["small", pytest.param("official", marks=pytest.mark.slow)])
def test_every_shared_feature_and_noise(config: str) -> None:
    network, numbers = network_of(config), np.load(SHARED / f"unet_{config}.npz")
    compared = 0
    for key in numbers.files:
        timestep, part = key.split("/")
        if part.startswith("mid_"):
            computed = on_window(config, int(timestep[1:]), network.features, part)
        elif part == "eps_stride4":
            computed = on_window(config, int(timestep[1:]), network)[:, :, ::4, ::4, ::4]
        else:
            continue
        assert relative_error(computed, numbers[key]) < TOLERANCE, key
        compared += 1
    assert compared == 10


@needs_shared
def test_shared_segmentation_scores_at_every_voxel() -> None:
    decoder, head = SegmentationDecoder().eval(), SHAPES["heads"]["segmentation_decoder"]
    decoder.load_state_dict(state(head["keys"]))
    with torch.inference_mode():
        scores = decoder(tensor("segmentation_decoder/input0", head["inputs"][0]))
    assert relative_error(scores, np.load(SHARED / "heads.npz")["segmentation_decoder/output0"]) < TOLERANCE


@needs_shared
def test_the_numbers_kept_here_are_the_shared_ones() -> None:
    shared = json.loads((SHARED / "meta.json").read_text())
    assert SHAPES["keys"] == shared["keys"]
    assert SHAPES["heads"] == shared["heads"]
    for kept, full in (("network_small", "unet_small"), ("schedule", "schedule")):
        mine, theirs = np.load(NUMBERS / f"{kept}.npz"), np.load(SHARED / f"{full}.npz")
        assert set(mine.files) == set(theirs.files)
        assert all(np.array_equal(mine[key], theirs[key]) for key in mine.files)
    mine, theirs = np.load(NUMBERS / "heads.npz"), np.load(SHARED / "heads.npz")
    for key in mine.files:
        full_output = theirs[key]
        if key.startswith("segmentation_decoder"):
            full_output = full_output[:, :, ::4, ::4, ::4]
        assert np.array_equal(mine[key], full_output), key
