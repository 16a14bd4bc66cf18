"""Pre-training: it lowers its loss, goes on exactly where it was killed, and many processes agree with one."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from tiny_dataset import write_dataset

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.datasets.cache import CachedStudy, prepare_manifest
from OrthoDiffusionLib.datasets.manifest import read_manifest
from OrthoDiffusionLib.diffusion.schedule import cosine_schedule
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.networks.unet import DenoisingUNet
from OrthoDiffusionLib.training.averaging import AveragedWeights
from OrthoDiffusionLib.training.checkpoints import latest_checkpoint
from OrthoDiffusionLib.training.pretraining import pretrain
from OrthoDiffusionLib.training.pretraining_pictures import noise_predictor
from OrthoDiffusionLib.training.settings import PretrainSettings, load_settings

TINY = {
    "base_channels": 32, "channel_multipliers": [1, 1], "window_size": 16, "steps": 6, "batch": 2, "together": 1,
    "save_every": 2, "sample_every": 0, "ema_start": 2, "ema_every": 1, "ema_decay": 0.9,
    "learning_rate": 1e-3, "precision": "float32",
}  # fmt: skip


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("dataset"))


@pytest.fixture(scope="module")
def studies(dataset: Path) -> list[CachedStudy]:
    return prepare_manifest(read_manifest(dataset), dataset.parent / "cache", 20)


def settings(**changes: object) -> PretrainSettings:
    return PretrainSettings.model_validate({**TINY, **changes})


def fabric() -> Fabric:
    return Fabric(accelerator="cpu", devices=1)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    found = latest_checkpoint(folder)
    assert found is not None
    return {f"{part}/{name}": t for part, tensors in found.parts.items() for name, t in tensors.items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_the_loss_falls(studies: list[CachedStudy], tmp_path: Path) -> None:
    losses: list[float] = []
    longer = settings(steps=24, save_every=24, learning_rate=3e-3)
    pretrain(fabric(), studies, Plane.AXIAL, longer, tmp_path, lambda _, loss: losses.append(loss))
    assert np.mean(losses[-6:]) < 0.9 * np.mean(losses[:6])
    rows = list(csv.reader((tmp_path / "losses.csv").open(encoding="utf-8")))
    assert rows[0] == ["step", "loss"]
    assert [int(row[0]) for row in rows[1:]] == list(range(24))
    assert list((tmp_path / "tensorboard").iterdir())


@pytest.mark.parametrize("changes", [{"precision": "bfloat16"}, {"prediction": "velocity"}, {"recompute": True}])
def test_options_train_too(studies: list[CachedStudy], tmp_path: Path, changes: dict[str, object]) -> None:
    told: list[float] = []
    pretrain(fabric(), studies, Plane.AXIAL, settings(steps=2, **changes), tmp_path, lambda _, x: told.append(x))
    assert np.isfinite(told).all()


def test_recomputed_activations_give_the_same_weights(studies: list[CachedStudy], tmp_path: Path) -> None:
    for name in ("kept", "again"):
        pretrain(fabric(), studies, Plane.AXIAL, settings(steps=2, recompute=name == "again"), tmp_path / name)
    first, second = weights(tmp_path / "kept"), weights(tmp_path / "again")
    assert all(torch.allclose(first[name], second[name], atol=1e-6) for name in first)


def command(dataset: Path, output: Path, *more: str) -> list[str]:
    changes = [f"--set={key}={value}" for key, value in TINY.items()]
    return [
        sys.executable, "-m", "OrthoDiffusionLib.cli.app", "pretrain", "--plane", "axial", "--dataset", str(dataset),
        "--cache", str(dataset.parent / "cache"), "--output", str(output), "--accelerator", "cpu", *changes, *more,
    ]  # fmt: skip


def run(arguments: list[str]) -> None:
    done = subprocess.run(arguments, env=environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def test_killed_and_started_again_it_ends_with_the_same_weights(
    dataset: Path, studies: list[CachedStudy], tmp_path: Path
) -> None:
    """SIGKILL after the first checkpoint, wherever the process is then; SIGTERM afterwards; then to the end."""
    pretrain(fabric(), studies, Plane.AXIAL, settings(steps=20), tmp_path / "whole")
    broken = tmp_path / "broken"
    for number in (signal.SIGKILL, signal.SIGTERM):
        process = subprocess.Popen(
            command(dataset, broken, "--set=steps=20"),
            env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        before = {path.name for path in broken.glob("checkpoint-*")}
        deadline = time.monotonic() + 100
        while {path.name for path in broken.glob("checkpoint-*")} <= before and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == ErrorKind.CANCELLED.exit_code, said
    assert "goes on from there" in said
    run(command(dataset, broken, "--set=steps=20"))
    assert same(weights(tmp_path / "whole"), weights(broken))
    rows = list(csv.reader((broken / "losses.csv").open(encoding="utf-8")))
    assert [int(row[0]) for row in rows[1:]] == list(range(20))


def test_two_processes_agree_with_one(dataset: Path, studies: list[CachedStudy], tmp_path: Path) -> None:
    pretrain(fabric(), studies, Plane.AXIAL, settings(), tmp_path / "one")
    run(command(dataset, tmp_path / "two", "--devices", "2"))
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert one.keys() == two.keys()
    for name in one:
        # Gradients are summed in another order; Adam's first steps turn the sign of a vanishing one into a whole step.
        assert (one[name] - two[name]).abs().mean() < 1e-5, name


def test_a_poisoned_study_stops_and_keeps_the_last_checkpoint(studies: list[CachedStudy], tmp_path: Path) -> None:
    output = tmp_path / "output"
    pretrain(fabric(), studies, Plane.AXIAL, settings(steps=2), output)
    good = weights(output)
    arrays = load_arrays(studies[0].path)
    arrays["axial/0/image"][:] = np.nan
    poisoned = tmp_path / "poisoned.safetensors"
    save_arrays(arrays, poisoned)
    bad = [CachedStudy(**{**vars(studies[0]), "path": poisoned})]
    with pytest.raises(OrthoDiffusionError, match="not a number any more at step 2") as refusal:
        pretrain(fabric(), bad, Plane.AXIAL, settings(), output)
    assert refusal.value.kind is ErrorKind.TRAINING_DIVERGED
    assert same(weights(output), good)


def test_another_training_in_the_folder_is_refused(studies: list[CachedStudy], tmp_path: Path) -> None:
    pretrain(fabric(), studies, Plane.AXIAL, settings(steps=1), tmp_path)
    with pytest.raises(OrthoDiffusionError, match="another plane or other settings"):
        pretrain(fabric(), studies, Plane.AXIAL, settings(seed=5), tmp_path)
    with pytest.raises(OrthoDiffusionError, match="No study has a coronal series"):
        pretrain(fabric(), studies, Plane.CORONAL, settings(), tmp_path / "other")


def test_the_average_lags_behind_as_published() -> None:
    network = torch.nn.Linear(1, 1, bias=False)
    averaged = AveragedWeights(network, decay=0.995, every=10, start=2000)
    with torch.no_grad():
        network.weight.fill_(1.0)
        averaged.update(network, 1990)
        assert averaged.tensors["weight"].item() == 1.0
        network.weight.fill_(2.0)
        averaged.update(network, 2000)
        averaged.update(network, 2001)
        averaged.update(network, 2010)
    assert averaged.tensors["weight"].item() == pytest.approx(2 - 0.995**2)


def test_a_network_of_velocities_tells_the_noise_too() -> None:
    torch.manual_seed(0)
    clean, noise = torch.rand(2, 1, 16, 16, 16) * 2 - 1, torch.randn(2, 1, 16, 16, 16)
    timesteps = torch.tensor([100, 700])
    schedule = cosine_schedule()
    velocity = schedule.noised(noise, timesteps, -clean)
    predict = noise_predictor(lambda x, t: velocity, settings(prediction="velocity"))  # type: ignore[arg-type]
    assert torch.allclose(predict(schedule.noised(clean, timesteps, noise), timesteps), noise, atol=1e-4)


def test_configurations_that_come_with_the_library_are_valid() -> None:
    paper, small = load_settings(PretrainSettings, "paper"), load_settings(PretrainSettings, "small")
    assert paper == PretrainSettings()
    assert sum(p.numel() for p in DenoisingUNet(paper.network).parameters()) == 34_524_545
    assert small.window_size < paper.window_size
    assert load_settings(PretrainSettings, "small", ["steps=7"]).steps == 7
    for change, said in (("stepz=7", "stepz"), ("steps=many", "steps"), ("steps", "key=value")):
        with pytest.raises(OrthoDiffusionError, match=said):
            load_settings(PretrainSettings, "small", [change])
    with pytest.raises(OrthoDiffusionError, match="There is no configuration huge"):
        load_settings(PretrainSettings, "huge")
