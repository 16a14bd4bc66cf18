"""Pre-training: it lowers its loss, goes on exactly where it was killed, and many processes agree with one."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from pydantic import BaseModel, ValidationError
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from tiny_dataset import write_dataset
from torch.nn import functional

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.datasets.cache import CachedStudy, prepare_manifest
from OrthoDiffusionLib.datasets.manifest import read_manifest
from OrthoDiffusionLib.diffusion.schedule import cosine_schedule
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.networks.config import UNetConfig
from OrthoDiffusionLib.networks.encoder import DenoisingEncoder, encoder_state
from OrthoDiffusionLib.networks.unet import DenoisingUNet
from OrthoDiffusionLib.resources import resources_folder
from OrthoDiffusionLib.training.averaging import AveragedWeights
from OrthoDiffusionLib.training.checkpoints import latest_checkpoint
from OrthoDiffusionLib.training.configurations import load_card, load_settings
from OrthoDiffusionLib.training.contrastive_loss import contrastive_losses
from OrthoDiffusionLib.training.exporting import BundleCard
from OrthoDiffusionLib.training.pretraining import pretrain
from OrthoDiffusionLib.training.pretraining_batches import PretrainBatch, pretraining_batch
from OrthoDiffusionLib.training.pretraining_step import train_step
from OrthoDiffusionLib.training.processes import training_fabric
from OrthoDiffusionLib.training.projection_heads import projector_of
from OrthoDiffusionLib.training.settings import PretrainSettings, SegmentationSettings
from OrthoDiffusionLib.training.trained_encoders import pretrained_encoder
from OrthoDiffusionLib.training.whole_networks import whole_network

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


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """As the commands of these tests: a sum shared among threads rounds otherwise, and Adam makes steps of that."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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


def test_a_step_sees_a_part_of_the_window_that_it_would_see(studies: list[CachedStudy]) -> None:
    corners = set()
    for step in range(6):
        whole, part = (
            pretraining_batch(studies, Plane.AXIAL, settings(crop=crop), step, [0]).windows[0, 0] for crop in (0, 8)
        )
        assert part.shape == (16, 8, 8)
        places = whole.unfold(1, 8, 1).unfold(2, 8, 1).permute(1, 2, 0, 3, 4)
        (corner,) = (places == part).all(dim=(2, 3, 4)).nonzero().tolist()
        corners.add(tuple(corner))
    assert len(corners) >= 4


@pytest.mark.parametrize(
    "changes", [{"crop": 7}, {"crop": 32}, {"crop": 8, "self_conditioning": True, "distillation": 0.5}]
)
def test_parts_that_cannot_be_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=r"crop|whole windows"):
        settings(**changes)


def test_the_loss_falls(studies: list[CachedStudy], tmp_path: Path) -> None:
    losses: list[float] = []
    longer = settings(steps=16, save_every=16, learning_rate=3e-3)
    pretrain(fabric(), studies, Plane.AXIAL, longer, tmp_path, lambda _, loss: losses.append(loss))
    assert np.mean(losses[-4:]) < 0.9 * np.mean(losses[:4])
    rows = list(csv.reader((tmp_path / "losses.csv").open(encoding="utf-8")))
    assert rows[0] == ["step", "loss"]
    assert [int(row[0]) for row in rows[1:]] == list(range(16))
    assert list((tmp_path / "tensorboard").iterdir())


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "bfloat16"},
        {"prediction": "velocity"},
        {"recompute": True, "precision": "bfloat16"},
        {"self_conditioning": True},
        {"crop": 8},
    ],
)
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


def stopped_after_a_checkpoint(arguments: list[str], output: Path, number: int) -> tuple[int, str]:
    """Start a command, send its first process a signal after its next checkpoint; exit code and what it said."""
    before = {path.name for path in output.glob("checkpoint-*")}
    process = subprocess.Popen(
        arguments, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 100
    while {path.name for path in output.glob("checkpoint-*")} <= before and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    return process.returncode, said


def test_killed_and_started_again_it_ends_with_the_same_weights(
    dataset: Path, studies: list[CachedStudy], tmp_path: Path
) -> None:
    """SIGKILL after the first checkpoint, wherever the process is then; then to the end."""
    pretrain(fabric(), studies, Plane.AXIAL, settings(steps=12), tmp_path / "whole")
    broken = tmp_path / "broken"
    code, _ = stopped_after_a_checkpoint(command(dataset, broken, "--set=steps=12"), broken, signal.SIGKILL)
    assert code == -signal.SIGKILL
    run(command(dataset, broken, "--set=steps=12"))
    assert same(weights(tmp_path / "whole"), weights(broken))
    assert len(losses(broken)) == 12


def losses(folder: Path, name: str = "loss") -> list[float]:
    rows = list(csv.DictReader((folder / "losses.csv").open(encoding="utf-8")))
    assert [int(row["step"]) for row in rows] == list(range(len(rows)))
    return [float(row[name]) for row in rows]


def test_two_processes_agree_with_one(dataset: Path, studies: list[CachedStudy], tmp_path: Path) -> None:
    """Two with the whole network each; they go on as two with a part of it each, of which one is asked to end."""
    one, two = tmp_path / "one", tmp_path / "two"
    pretrain(fabric(), studies, Plane.AXIAL, settings(steps=2), one)
    arguments = command(dataset, two, "--devices", "2")
    run([*arguments, "--set=steps=2"])
    first, second = weights(one), weights(two)
    assert first.keys() == second.keys()
    for name in first:
        assert (first[name] - second[name]).abs().mean() < 1e-6, name
    pretrain(fabric(), studies, Plane.AXIAL, settings(steps=12), one)
    parts = [*arguments, "--set=steps=12", "--strategy", "fsdp"]
    code, said = stopped_after_a_checkpoint(parts, two, signal.SIGTERM)
    assert code == ErrorKind.CANCELLED.exit_code, said
    assert said.count("goes on from there") == 1
    # Weights would not do: Adam turns the sign of a gradient that vanishes, as those of biases before a normalisation
    # of one channel, into a whole step.
    reached = losses(two)
    assert len(reached) > 2
    assert np.allclose(reached, losses(one)[: len(reached)], atol=1e-3)
    assert latest_checkpoint(two).step == len(reached)  # type: ignore[union-attr]
    assert weights(two).keys() == first.keys()


def test_machines_that_do_not_share_the_output_are_refused_at_once(
    dataset: Path, studies: list[CachedStudy], tmp_path: Path
) -> None:
    """Of two, one has a checkpoint to go on from; they waited for each other for two hours."""
    pretrain(fabric(), studies, Plane.AXIAL, settings(steps=2), tmp_path / "0")
    before = weights(tmp_path / "0")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(taken.getsockname()[1])}
    nodes = [
        subprocess.Popen(
            command(dataset, tmp_path / str(rank), "--nodes", "2"),
            env={**environment(), **place, "NODE_RANK": str(rank)}, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    try:
        said = [node.communicate(timeout=400)[1] for node in nodes]
    finally:
        for node in nodes:
            node.kill()
    assert [node.returncode for node in nodes] == [ErrorKind.BAD_SETTINGS.exit_code, 0]
    assert ["do not see the same checkpoint" in text for text in said] == [True, False]
    assert same(weights(tmp_path / "0"), before)


BEYOND_THE_PAPER = {"self_conditioning": True, "distillation": 0.5, "batch": 4, "together": 2}


def test_distillation_goes_on_exactly_where_it_was_interrupted(studies: list[CachedStudy], tmp_path: Path) -> None:
    def interrupted(step: int, loss: float) -> None:
        if step == 4:
            raise KeyboardInterrupt

    pretrain(fabric(), studies, Plane.AXIAL, settings(**BEYOND_THE_PAPER), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        pretrain(fabric(), studies, Plane.AXIAL, settings(**BEYOND_THE_PAPER), tmp_path / "broken", interrupted)
    found = latest_checkpoint(tmp_path / "broken")
    assert found is not None
    assert found.step == 4
    pretrain(fabric(), studies, Plane.AXIAL, settings(**BEYOND_THE_PAPER), tmp_path / "broken")
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "broken"))
    for name in ("loss", "denoising", "distillation"):
        assert losses(tmp_path / "whole", name) == losses(tmp_path / "broken", name)
    plain = DenoisingEncoder(settings().network).state_dict()
    assert pretrained_encoder(tmp_path / "whole", Plane.AXIAL).encoder.state_dict().keys() == plain.keys()


def with_stripes_of_their_own(studies: list[CachedStudy], folder: Path) -> list[CachedStudy]:
    """Studies whose slices are as bright as a patient's own pattern says, which no turning and noising hides."""
    generator = np.random.default_rng(0)
    striped = []
    for study in studies:
        arrays = load_arrays(study.path)
        image = arrays["axial/0/image"]
        image[:] = 300 * generator.uniform(size=(len(image), 1, 1)) + generator.normal(0, 10, image.shape)
        save_arrays(arrays, folder / study.path.name)
        striped.append(CachedStudy(**{**vars(study), "path": folder / study.path.name}))
    return striped


@torch.no_grad()
def spread_of_projections(folder: Path, batch: PretrainBatch, config: UNetConfig) -> float:
    """Of the teacher's projections of different windows at one timestep: 0 where all are alike, about 1 at random."""
    found = latest_checkpoint(folder)
    assert found is not None
    encoder, projector = DenoisingEncoder(config), projector_of(config.middle_channels)
    encoder.load_state_dict(encoder_state(found.parts["averaged"]))
    projector.load_state_dict(found.parts["averaged_projector"])
    timesteps = torch.full((len(batch.windows),), 100)
    x_t = cosine_schedule().noised(batch.windows, timesteps, batch.noise)
    unit = functional.normalize(projector(encoder.features(x_t, timesteps, "mid_2").mean(dim=(2, 3, 4))), dim=1)
    return float(unit.std(dim=0).mean() * unit.shape[1] ** 0.5)


def test_distillation_lowers_its_loss_and_does_not_collapse(studies: list[CachedStudy], tmp_path: Path) -> None:
    """With MoCo's queue in place of the step's windows the spread fell to 0.01 here."""
    striped = with_stripes_of_their_own(studies, tmp_path)
    chosen = settings(**{**BEYOND_THE_PAPER, "distillation": 1.0, "steps": 30, "save_every": 30, "together": 4})
    pretrain(fabric(), striped, Plane.AXIAL, chosen.model_copy(update={"steps": 1}), tmp_path / "start")
    pretrain(fabric(), striped, Plane.AXIAL, chosen, tmp_path / "end")
    seen = pretraining_batch(striped, Plane.AXIAL, chosen, 10**6, range(16))
    start, end = (spread_of_projections(tmp_path / name, seen, chosen.network) for name in ("start", "end"))
    assert start < 0.2
    assert end > 0.4
    for name in ("denoising", "distillation"):
        told = losses(tmp_path / "end", name)
        assert np.mean(told[-8:]) < 0.8 * np.mean(told[:8]), name


def test_two_processes_distil_as_one(dataset: Path, studies: list[CachedStudy], tmp_path: Path) -> None:
    """Each sees half of the windows, and tells them from those of both."""
    one, two = tmp_path / "one", tmp_path / "two"
    pretrain(fabric(), studies, Plane.AXIAL, settings(**BEYOND_THE_PAPER, steps=2), one)
    changes = [f"--set={name}={value}" for name, value in {**BEYOND_THE_PAPER, "steps": 2}.items()]
    run([*command(dataset, two, "--devices", "2"), *changes])
    first, second = weights(one), weights(two)
    assert first.keys() == second.keys()
    for name in first:
        assert (first[name] - second[name]).abs().mean() < 1e-5, name
    for name in ("loss", "denoising", "distillation"):
        assert np.allclose(losses(one, name), losses(two, name), atol=1e-5)


def test_distillation_changes_nothing_of_what_the_network_sees(studies: list[CachedStudy]) -> None:
    plain = pretraining_batch(studies, Plane.AXIAL, settings(), 3, range(4))
    taught = pretraining_batch(studies, Plane.AXIAL, settings(**BEYOND_THE_PAPER), 3, range(4))
    assert plain.teacher is None
    for first, second in zip(plain[:4], taught[:4], strict=True):
        assert torch.equal(first, second)
    assert taught.teacher is not None
    assert taught.teacher.windows.shape == taught.windows.shape
    assert not torch.allclose(taught.teacher.windows, taught.windows, atol=0.1)


def test_windows_of_the_same_patient_are_not_told_apart() -> None:
    keys = torch.eye(4)
    patients = torch.tensor([1, 1, 2, 3])
    alike = contrastive_losses(torch.ones(1, 4), torch.tensor([0]), keys, patients)
    assert alike.item() == pytest.approx(np.log(3))
    found = contrastive_losses(keys, torch.arange(4), keys, patients)
    wrong = contrastive_losses(keys.roll(1, dims=0), torch.arange(4), keys, patients)
    assert found.max() < 0.03 < 1 < wrong.min()


def test_a_poisoned_study_stops_and_keeps_the_last_checkpoint(studies: list[CachedStudy], tmp_path: Path) -> None:
    output = tmp_path / "output"
    pretrain(fabric(), studies[:1], Plane.AXIAL, settings(steps=2), output)
    good = weights(output)
    arrays = load_arrays(studies[0].path)
    arrays["axial/0/image"][:] = np.nan
    poisoned = tmp_path / studies[0].path.name
    save_arrays(arrays, poisoned)
    bad = [CachedStudy(**{**vars(studies[0]), "path": poisoned})]
    with pytest.raises(
        OrthoDiffusionError, match="stopped at step 2: the images of study study-0 hold values that are not finite"
    ) as refusal:
        pretrain(fabric(), bad, Plane.AXIAL, settings(), output)
    assert refusal.value.kind is ErrorKind.TRAINING_DIVERGED
    said = "Correct study study-0 or take it out of the dataset; the checkpoint of 2 steps is kept."
    assert refusal.value.action == said
    assert same(weights(output), good)
    among_others = [*bad, *studies[1:3]]
    with pytest.raises(OrthoDiffusionError, match="images of study study-0 hold") as refusal:
        pretrain(fabric(), among_others, Plane.AXIAL, settings(steps=20, save_every=20), tmp_path / "none")
    assert refusal.value.action.endswith("; no checkpoint was saved before.")


def test_a_training_that_diverges_names_the_whole_studies_that_it_saw(
    studies: list[CachedStudy], tmp_path: Path
) -> None:
    with pytest.raises(OrthoDiffusionError, match="the loss or a gradient is not finite, though") as refusal:
        pretrain(fabric(), studies[2:4], Plane.AXIAL, settings(learning_rate=1e30, batch=8), tmp_path)
    assert refusal.value.sentence.endswith("though the images of studies study-2, study-3 are.")
    assert refusal.value.action.startswith("Look at these images, or start again with a lower learning rate; no")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("gpu", "auto"), "no accelerator “gpu”. Choose cpu, cuda, auto"), (("cpu", "foo"), "no strategy “foo”")],
)
def test_devices_that_are_not_known_are_refused(arguments: tuple[str, str], said: str) -> None:
    accelerator, strategy = arguments
    with pytest.raises(OrthoDiffusionError, match=said) as refusal:
        training_fabric(accelerator, 1, 1, strategy)
    assert refusal.value.kind is ErrorKind.USAGE


def test_a_batch_that_processes_cannot_share_is_refused_before_studies_are_prepared(
    dataset: Path, tmp_path: Path
) -> None:
    arguments = command(dataset, tmp_path / "output", "--devices", "3", "--nodes", "2")
    done = subprocess.run(arguments, env=environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == ErrorKind.BAD_SETTINGS.exit_code
    assert "such as --set batch=6." in " ".join(done.stderr.split())
    assert not (tmp_path / "output").exists()


def test_two_processes_leave_out_the_same_studies(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path)
    (tmp_path / "3-axial-image.nii.gz").write_bytes(b"no NIfTI")
    (tmp_path / "5-axial-image.nii.gz").write_bytes(b"no NIfTI")
    arguments = command(dataset, tmp_path / "output", "--devices", "2", "--set=steps=1")
    done = subprocess.run(arguments, env=environment(), capture_output=True, text=True, timeout=200)
    assert done.returncode == ErrorKind.UNUSABLE_STUDIES.exit_code, done.stderr
    assert "2 of 8 studies cannot be used" in done.stderr
    arguments.append("--skip-unusable")
    done = subprocess.run(arguments, env=environment(), capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("2 studies of the dataset are left out") == 1
    assert len(losses(tmp_path / "output")) == 1


def test_a_gradient_that_is_no_number_changes_no_weight(studies: list[CachedStudy], tmp_path: Path) -> None:
    network, parts = torch.nn.Linear(1, 1), [pretraining_batch(studies, Plane.AXIAL, settings(), 0, range(2))]
    # The root's slope at nothing is infinite, and nothing times infinity no number; the loss itself is finite.
    network.forward = lambda noised, timesteps: (network.weight * 0).abs().sqrt() * noised  # type: ignore[assignment]
    module, optimiser = fabric().setup(network, torch.optim.Adam(network.parameters()))
    before = network.weight.clone()
    with pytest.raises(OrthoDiffusionError, match="at step 7") as refusal:
        train_step(fabric(), module, optimiser, parts, settings(), 7)
    assert refusal.value.kind is ErrorKind.TRAINING_DIVERGED
    assert torch.equal(network.weight, before)


def test_another_training_in_the_folder_is_refused(studies: list[CachedStudy], tmp_path: Path) -> None:
    pretrain(fabric(), studies, Plane.AXIAL, settings(steps=1), tmp_path)
    with pytest.raises(OrthoDiffusionError, match="another plane, other studies, other settings or another start"):
        pretrain(fabric(), studies, Plane.AXIAL, settings(seed=5), tmp_path)
    with pytest.raises(OrthoDiffusionError, match="other studies"):
        pretrain(fabric(), studies[1:], Plane.AXIAL, settings(), tmp_path)
    state = max(tmp_path.glob("checkpoint-*")) / "state.json"
    told = json.loads(state.read_text(encoding="utf-8"))
    state.write_text(json.dumps({**told, "settings": {**told["settings"], "of_the_future": 1}}), encoding="utf-8")
    for refused in (
        lambda: pretrain(fabric(), studies, Plane.AXIAL, settings(), tmp_path),
        lambda: pretrained_encoder(tmp_path, Plane.AXIAL),
        lambda: whole_network(str(tmp_path), Plane.AXIAL),
    ):
        with pytest.raises(OrthoDiffusionError, match="another version of OrthoDiffusion"):
            refused()
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


def test_configurations_that_come_with_the_library_are_valid() -> None:
    paper, small = load_settings(PretrainSettings, "paper"), load_settings(PretrainSettings, "small")
    assert paper == PretrainSettings()
    assert sum(p.numel() for p in DenoisingUNet(paper.network).parameters()) == 34_524_545
    assert small.window_size < paper.window_size
    assert load_settings(PretrainSettings, "small", ["steps=7"]).steps == 7
    with pytest.raises(OrthoDiffusionError, match=r"There is no configuration huge.*one of paper, small"):
        load_settings(PretrainSettings, "huge")


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        (PretrainSettings, "stepz=7", "stepz is nothing that this configuration can say."),
        (PretrainSettings, "steps=many", "steps: Input should be a valid integer"),
        (PretrainSettings, "steps", "“steps” is not key=value."),
        (PretrainSettings, "steps=[", "line 1 of “steps=\\[” is no YAML."),
        (PretrainSettings, "distillation=1", "Correct it: distillation needs self_conditioning"),
        (SegmentationSettings, "crop=64", "Correct it: crop and crop_share go together"),
    ],
)
def test_what_a_configuration_cannot_say_is_told(kind: type[BaseModel], change: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("seed: 1\n", encoding="utf-8")
    with pytest.raises(OrthoDiffusionError, match=said):
        load_settings(kind, str(tmp_path / "own.yaml"), [change])


def test_a_file_that_is_no_configuration_or_no_card_is_told(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    for content, said in (("- 1\n", "lines like “key: value”"), ("a: 1\nb: [\n", "line 3 of the file is no YAML")):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(OrthoDiffusionError, match=said):
            load_settings(PretrainSettings, str(path))
    with pytest.raises(OrthoDiffusionError, match=r"There is no card .*demonstration-card.yaml is one to copy"):
        load_card(BundleCard, tmp_path / "missing.yaml")
    path.write_text("name: only\n", encoding="utf-8")
    with pytest.raises(OrthoDiffusionError, match=r"The card is not valid. Correct it: version: Field required"):
        load_card(BundleCard, path)


@pytest.mark.parametrize(
    "path",
    [path for path in sorted((resources_folder() / "Training").glob("*.yaml")) if not path.stem.endswith("card")],
    ids=lambda path: path.stem,
)
def test_every_number_of_a_configuration_is_explained(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    keys = [number for number, line in enumerate(lines) if re.match(r"\w+:", line)]
    bare = [lines[number] for number in keys if not lines[number - 1].startswith("#")]
    assert keys and not bare
