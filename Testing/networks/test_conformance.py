"""The networks compute what the published ones compute: relative error under 1e-4."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conformance_tensors import relative_error, state, tensor

from OrthoDiffusionLib.diffusion.schedule import cosine_schedule
from OrthoDiffusionLib.networks.clinical_fusion import ClinicalFusionHead
from OrthoDiffusionLib.networks.config import UNetConfig
from OrthoDiffusionLib.networks.encoder import DenoisingEncoder, encoder_state
from OrthoDiffusionLib.networks.fusion import (
    CrossAttentionFusion,
    FusedLinearHead,
    GatedStackingHead,
    LinearHead,
    ProjectionFusion,
)
from OrthoDiffusionLib.networks.pooling import GlobalLocalPooling, SelfAttentionPooling
from OrthoDiffusionLib.networks.segmentation_decoder import SegmentationDecoder
from OrthoDiffusionLib.networks.unet import DenoisingUNet

NUMBERS = Path(__file__).parents[1] / "data" / "conformance"
SHAPES = json.loads((NUMBERS / "shapes.json").read_text())
TOLERANCE = 1e-4


def noised_window(config: str, size: int, timestep: int) -> tuple[torch.Tensor, torch.Tensor]:
    x0 = tensor(f"{config}/x0", (1, 1, 16, size, size)).clamp(-2, 2) / 2
    timesteps = torch.tensor([timestep])
    return cosine_schedule().noised(x0, timesteps, tensor(f"{config}/noise/{timestep}", x0.shape)), timesteps


@pytest.fixture(scope="module")
def small_network() -> DenoisingUNet:
    network = DenoisingUNet(UNetConfig(base_channels=32)).eval()
    network.load_state_dict(state(SHAPES["keys"]["small"]))
    return network


@pytest.mark.parametrize("timestep", [200, 150, 50])
@pytest.mark.parametrize("block", ["mid_0", "mid_1", "mid_2"])
def test_small_network_features(small_network: DenoisingUNet, timestep: int, block: str) -> None:
    expected = np.load(NUMBERS / "network_small.npz")[f"t{timestep}/{block}"]
    with torch.inference_mode():
        computed = small_network.features(*noised_window("small", 64, timestep), block)
    assert relative_error(computed, expected) < TOLERANCE


def test_small_network_noise(small_network: DenoisingUNet) -> None:
    numbers = np.load(NUMBERS / "network_small.npz")
    with torch.inference_mode():
        noise = small_network(*noised_window("small", 64, 50))
    assert relative_error(noise[:, :, ::4, ::4, ::4], numbers["t50/eps_stride4"]) < TOLERANCE
    assert [float(noise.mean()), float(noise.std())] == pytest.approx(numbers["t50/eps_mean_std"], rel=1e-4)


@pytest.mark.parametrize(("timestep", "block"), [(200, "mid_0"), (50, "mid_2")])
def test_published_size(timestep: int, block: str) -> None:
    encoder = DenoisingEncoder().eval()
    encoder.load_state_dict(encoder_state(state(SHAPES["keys"]["official"])))
    with torch.inference_mode():
        computed = encoder.features(*noised_window("official", 256, timestep), block)
    expected = np.load(NUMBERS / "network_official.npz")[f"t{timestep}/{block}"]
    assert relative_error(computed[:, ::8], expected) < TOLERANCE


def test_names_and_shapes_are_the_published_ones() -> None:
    with torch.device("meta"):
        network, encoder = DenoisingUNet(), DenoisingEncoder()
    shapes = {name: list(value.shape) for name, value in network.state_dict().items()}
    assert shapes == SHAPES["keys"]["official"]
    assert len(shapes) == 244
    assert sum(parameter.numel() for parameter in network.parameters()) == 34_524_545
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 13_784_576


def test_features_stop_at_the_block(small_network: DenoisingUNet) -> None:
    ran: list[str] = []
    handles = [
        module.register_forward_hook(lambda *_, name=name: ran.append(name))
        for name, module in small_network.named_modules()
        if name.startswith(("middle_block.", "output_blocks."))
    ]
    with torch.inference_mode():
        small_network.features(*noised_window("small", 64, 50), "mid_0")
    for handle in handles:
        handle.remove()
    assert ran
    assert all(name.startswith("middle_block.0") for name in ran)


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("self_attention_pooling", SelfAttentionPooling()),
        ("global_local_pooling", GlobalLocalPooling()),
        ("segmentation_decoder", SegmentationDecoder()),
        ("fusion_simple_concat", LinearHead(1536, 8)),
        ("fusion_linear_concat", FusedLinearHead(ProjectionFusion(), 1536, 8)),
        ("fusion_cross_attention", FusedLinearHead(CrossAttentionFusion(), 1536, 8)),
        ("fusion_mpae_gating", GatedStackingHead()),
        ("ehr_late_fusion", ClinicalFusionHead()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_heads(name: str, head: torch.nn.Module) -> None:
    head.load_state_dict(state(SHAPES["heads"][name]["keys"]))
    inputs = [tensor(f"{name}/input{n}", shape) for n, shape in enumerate(SHAPES["heads"][name]["inputs"])]
    if name == "ehr_late_fusion":
        inputs[-1] = torch.tensor([0, 3, 7, 19])
    with torch.inference_mode():
        outputs = head.eval()(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    if name == "segmentation_decoder":
        outputs = (outputs[0][:, :, ::4, ::4, ::4],)
    numbers = np.load(NUMBERS / "heads.npz")
    assert len(outputs) == sum(key.startswith(f"{name}/") for key in numbers.files)
    for index, output in enumerate(outputs):
        assert relative_error(output, numbers[f"{name}/output{index}"]) < TOLERANCE


def test_unknown_tensor_names_are_refused() -> None:
    with pytest.raises(ValueError, match="not a tensor of the denoising network"):
        encoder_state({"something.else": torch.zeros(1)})


def test_a_missing_plane_has_no_weight() -> None:
    gate = GatedStackingHead().eval().gate
    logits = tensor("gate/logits", (2, 3, 8))
    with torch.inference_mode():
        weights = gate(logits, torch.tensor([True, False, True]))
        everything = gate(logits, torch.tensor([True, True, True]))
        plain = gate(logits)
    assert torch.all(weights[:, 1] == 0)
    assert torch.allclose(weights.sum(dim=1), torch.ones(2, 8))
    assert torch.equal(everything, plain)
