"""Checkpoints of the published form and size, with made-up weights, become bundles; others are refused unread."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.bundles.published import import_published, read_checkpoint
from OrthoDiffusionLib.bundles.weights import read_weights
from OrthoDiffusionLib.diffusion.schedule import cosine_schedule
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.networks.encoder import DenoisingEncoder, encoder_state

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


def save(path: Path, content: Any) -> Path:
    torch.save(content, path)
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
    encoder = DenoisingEncoder()
    encoder.load_state_dict(stored)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 13_784_576


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


def test_code_in_a_checkpoint_is_never_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    path = save(tmp_path / "sagittal_model.pt", {"ema": {}, "extra": Harmful(marker)})
    with pytest.raises(OrthoDiffusionError) as caught:
        import_published({Plane.SAGITTAL: path}, tmp_path / "bundle")
    assert caught.value.kind is ErrorKind.BUNDLE_UNSAFE
    assert not marker.exists()
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    "fault", ["truncated", "no ema", "other shape", "not a number", "other schedule", "missing", "text"]
)
def test_other_files_are_refused(network_state: State, tmp_path: Path, fault: str) -> None:
    state = published(network_state)
    name = "denoise_fn.input_blocks.0.0.weight"
    if fault == "other shape":
        state[name] = torch.zeros(32, 1, 3, 3, 3)
    elif fault == "not a number":
        state[name] = torch.full((64, 1, 3, 3, 3), float("nan"))
    elif fault == "other schedule":
        state["betas"] = torch.linspace(1e-4, 0.02, 1000)
    elif fault == "missing":
        del state[name]
    path = save(tmp_path / "axial_model.pt", {"model" if fault == "no ema" else "ema": state})
    if fault == "truncated":
        path.write_bytes(path.read_bytes()[:1_000_000])
    elif fault == "text":
        path.write_text("no weights here")
    with pytest.raises(OrthoDiffusionError) as caught:
        import_published({Plane.AXIAL: path}, tmp_path / "bundle")
    assert caught.value.kind is ErrorKind.CHECKPOINT_INVALID
    assert not (tmp_path / "bundle").exists()
