"""Checkpoints of the published form and size, with made-up weights, become bundles; others are refused unread."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.bundles.checkpoint import read_checkpoint
from OrthoDiffusionLib.bundles.opening import open_bundle
from OrthoDiffusionLib.bundles.published import import_published
from OrthoDiffusionLib.bundles.weights import read_weights
from OrthoDiffusionLib.cli.app import app
from OrthoDiffusionLib.diffusion.schedule import cosine_schedule
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.inference.model import load_model
from OrthoDiffusionLib.networks.encoder import encoder_state
from OrthoDiffusionLib.networks.unet import DenoisingUNet
from OrthoDiffusionLib.training.settings import PretrainSettings
from OrthoDiffusionLib.training.whole_networks import whole_network

SHAPES = json.loads((Path(__file__).parents[1] / "data" / "conformance" / "shapes.json").read_text())["keys"][
    "official"
]
State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def network_state() -> State:
    torch.manual_seed(0)
    return {name: torch.randn(shape) * 0.02 for name, shape in SHAPES.items()}


def published(network: State, prefix: str = "denoise_fn.") -> State:
    buffers = {name: torch.from_numpy(values).float() for name, values in cosine_schedule().buffers().items()}
    buffers["posterior_mean_coef3"] = torch.zeros(1000)
    return {**buffers, **{prefix + name: tensor for name, tensor in network.items()}}


def save(path: Path, content: Any, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


def test_full_checkpoint_becomes_a_bundle(network_state: State, tmp_path: Path) -> None:
    state = published(network_state)
    assert len(state) == 257
    wrong = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    optimiser = {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 1e-4, "params": [0]}]}
    content = {"step": 21499, "model": wrong, "ema": state, "opt": optimiser}
    bundle = import_published({Plane.CORONAL: save(tmp_path / "coronal_model.pt", content)}, tmp_path / "bundle")
    recipe = bundle.manifest.planes[Plane.CORONAL]
    assert (recipe.timestep, recipe.block) == (50, "mid_2")
    assert not bundle.manifest.segments(Plane.CORONAL)
    stored = read_weights(bundle, recipe.encoder)
    expected = encoder_state(network_state)
    assert stored.keys() == expected.keys()
    assert all(torch.equal(stored[name], tensor) for name, tensor in expected.items())
    assert sum(tensor.numel() for tensor in stored.values()) == 13_784_576


def test_imported_encoder_gives_the_features_of_the_original(network_state: State, tmp_path: Path) -> None:
    path = save(tmp_path / "axial_model.pt", {"ema": published(network_state)})
    bundle = import_published({Plane.AXIAL: path}, tmp_path / "bundle")
    recipe = bundle.manifest.planes[Plane.AXIAL]
    original = DenoisingUNet()
    original.load_state_dict(network_state)
    imported = load_model(bundle, torch.device("cpu")).planes[Plane.AXIAL].networks
    window = torch.randn(1, 1, 16, 32, 32, generator=torch.Generator().manual_seed(1))
    timesteps = torch.tensor([recipe.timestep])
    with torch.inference_mode():
        expected = original.eval().features(window, timesteps, recipe.block)
        found = imported.encoder.features(window, timesteps, recipe.block)
    assert expected.abs().max() > 0
    assert torch.allclose(found, expected, atol=1e-5)


def test_three_planes_with_their_own_recipes_same_bytes_each_time(network_state: State, tmp_path: Path) -> None:
    files = {}
    for plane in (Plane.CORONAL, Plane.AXIAL, Plane.SAGITTAL):
        state = published({**network_state, "out.2.bias": torch.full((1,), float(plane.pose_id))})
        files[plane] = save(tmp_path / f"{plane.value}_model.pt", {"ema": state})
    bundles = [import_published(files, tmp_path / name) for name in ("first", "second")]
    recipes = bundles[0].manifest.planes
    assert [(plane.value, recipe.timestep, recipe.block) for plane, recipe in recipes.items()] == [
        ("axial", 200, "mid_0"),
        ("sagittal", 150, "mid_0"),
        ("coronal", 50, "mid_2"),
    ]
    assert bundles[0].manifest_sha256 == bundles[1].manifest_sha256
    data_format = bundles[0].manifest.network_data_format
    assert data_format is not None
    assert data_format.outputs["features"].spatial_shape == (1, 16, 16)
    assert data_format.outputs["features"].num_channels == 256


def test_decoder_is_kept_when_asked_for(network_state: State, tmp_path: Path) -> None:
    path = save(tmp_path / "axial_model.pt", {"ema": published(network_state)})
    command = [
        "bundle",
        "import-published",
        "--axial",
        str(path),
        "--output",
        str(tmp_path / "bundle"),
        "--keep-decoder",
    ]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    bundle = open_bundle(tmp_path / "bundle")
    stored = read_weights(bundle, bundle.manifest.planes[Plane.AXIAL].encoder)
    DenoisingUNet().load_state_dict(stored)
    assert all(torch.equal(stored[name], tensor) for name, tensor in network_state.items())
    assert load_model(bundle, torch.device("cpu")).planes.keys() == {Plane.AXIAL}
    network = DenoisingUNet()
    whole_network(str(tmp_path / "bundle"), Plane.AXIAL).fill(network, PretrainSettings())
    assert all(torch.equal(tensor, network_state[name]) for name, tensor in network.state_dict().items())


def test_one_file_for_two_planes_is_refused(network_state: State, tmp_path: Path) -> None:
    path = save(tmp_path / "model.pt", {"ema": published(network_state)})
    with pytest.raises(OrthoDiffusionError) as caught:
        import_published({Plane.AXIAL: path, Plane.CORONAL: path}, tmp_path / "bundle")
    assert caught.value.kind is ErrorKind.CHECKPOINT_INVALID


@pytest.mark.parametrize("prefix", ["denoise_fn.", "denoise_fn.module."])
def test_ema_only_with_either_prefix(network_state: State, tmp_path: Path, prefix: str) -> None:
    path = save(tmp_path / "axial_model.pt", {"ema": published(network_state, prefix)})
    state = read_checkpoint(path)
    assert all(torch.equal(state[name], tensor) for name, tensor in encoder_state(network_state).items())


class Harmful:
    """Writes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.marker,))


WAYS_TO_SAVE: dict[str, Callable[[Path, Any], object]] = {
    "as torch does": save,
    "as old torch did": lambda path, content: save(path, content, _use_new_zipfile_serialization=False),
    "with a newer pickle": lambda path, content: save(path, content, pickle_protocol=4),
    "bare pickle": lambda path, content: path.write_bytes(pickle.dumps(content, protocol=2)),
    "bare newer pickle": lambda path, content: path.write_bytes(pickle.dumps(content, protocol=4)),
    "pickle as text": lambda path, content: path.write_bytes(pickle.dumps(content, protocol=0)),
}


@pytest.mark.parametrize("way", WAYS_TO_SAVE)
def test_code_in_a_checkpoint_is_never_run(tmp_path: Path, way: str) -> None:
    marker, path = tmp_path / "ran", tmp_path / "sagittal_model.pt"
    WAYS_TO_SAVE[way](path, {"ema": {}, "extra": Harmful(marker)})
    with pytest.raises(OrthoDiffusionError) as caught:
        import_published({Plane.SAGITTAL: path}, tmp_path / "bundle")
    assert caught.value.kind in (ErrorKind.BUNDLE_UNSAFE, ErrorKind.CHECKPOINT_INVALID)
    if way in ("as torch does", "with a newer pickle"):
        assert caught.value.kind is ErrorKind.BUNDLE_UNSAFE
    assert not marker.exists()
    assert not (tmp_path / "bundle").exists()


def spoil(state: State, fault: str) -> dict[Any, Any]:
    name = "denoise_fn.input_blocks.0.0.weight"
    changes: dict[str, dict[Any, Any]] = {
        "other shape": {name: torch.zeros(32, 1, 3, 3, 3)},
        "not a number": {name: torch.full((64, 1, 3, 3, 3), float("nan"))},
        "integers": {name: torch.zeros(64, 1, 3, 3, 3, dtype=torch.int8)},
        "sparse": {"betas": state["betas"].to_sparse()},
        "no name": {0: torch.zeros(1)},
        "no tensor": {name: [1.0]},
        "twice": {name.replace("denoise_fn.", "denoise_fn.module."): state[name]},
        "other schedule": {"betas": torch.linspace(1e-4, 0.02, 1000)},
        "stranger": {"denoise_fn.label_emb.weight": torch.zeros(8)},
        "other buffer": {"p2_loss_weight": torch.zeros(1000)},
    }
    spoilt = {**state, **changes.get(fault, {})}
    if fault == "missing":
        del spoilt[name]
    return spoilt


FAULTS = ["other shape", "not a number", "integers", "sparse", "no name", "no tensor", "twice", "other schedule"]
FAULTS += ["stranger", "other buffer", "missing", "no ema", "a list", "truncated", "text", "empty"]


@pytest.mark.parametrize("fault", FAULTS)
def test_other_files_are_refused(network_state: State, tmp_path: Path, fault: str) -> None:
    state = spoil(published(network_state), fault)
    content: Any = [state] if fault == "a list" else {"model" if fault == "no ema" else "ema": state}
    path = save(tmp_path / "axial_model.pt", content)
    if fault == "truncated":
        os.truncate(path, 1_000_000)
    elif fault == "text":
        path.write_text("no weights here")
    elif fault == "empty":
        path.write_bytes(b"")
    with pytest.raises(OrthoDiffusionError) as caught:
        import_published({Plane.AXIAL: path}, tmp_path / "bundle")
    assert caught.value.kind is ErrorKind.CHECKPOINT_INVALID
    assert "axial_model.pt" in caught.value.sentence
    assert str(tmp_path) not in caught.value.sentence
    assert not (tmp_path / "bundle").exists()
