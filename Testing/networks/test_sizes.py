"""Networks of other sizes than the published ones, and the sizes that are refused."""

from __future__ import annotations

import pytest
import torch
from conformance_tensors import tensor

from OrthoDiffusionLib.networks.config import UNetConfig
from OrthoDiffusionLib.networks.encoder import DenoisingEncoder, encoder_state
from OrthoDiffusionLib.networks.fusion import FusedLinearHead, ProjectionFusion
from OrthoDiffusionLib.networks.plane_networks import PlaneNetworks
from OrthoDiffusionLib.networks.pooling import SelfAttentionPooling
from OrthoDiffusionLib.networks.segmentation_decoder import SegmentationDecoder
from OrthoDiffusionLib.networks.unet import DenoisingUNet

SMALL = UNetConfig(base_channels=32)


@pytest.mark.parametrize("base", [0, 16, 33, -32])
def test_widths_that_groups_do_not_divide_are_refused(base: int) -> None:
    with pytest.raises(ValueError, match="multiple of 32"):
        UNetConfig(base_channels=base)


@pytest.mark.parametrize("multipliers", [(), (1,), (1, 0, 2)])
def test_impossible_levels_are_refused(multipliers: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="two or more positive"):
        UNetConfig(channel_multipliers=multipliers)


@pytest.mark.parametrize("shape", [(1, 1, 8, 32, 32), (1, 1, 16, 32, 40), (1, 2, 16, 32, 32), (1, 16, 32, 32)])
def test_windows_that_cannot_be_halved_are_refused(shape: tuple[int, ...]) -> None:
    with torch.device("meta"):
        network = DenoisingUNet(SMALL)
        window, timesteps = torch.zeros(shape), torch.tensor([50])
    with pytest.raises(ValueError, match="multiples of 16"):
        network(window, timesteps)
    with pytest.raises(ValueError, match="multiples of 16"):
        network.features(window, timesteps, "mid_0")


def test_unknown_blocks_are_refused() -> None:
    with torch.device("meta"):
        encoder = DenoisingEncoder(SMALL)
        window, timesteps = torch.zeros(1, 1, 16, 32, 32), torch.tensor([50])
    with pytest.raises(ValueError, match="unknown block 'mid_3'"):
        encoder.features(window, timesteps, "mid_3")


def test_every_block_has_the_channels_and_size_of_its_level() -> None:
    with torch.device("meta"):
        encoder = DenoisingEncoder(SMALL)
        window, timesteps = torch.zeros(1, 1, 16, 64, 64), torch.tensor([50])
    shapes = {name: tuple(encoder.features(window, timesteps, name).shape) for name in encoder.block_names}
    assert len(shapes) == 13
    assert shapes["input_0"] == (1, 32, 16, 64, 64)
    assert shapes["input_5"] == (1, 64, 4, 16, 16)
    assert shapes["mid_0"] == shapes["mid_2"] == (1, 128, 1, 4, 4)


def test_an_encoder_takes_a_whole_networks_weights_and_no_decoder() -> None:
    network, encoder = DenoisingUNet(SMALL).eval(), DenoisingEncoder(SMALL).eval()
    assert not any(name.startswith(("output_blocks.", "out.")) for name, _ in encoder.named_parameters())
    encoder.load_state_dict(encoder_state(network.state_dict()))
    window, timesteps = tensor("window", (1, 1, 16, 32, 32)), torch.tensor([150])
    with torch.inference_mode():
        assert torch.equal(encoder.features(window, timesteps, "mid_2"), network.features(window, timesteps, "mid_2"))


def test_an_incomplete_encoder_is_refused() -> None:
    state = encoder_state(DenoisingUNet(SMALL).state_dict())
    del state["middle_block.1.qkv.bias"]
    with pytest.raises(RuntimeError, match=r"middle_block\.1\.qkv\.bias"):
        DenoisingEncoder(SMALL).load_state_dict(state)


def test_heads_of_a_smaller_network() -> None:
    features = tensor("features", (2, SMALL.middle_channels, 1, 2, 3))
    with torch.inference_mode():
        assert SegmentationDecoder(SMALL.middle_channels, classes=5)(features).shape == (2, 5, 16, 32, 48)
        assert SelfAttentionPooling(SMALL.middle_channels)(features).shape == (2, 2 * SMALL.middle_channels)


@pytest.mark.parametrize("multipliers", [(1, 1), (1, 1, 1), (1, 1, 2, 4), (1, 1, 2, 2, 4), (1, 1, 1, 1, 1, 2)])
@pytest.mark.parametrize("skips", [False, True])
def test_scores_are_of_the_windows_size_for_any_number_of_levels(multipliers: tuple[int, ...], skips: bool) -> None:
    with torch.device("meta"):
        networks = PlaneNetworks(UNetConfig(32, multipliers), "mid_0", classes=3, findings=0, skips=skips).eval()
        scores, _ = networks.scores_and_features(torch.zeros(1, 1, 32, 64, 64), torch.tensor([50]))
    assert scores.shape == (1, 3, 32, 64, 64)


def test_adding_fusion_adds_the_projections() -> None:
    joined, added = ProjectionFusion(8), ProjectionFusion(8, add=True)
    added.load_state_dict(joined.state_dict())
    planes = [tensor(f"plane{index}", (2, 8)) for index in range(3)]
    with torch.inference_mode():
        assert torch.allclose(added(*planes), sum(joined(*planes).chunk(3, dim=-1)), atol=1e-6)
        assert FusedLinearHead(added, 8, findings=4)(*planes).shape == (2, 4)
