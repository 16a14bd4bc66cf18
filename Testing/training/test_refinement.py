"""A refinement's training: what it learns from, that it learns, and what it refuses."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from tiny_dataset import write_dataset

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.datasets.labelled_studies import LabelledStudy, labelled_entries, labelled_phantoms
from OrthoDiffusionLib.datasets.manifest import read_manifest
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.training.refinement_stacks import KeptStudy, kept_studies, networks_digest
from OrthoDiffusionLib.training.refinement_training import refinement_batch, train_refinement
from OrthoDiffusionLib.training.settings import RefinementSettings
from OrthoDiffusionLib.training.trained_plane import PlaneDescription, TrainedPlane, empty_networks
from OrthoDiffusionLib.training.trained_refinement import described_refinement, load_refinement, save_refinement

PLANES = (Plane.AXIAL, Plane.CORONAL)
SETTINGS = RefinementSettings(steps=60, batch=4, crop=16, warm_up=5, learning_rate=5e-3, alone_share=0.5)


def untrained(seed: int) -> dict[Plane, TrainedPlane]:
    planes = {}
    for plane in PLANES:
        torch.manual_seed(seed + plane.pose_id)
        described = PlaneDescription(
            joint="knee", plane=plane, base_channels=32, channel_multipliers=(1, 1, 1, 1), block="mid_0", timestep=50,
            window_size=32, history=("Not trained.",),
        )  # fmt: skip
        planes[plane] = TrainedPlane(described, empty_networks(described, segmentation=True, diagnosis=False).eval())
    return planes


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("refinement"), PLANES)


@pytest.fixture(scope="module")
def kept(dataset: Path) -> list[KeptStudy]:
    studies = labelled_entries(read_manifest(dataset))
    return kept_studies(studies, untrained(0), dataset.parent / "cache", lambda _: None, "cpu")


def test_it_learns_outlines_that_the_networks_do_not_know(kept: list[KeptStudy]) -> None:
    losses: list[float] = []
    trained = train_refinement(kept, "knee", SETTINGS, lambda _, loss: losses.append(loss))
    assert trained.studies + trained.held_out == 8
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])
    assert trained.before < 0.3
    assert trained.after > 0.8
    again = train_refinement(kept, "knee", SETTINGS, lambda *_: None)
    assert again.after == trained.after
    assert all(map(torch.equal, trained.network.state_dict().values(), again.network.state_dict().values()))


def test_parts_are_of_one_size_and_their_labels_lie_on_them(kept: list[KeptStudy]) -> None:
    drawn = refinement_batch(kept, SETTINGS, 3)
    assert drawn.images.shape == (4, 1, 32, 32)
    assert drawn.own.shape == drawn.mean.shape == (4, 12, 16, 16)
    for step in range(20):
        drawn = refinement_batch(kept, SETTINGS, step)
        ball = drawn.labels == 1
        if ball.any() and not ball.all():
            assert drawn.images[:, 0][ball].mean() > drawn.images[:, 0][~ball].mean() + 1


def test_what_was_found_is_kept_for_these_networks_alone(dataset: Path, kept: list[KeptStudy]) -> None:
    def read_again() -> None:
        pytest.fail("a study that is kept was read again")

    studies = [dataclasses.replace(study, series=read_again) for study in labelled_entries(read_manifest(dataset))]
    folder = dataset.parent / "cache"
    assert kept_studies(studies, untrained(0), folder, lambda _: None, "cpu") == kept
    with pytest.raises(pytest.fail.Exception):
        kept_studies(studies, untrained(1), folder, lambda _: None, "cpu")
    kept[0].path.write_bytes(b"broken")
    with pytest.raises(OrthoDiffusionError) as caught:
        kept[0].read(Plane.AXIAL, 0, 1)
    assert caught.value.kind is ErrorKind.UNREADABLE_FILE
    assert kept_studies(labelled_entries(read_manifest(dataset)), untrained(0), folder, lambda _: None, "cpu") == kept


def test_one_patient_is_too_few_and_what_is_no_number_ends_it(kept: list[KeptStudy]) -> None:
    with pytest.raises(OrthoDiffusionError) as caught:
        train_refinement(kept[:2], "knee", SETTINGS, lambda *_: None)
    assert caught.value.kind is ErrorKind.EMPTY_STUDY
    rushed = SETTINGS.model_copy(update={"learning_rate": 1e30, "warm_up": 1})
    with pytest.raises(OrthoDiffusionError) as caught:
        train_refinement(kept, "knee", rushed, lambda *_: None)
    assert caught.value.kind is ErrorKind.TRAINING_DIVERGED


def test_it_belongs_to_the_networks_that_it_learnt_from(kept: list[KeptStudy], tmp_path: Path) -> None:
    trained = train_refinement(kept, "knee", SETTINGS.model_copy(update={"steps": 1}), lambda *_: None)
    save_refinement(tmp_path, described_refinement(trained, "knee", networks_digest(untrained(0)), SETTINGS))
    loaded = load_refinement(tmp_path)
    assert "mean Dice on the refined grid" in loaded.description.history
    loaded.check_belongs_to(untrained(0))
    with pytest.raises(OrthoDiffusionError, match="masks of other networks"):
        loaded.check_belongs_to(untrained(1))
    (tmp_path / "refinement.safetensors").write_bytes(b"")
    with pytest.raises(OrthoDiffusionError) as caught:
        load_refinement(tmp_path)
    assert caught.value.kind is ErrorKind.CHECKPOINT_INVALID


def test_phantoms_of_chance_are_the_same_persons() -> None:
    both: list[LabelledStudy] = labelled_phantoms([3, 4], random_contrast=True)
    assert [study.patient for study in both] == ["phantom-3", "phantom-3", "phantom-4", "phantom-4"]
    assert len({study.key for study in both}) == 4
    assert [study.key for study in labelled_phantoms([3, 4])] == [both[0].key, both[2].key]
