"""A pre-training that starts from the weights of another one, or of a bundle, and not from chance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from tiny_dataset import write_dataset

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.bundles.building import write_bundle
from OrthoDiffusionLib.datasets.cache import CachedStudy, prepare_manifest
from OrthoDiffusionLib.datasets.manifest import read_manifest
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.networks.config import UNetConfig
from OrthoDiffusionLib.networks.encoder import encoder_state
from OrthoDiffusionLib.networks.unet import DenoisingUNet
from OrthoDiffusionLib.training.checkpoints import averaged_network, latest_checkpoint
from OrthoDiffusionLib.training.pretraining import pretrain
from OrthoDiffusionLib.training.settings import PretrainSettings
from OrthoDiffusionLib.training.trained_encoders import pretrained_encoder
from OrthoDiffusionLib.training.whole_networks import WholeNetwork, whole_network

SIZES = (32, (1, 1))
UNMOVED = {"steps": 1, "learning_rate": 1e-12}
"""One step that changes no weight by more than rounding."""


def settings(**changes: Any) -> PretrainSettings:
    tiny = {"base_channels": 32, "channel_multipliers": (1, 1), "window_size": 16, "batch": 2, "together": 1}
    tiny |= {"steps": 2, "save_every": 1, "sample_every": 0, "ema_start": 0, "precision": "float32"}
    return PretrainSettings.model_validate({**tiny, **changes})


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., None]:
    folder = tmp_path_factory.mktemp("dataset")
    studies: list[CachedStudy] = prepare_manifest(read_manifest(write_dataset(folder)), folder / "cache", 20)

    def train(output: Path, start: WholeNetwork | None = None, **changes: Any) -> None:
        fabric = Fabric(accelerator="cpu", devices=1)
        pretrain(fabric, studies, Plane.AXIAL, settings(**changes), output, start=start)

    return train


def bundle_of(folder: Path, tensors: dict[str, torch.Tensor]) -> str:
    joint, file = load_joint("knee"), "models/axial.safetensors"
    description: dict[str, Any] = {
        "name": "whole", "version": "1", "title": "Whole", "intended_use": "Tests.", "license": "MIT",
        "monai_version": "1", "joint": "knee", "structures": joint.structures, "findings": joint.findings,
        "network": {"base_channels": SIZES[0], "channel_multipliers": SIZES[1], "window_slices": 16, "window_size": 32},
        "planes": {"axial": {"timestep": 50, "block": "mid_0", "encoder": file, "encoder_training": "None."}},
        "training_data": {"description": "", "studies": 0, "synthetic": True, "seeds": "", "known_limits": []},
        "lineage": {"created_by": "a test", "created_on": "", "source": "random"},
    }  # fmt: skip
    write_bundle(folder, description, {file: tensors}, "# Whole\n", "MIT\n")
    return str(folder)


def first_weights(folder: Path) -> dict[str, torch.Tensor]:
    checkpoint = latest_checkpoint(folder)
    assert checkpoint is not None
    return dict(checkpoint.parts["weights"])


def refused(action: Callable[[], object]) -> tuple[ErrorKind, str]:
    with pytest.raises(OrthoDiffusionError) as caught:
        action()
    return caught.value.kind, str(caught.value)


def test_it_starts_from_a_bundle_that_holds_the_decoder(train: Callable[..., None], tmp_path: Path) -> None:
    torch.manual_seed(5)
    published = DenoisingUNet(UNetConfig(*SIZES)).state_dict()
    start = whole_network(bundle_of(tmp_path / "bundle", published), Plane.AXIAL)
    train(tmp_path / "out", start, **UNMOVED)
    found = first_weights(tmp_path / "out")
    assert all(torch.allclose(found[name], tensor, atol=1e-9) for name, tensor in published.items())
    train(tmp_path / "steered", start, self_conditioning=True, **UNMOVED)
    found = first_weights(tmp_path / "steered")
    assert all(torch.allclose(found[name], tensor, atol=1e-9) for name, tensor in published.items())
    encoder = pretrained_encoder(tmp_path / "out", Plane.AXIAL)
    assert "of 2 windows, from bundle whole 1 (axial), sha256 " in encoder.source
    alone = bundle_of(tmp_path / "alone", encoder_state(published))
    kind, said = refused(lambda: whole_network(alone, Plane.AXIAL))
    assert kind is ErrorKind.CHECKPOINT_INVALID and "--keep-decoder" in said
    assert refused(lambda: whole_network(alone, Plane.SAGITTAL))[0] is ErrorKind.WRONG_PLANE


def test_it_starts_from_another_pretraining_and_goes_on_as_one_training(
    train: Callable[..., None], tmp_path: Path
) -> None:
    train(tmp_path / "former", prediction="velocity", seed=3)
    start = whole_network(str(tmp_path / "former"), Plane.AXIAL)
    train(tmp_path / "one", start, prediction="velocity", **UNMOVED)
    averaged, _ = averaged_network(tmp_path / "former")
    found = first_weights(tmp_path / "one")
    assert all(torch.allclose(found[name], tensor, atol=1e-9) for name, tensor in averaged.items())
    train(tmp_path / "whole", start, prediction="velocity", steps=3)
    for steps in (1, 3):
        train(tmp_path / "parts", start, prediction="velocity", steps=steps)
    whole, parts = first_weights(tmp_path / "whole"), first_weights(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    for other in (None, start._replace(source="another")):
        kind, said = refused(lambda other=other: train(tmp_path / "parts", other, prediction="velocity", steps=4))
        assert kind is ErrorKind.BAD_SETTINGS and "another start" in said


@pytest.mark.parametrize(
    ("changes", "needed"),
    [
        ({"base_channels": 64}, "Set base_channels: 32 and channel_multipliers: [1, 1]"),
        ({"prediction": "velocity"}, "Set prediction: noise"),
        ({}, "Set self_conditioning: true"),
    ],
)
def test_another_network_is_refused_before_a_step(
    train: Callable[..., None], tmp_path: Path, changes: dict[str, Any], needed: str
) -> None:
    steered = DenoisingUNet(UNetConfig(*SIZES, self_conditioning=True)).state_dict()
    start = WholeNetwork(steered, SIZES, "noise", "a test", 16)
    kind, said = refused(lambda: train(tmp_path / "out", start, **changes))
    assert kind is ErrorKind.BAD_SETTINGS and needed in said
    assert latest_checkpoint(tmp_path / "out") is None
