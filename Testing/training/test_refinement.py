"""A refinement's training: what it learns from, that it learns, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from tiny_bundle import DIAGNOSES, SEGMENTS, write_tiny_bundle
from tiny_dataset import SHAPE, write_dataset
from typer.testing import CliRunner

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.bundles.building import write_bundle
from OrthoDiffusionLib.bundles.opening import Bundle, open_bundle
from OrthoDiffusionLib.bundles.registry import MANIFEST_FILE
from OrthoDiffusionLib.bundles.weights import read_weights
from OrthoDiffusionLib.cli.app import app
from OrthoDiffusionLib.cli.left_out import LeftOut
from OrthoDiffusionLib.datasets.labelled_studies import LabelledStudy, labelled_entries, labelled_phantoms
from OrthoDiffusionLib.datasets.manifest import read_manifest
from OrthoDiffusionLib.datasets.named_study import named_study
from OrthoDiffusionLib.datasets.stacks import LabelledSeries
from OrthoDiffusionLib.datasets.unusable import UnusableStudy
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.inference.model import load_model
from OrthoDiffusionLib.inference.refining import detail_images
from OrthoDiffusionLib.networks.refinement import FACTOR, RefinementNetwork
from OrthoDiffusionLib.training.exporting import REFINEMENT_FILE, RefinementCard
from OrthoDiffusionLib.training.refinement_files import KeptStudy
from OrthoDiffusionLib.training.refinement_passes import with_first_pass
from OrthoDiffusionLib.training.refinement_preparing import kept_studies
from OrthoDiffusionLib.training.refinement_stacks import (
    detailed_planes,
    labels_by_area,
    networks_digest,
    plane_model,
)
from OrthoDiffusionLib.training.refinement_training import TrainedNetwork, refinement_batch, train_refinement
from OrthoDiffusionLib.training.settings import RefinementSettings
from OrthoDiffusionLib.training.starting_points import planes_of_bundle
from OrthoDiffusionLib.training.trained_plane import PlaneDescription, TrainedPlane, empty_networks, save_plane
from OrthoDiffusionLib.training.trained_refinement import (
    RefinementDescription,
    TrainedRefinement,
    described_refinement,
    load_refinement,
    refinement_of,
    save_refinement,
)

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


def test_it_learns_outlines_that_the_networks_do_not_know(kept: list[KeptStudy], tmp_path: Path) -> None:
    losses: list[float] = []
    told: list[str] = []
    (tmp_path / "first" / "first-pass").mkdir(parents=True)
    (tmp_path / "first" / "first-pass" / "0.safetensors").write_text("of a training whose checkpoint is gone")
    trained = train_refinement(
        kept,
        "knee",
        SETTINGS,
        lambda _, loss: losses.append(loss),
        tmp_path / "first",
        lambda stage, _: told.append(stage),
    )
    assert set(told) == {"Second pass", "Validation"}
    assert trained.studies + trained.held_out == 8
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])
    assert trained.before < 0.3
    assert trained.after > 0.8
    again = train_refinement(kept, "knee", SETTINGS, lambda *_: None, tmp_path / "again")
    assert again.after == trained.after
    assert same(trained.network, again.network)


def same(one: RefinementNetwork, other: RefinementNetwork) -> bool:
    return all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))


def test_interrupted_it_goes_on_exactly_where_it_was(kept: list[KeptStudy], tmp_path: Path) -> None:
    """Stopped before the second pass, killed within it, and killed after it."""
    settings = SETTINGS.model_copy(update={"steps": 20, "first_pass_share": 0.5, "save_every": 4, "optimiser": "muon"})
    whole = train_refinement(kept, "knee", settings, lambda *_: None, tmp_path / "whole")
    begun_at: list[int] = []

    def go_on(report: Callable[[int, float], None], tell: Callable[[str, float], None] = lambda *_: None) -> None:
        steps: list[int] = []

        def told(step: int, loss: float) -> None:
            steps.append(step)
            report(step, loss)

        try:
            train_refinement(kept, "knee", settings, told, tmp_path / "broken", tell)
        finally:
            begun_at.extend(steps[:1])

    def asked_to_end(step: int, _: float) -> None:
        if step == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    def killed(step: int, _: float) -> None:
        if step == 17:
            raise KeyboardInterrupt

    def killed_between(stage: str, share: float) -> None:
        if stage == "Second pass" and share > 0.4:
            raise KeyboardInterrupt

    with pytest.raises(OrthoDiffusionError, match="stopped after 7 steps; the checkpoint is kept"):
        go_on(asked_to_end)
    with pytest.raises(KeyboardInterrupt):
        go_on(lambda *_: None, killed_between)
    with pytest.raises(OrthoDiffusionError, match="stopped after 10 steps; the checkpoint is kept"):
        go_on(lambda *_: None, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    found = len(list((tmp_path / "broken" / "first-pass").iterdir()))
    assert 0 < found < whole.studies
    with pytest.raises(KeyboardInterrupt):
        go_on(killed)
    passes: list[float] = []
    again = train_refinement(
        kept,
        "knee",
        settings.model_copy(update={"save_every": 3}),
        lambda step, _: begun_at.append(step),
        tmp_path / "broken",
        lambda stage, share: passes.append(share) if stage == "Second pass" else None,
    )
    assert begun_at[:4] == [0, 7, 10, 16]
    assert not passes
    assert same(again.network, whole.network)
    with pytest.raises(OrthoDiffusionError, match="unfinished training with another start"):
        train_refinement(kept[1:], "knee", settings, lambda *_: None, tmp_path / "broken")


def test_parts_are_of_one_size_and_their_labels_lie_on_them(kept: list[KeptStudy]) -> None:
    drawn = refinement_batch(kept, SETTINGS, 3)
    assert drawn.images.shape == (4, 3, 32, 32)
    assert drawn.own.shape == (4, 12, 16, 16)
    assert drawn.mean.shape == (4, 3, 12, 16, 16)
    assert drawn.labels.shape == (4, 32, 32)
    for step in range(20):
        drawn = refinement_batch(kept, SETTINGS, step)
        ball = drawn.labels == 1
        if ball.any() and not ball.all():
            assert drawn.images[:, 1][ball].mean() > drawn.images[:, 1][~ball].mean() + 1


def test_what_a_first_pass_finds_is_averaged_over_the_planes(kept: list[KeptStudy], tmp_path: Path) -> None:
    """This network finds class 1 wherever it looks."""
    network = RefinementNetwork(12)
    with torch.no_grad():
        network.leave.bias[FACTOR**2 : 2 * FACTOR**2] = 20.0
    shares: list[float] = []
    (again, *others) = with_first_pass(network, kept, (), tmp_path, shares.append)
    assert shares == [number / len(kept) for number in range(len(kept))]
    assert len(others) == len(kept) - 1
    assert network.training
    for plane, numbers in again.slices.items():
        before, after = again.read(plane, numbers[0]), again.read(plane, numbers[0], "first_pass")
        assert after.mean.shape == before.mean.shape
        assert torch.equal(after.images, before.images)
        assert torch.allclose(after.mean.sum(dim=2), torch.ones(()), atol=0.01)
        assert after.mean[:, 1, 1].mean() > 0.9 > before.mean[:, 1, 1].mean()


def test_parts_are_drawn_around_what_they_show(kept: list[KeptStudy]) -> None:
    around = SETTINGS.model_copy(update={"around_share": 1.0})
    masked = [dataclasses.replace(study, slices=_with_structures(study)) for study in kept]
    for step in range(10):
        assert bool((refinement_batch(masked, around, step).labels > 0).flatten(1).any(dim=1).all())


def _with_structures(study: KeptStudy) -> dict[Plane, tuple[int, ...]]:
    return {
        plane: tuple(torch.nonzero((one.labels > 0).flatten(1).any(dim=1)).flatten().tolist())
        for plane, one in study.planes().items()
    }


def test_slices_are_read_between_their_neighbours(kept: list[KeptStudy]) -> None:
    study = kept[0]
    for plane, one in study.planes().items():
        assert set(study.slices[plane]) >= set(_with_structures(study)[plane])
        last = len(one.images) - 1
        for number in (0, 1, last):
            read = study.read(plane, number)
            near = [max(number - 1, 0), number, min(number + 1, last)]
            assert torch.equal(read.images[0], one.images[near])
            assert torch.equal(read.mean[0], one.mean[near])
            assert torch.equal(read.own[0], one.own[number])
            assert torch.equal(study.read(plane, number, "own").mean[0], one.own[near])
            assert torch.equal(read.labels[0], one.labels[number])


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
        kept[0].read(Plane.AXIAL, 0)
    assert caught.value.kind is ErrorKind.UNREADABLE_FILE
    assert kept_studies(labelled_entries(read_manifest(dataset)), untrained(0), folder, lambda _: None, "cpu") == kept


def test_processes_make_the_same_files(dataset: Path, tmp_path: Path) -> None:
    """With as many threads each, for a sum that more of them share rounds otherwise."""
    told: list[float] = []
    studies = labelled_entries(read_manifest(dataset))
    threads = torch.get_num_threads()
    made = {}
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            made[count] = kept_studies(studies, untrained(0), tmp_path / str(count), told.append, "cpu", count)
    finally:
        torch.set_num_threads(threads)
    assert [one.path.read_bytes() for one in made[2]] == [one.path.read_bytes() for one in made[1]]
    assert told == [(number + 1) / len(studies) for number in range(len(studies))] * 2


def test_studies_that_cannot_be_used_are_told_together_or_left_out(dataset: Path, tmp_path: Path) -> None:
    def broken(name: str) -> Iterator[LabelledSeries]:
        with named_study(name, Plane.AXIAL):
            raise OrthoDiffusionError(ErrorKind.NOT_FINITE, "The image holds NaN.", "Export it again.")
        yield

    studies = labelled_entries(read_manifest(dataset))[:4]
    studies[1:3] = [dataclasses.replace(one, key=one.id, series=partial(broken, one.id)) for one in studies[1:3]]
    with pytest.raises(OrthoDiffusionError, match="2 of 4 studies cannot be used") as refusal:
        kept_studies(studies, untrained(0), tmp_path, lambda _: None, "cpu")
    assert f"Study {studies[2].id}, axial: The image holds NaN." in refusal.value.sentence
    left_out: list[str] = []
    rest = kept_studies(
        studies, untrained(0), tmp_path, lambda _: None, "cpu", 1, lambda some: left_out.extend(one.id for one in some)
    )
    assert left_out == [one.id for one in studies[1:3]]
    told = LeftOut(True, at_once=False)
    told([UnusableStudy(one, refusal.value) for one in left_out])
    described = RefinementDescription(joint="knee", networks="0" * 64, history="Trained.")
    refinement = told.told(TrainedRefinement(described, RefinementNetwork(2)))
    assert refinement.description.history == "Trained. 2 studies of the dataset are left out: they could not be used."
    assert [one.patient for one in rest] == [studies[0].patient, studies[3].patient]


def test_labels_lie_where_the_image_does_on_any_grid() -> None:
    """Half the resolution is where nearest voxels would be half a voxel off."""
    for length in (512, 335, 256, 129):
        labels = np.zeros((length, length, 2), np.int16)
        rows, columns = np.ogrid[:length, :length]
        labels[np.hypot(rows - 0.4 * length, columns - 0.6 * length) < 0.2 * length] = 4
        labels[:9] = -1
        fewer = labels_by_area(labels, 256)
        assert fewer.shape == (2, 256, 256)
        assert set(fewer.unique().tolist()) == {-1, 0, 4}
        images = detail_images(np.where(labels == 4, 100, 0), 128)
        bright = (images - images.min())[0].numpy()
        for axis in (0, 1):
            along = np.arange(256) if axis else np.arange(256)[:, None]
            truth = (along * (fewer[0] == 4).numpy()).sum() / (fewer[0] == 4).sum()
            assert float(truth) == pytest.approx((along * bright).sum() / bright.sum(), abs=0.15)


def test_series_with_masks_count_before_longer_ones_without(kept: list[KeptStudy], dataset: Path) -> None:
    """And what is not annotated is not shown to the training."""
    models = {plane: plane_model(trained, "cpu") for plane, trained in untrained(0).items()}
    (study, *_) = labelled_entries(read_manifest(dataset))
    series = {one.plane: one for one in study.series()}
    axial = series[Plane.AXIAL]
    assert axial.labels is not None
    partly = np.where(np.arange(SHAPE[2]) < 9, -1, np.asarray(axial.labels.array)).astype(np.int16)
    masked = axial._replace(labels=dataclasses.replace(axial.labels, array=partly))
    deeper = np.concatenate([np.asarray(axial.image.array)] * 2, axis=2)
    longer = axial._replace(image=dataclasses.replace(axial.image, array=deeper), labels=None)
    found = detailed_planes([masked, longer], models, ())[Plane.AXIAL]
    assert len(found.labels) == SHAPE[2]
    assert (found.labels == -1).flatten(1).all(dim=1).tolist() == [*[True] * 9, *[False] * (SHAPE[2] - 9)]
    assert detailed_planes([longer], models, ()) == {}


def test_one_patient_is_too_few_and_what_is_no_number_ends_it(kept: list[KeptStudy], tmp_path: Path) -> None:
    with pytest.raises(OrthoDiffusionError) as caught:
        train_refinement(kept[:2], "knee", SETTINGS, lambda *_: None, tmp_path / "first")
    assert caught.value.kind is ErrorKind.EMPTY_STUDY
    rushed = SETTINGS.model_copy(update={"learning_rate": 1e30, "warm_up": 1})
    with pytest.raises(OrthoDiffusionError) as caught:
        train_refinement(kept, "knee", rushed, lambda *_: None, tmp_path / "first")
    assert caught.value.kind is ErrorKind.TRAINING_DIVERGED


def test_it_belongs_to_the_networks_that_it_learnt_from(kept: list[KeptStudy], tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"steps": 1})
    trained = train_refinement(kept, "knee", settings, lambda *_: None, tmp_path / "first")
    save_refinement(tmp_path, described_refinement(trained, "knee", networks_digest(untrained(0)), SETTINGS))
    loaded = load_refinement(tmp_path)
    assert "refined outlines" in loaded.description.history
    loaded.check_belongs_to(untrained(0))
    with pytest.raises(OrthoDiffusionError, match="masks of other networks"):
        loaded.check_belongs_to(untrained(1))
    (tmp_path / "refinement.safetensors").write_bytes(b"")
    with pytest.raises(OrthoDiffusionError) as caught:
        load_refinement(tmp_path)
    assert caught.value.kind is ErrorKind.CHECKPOINT_INVALID


def test_one_that_was_trained_before_learns_further(kept: list[KeptStudy], tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"steps": 8, "save_every": 2})
    first = train_refinement(kept, "knee", SETTINGS, lambda *_: None, tmp_path / "first")
    described = described_refinement(first, "knee", networks_digest(untrained(0)), SETTINGS)
    losses: list[float] = []
    tell: list[tuple[str, int]] = []

    def further(folder: Path, report: Callable[[int, float], None]) -> TrainedNetwork:
        return train_refinement(
            kept,
            "knee",
            settings,
            report,
            folder,
            lambda what, _: tell.append((what, len(losses))),
            start=first.network,
        )

    whole = further(tmp_path / "whole", lambda _, loss: losses.append(loss))
    assert ("Second pass", 0) in tell, "it has a first pass from the beginning"
    beginning: list[float] = []
    train_refinement(kept, "knee", settings, lambda _, loss: beginning.append(loss), tmp_path / "chance")
    assert losses[0] < 0.7 * beginning[0]

    def killed(step: int, loss: float) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        further(tmp_path / "broken", killed)
    with pytest.raises(OrthoDiffusionError, match="another start"):
        train_refinement(kept, "knee", settings, lambda *_: None, tmp_path / "broken", start=whole.network)
    assert same(further(tmp_path / "broken", lambda *_: None).network, whole.network)
    history = described_refinement(whole, "knee", "0" * 64, settings, described).description.history
    assert history.startswith(described.description.history) and "Then: " in history and "8 steps" in history


def test_phantoms_of_chance_are_the_same_persons() -> None:
    both: list[LabelledStudy] = labelled_phantoms([3, 4], random_contrasts=1)
    assert [study.patient for study in both] == ["phantom-3", "phantom-3", "phantom-4", "phantom-4"]
    assert len({study.key for study in both}) == 4
    assert [study.key for study in labelled_phantoms([3, 4])] == [both[0].key, both[2].key]
    more = labelled_phantoms([3], random_contrasts=2)
    assert [study.key for study in more[:2]] == [study.key for study in both[:2]]
    assert {study.patient for study in more} == {"phantom-3"} and len({study.id for study in more}) == 3


def test_the_command_refuses_what_it_cannot_refine(dataset: Path, tmp_path: Path) -> None:
    planes = untrained(0)
    for plane, trained in planes.items():
        save_plane(tmp_path / plane.value, trained, {})
    described = planes[Plane.AXIAL].description
    encoder = TrainedPlane(described, empty_networks(described, segmentation=False, diagnosis=False))
    save_plane(tmp_path / "encoder", encoder, {})
    ankles = {"joint": "ankle", "studies": json.loads(dataset.read_text(encoding="utf-8"))["studies"]}
    for study in ankles["studies"]:
        study["findings"] = {}
    (dataset.parent / "ankles.json").write_text(json.dumps(ankles), encoding="utf-8")
    axial, output = f"--plane=axial={tmp_path / 'axial'}", ["--output", str(tmp_path / "refined")]
    data = ["--dataset", str(dataset)]
    for arguments, code, sentence in (
        ([axial], 2, "Training needs one dataset"),
        ([axial, *data, "--phantoms=0:2"], 2, "Training needs one dataset"),
        ([axial, *data, "--random-contrasts=1"], 2, "Only phantoms can be scanned"),
        ([axial, axial, *data], 2, "is not PLANE=DIR"),
        ([f"--plane=axial={tmp_path / 'encoder'}", *data], None, "have no segmentation decoder: axial"),
        ([f"--plane=coronal={tmp_path / 'axial'}", *data], None, "are of the axial plane"),
        (data, 2, "on the planes of folders, or on those of a bundle"),
        ([axial, "--bundle=any", *data], 2, "on the planes of folders, or on those of a bundle"),
        ([axial, "--dataset", str(dataset.parent / "ankles.json")], None, "The dataset is of the ankle"),
    ):
        refused = CliRunner().invoke(app, ["train-refinement", *arguments, *output])
        assert sentence in " ".join(refused.output.split()), refused.output
        assert refused.exit_code == code if code is not None else refused.exit_code > 2


def test_a_broken_prepared_study_is_named_by_its_file(kept: list[KeptStudy], tmp_path: Path) -> None:
    broken = []
    for study in kept:
        tensors = load_file(study.path)
        for plane in PLANES:
            tensors[f"{plane.value}/images"].fill_(float("nan"))
        save_file(tensors, tmp_path / study.path.name)
        broken.append(dataclasses.replace(study, path=tmp_path / study.path.name))
    settings = SETTINGS.model_copy(update={"batch": 1, "first_pass_share": 0.5})
    with pytest.raises(OrthoDiffusionError, match="stopped at step 0: the images of file refinement-") as refusal:
        train_refinement(broken, "knee", settings, lambda *_: None, tmp_path / "output")
    assert refusal.value.kind is ErrorKind.TRAINING_DIVERGED
    (named,) = {study.path.name for study in kept if study.path.name in refusal.value.sentence}
    assert refusal.value.action.startswith(f"Delete file {named} in the folder of prepared studies")


def test_a_bundle_gets_a_refinement_of_its_own_masks(dataset: Path, tmp_path: Path) -> None:
    """Twice: the second one takes the place of a first one that no program knows, and learns from the same masks."""
    plain = write_tiny_bundle(tmp_path / "plain", {PLANES[0]: (SEGMENTS, DIAGNOSES), PLANES[1]: (SEGMENTS,)})
    foreign = with_refinement(open_bundle(plain), tmp_path / "foreign", {"unknown": torch.zeros(1)})
    with pytest.raises(OrthoDiffusionError, match="of a kind that this version does not know"):
        load_model(open_bundle(foreign), torch.device("cpu"))
    card = tmp_path / "card.yaml"
    about = {"name": "refined", "version": "2.0", "data": "Balls.", "studies": 8, "known_limits": ["Balls alone."]}
    card.write_text(yaml.safe_dump(about), encoding="utf-8")
    few = ["--set=steps=2", "--set=crop=16", "--set=batch=2", "--cache", str(tmp_path / "cache")]
    for source in (plain, foreign):
        trained, output = tmp_path / f"for {source.name}", tmp_path / f"refined {source.name}"
        for arguments in (
            ["train-refinement", "--bundle", str(source), "--dataset", str(dataset), "--output", str(trained), *few],
            ["bundle", "refine", str(source), "--refinement", str(trained), f"--card={card}", f"--output={output}"],
        ):
            done = CliRunner().invoke(app, arguments)
            assert done.exit_code == 0, done.output
        before, after = open_bundle(source).manifest, open_bundle(output).manifest
        assert load_model(open_bundle(output), torch.device("cpu")).refinement is not None
        assert (after.name, after.version) == ("refined", "2.0")
        assert after.refinement is not None
        assert "2 steps" in after.refinement.training
        for part in ("planes", "fusion", "calibration", "findings", "structures", "network"):
            assert getattr(after, part) == getattr(before, part), part
        assert after.training_data.known_limits == (*before.training_data.known_limits, "Balls alone.")
        assert after.training_data.studies == before.training_data.studies + 8
        assert before.name in after.lineage.parents[-1]
        weights = set(before.weight_files()) - {REFINEMENT_FILE}
        assert {name: before.files[name] for name in weights} == {name: after.files[name] for name in weights}
        assert "Refinement of all planes" in (output / "docs" / "README.md").read_text(encoding="utf-8")
    taken = refinement_of(str(output))
    taken.check_belongs_to(planes_of_bundle(open_bundle(source)))
    assert taken.description.history == after.refinement.training
    made = load_model(open_bundle(output), torch.device("cpu")).refinement
    assert made is not None
    for tensor, there in zip(taken.network.parameters(), made.parameters(), strict=True):
        assert torch.equal(tensor, there)
    with pytest.raises(OrthoDiffusionError, match="has no refinement"):
        refinement_of(str(plain))
    other = write_tiny_bundle(tmp_path / "other", {PLANES[0]: (SEGMENTS,)})
    with pytest.raises(OrthoDiffusionError, match="masks of other networks"):
        taken.check_belongs_to(planes_of_bundle(open_bundle(other)))
    arguments = ["bundle", "refine", str(other), "--refinement", str(trained), "--card", str(card)]
    refused = CliRunner().invoke(app, [*arguments, "--output", str(tmp_path / "wrong")])
    assert "masks of other networks" in " ".join(refused.output.split())
    assert not (tmp_path / "wrong").exists()


def test_what_phantoms_taught_is_still_said_of_a_bundle_refined_on_persons(tmp_path: Path) -> None:
    source = open_bundle(write_tiny_bundle(tmp_path / "phantoms", {PLANES[0]: (SEGMENTS,)}))
    about = RefinementCard(name="refined", version="1.0", data="Nine knees.", studies=9, known_limits=("Nine.",))
    card = about.with_that_of(source)
    assert not card.synthetic
    assert "Trained on synthetic phantoms only." in card.intended_use
    assert about.model_copy(update={"synthetic": True}).with_that_of(source).synthetic


def test_bundles_that_cannot_be_refined_are_refused_at_once(dataset: Path, tmp_path: Path) -> None:
    blind = write_tiny_bundle(tmp_path / "blind", {PLANES[0]: (DIAGNOSES,)})
    source = open_bundle(write_tiny_bundle(tmp_path / "plain", {PLANES[0]: (SEGMENTS,)}))
    foreign = described(source)
    for first, second in (("key", "femur"), ("name", "Femur")):
        foreign["structures"][0][first], foreign["structures"][1][first] = foreign["structures"][1][first], second
    weights = {name: read_weights(source, name) for name in source.manifest.weight_files()}
    write_bundle(tmp_path / "foreign", {**foreign, "name": "foreign"}, weights, "# Foreign\n", "MIT\n")
    for bundle, sentence in ((blind, "no segmentation decoder"), (tmp_path / "foreign", "differ from this version")):
        refused = CliRunner().invoke(
            app, ["train-refinement", f"--bundle={bundle}", f"--dataset={dataset}", f"--output={tmp_path / 'none'}"]
        )
        assert sentence in " ".join(refused.output.split()), refused.output
        assert refused.exit_code > 2


def described(bundle: Bundle) -> dict[str, Any]:
    manifest = json.loads((bundle.folder / MANIFEST_FILE).read_text(encoding="utf-8"))
    return {key: value for key, value in manifest.items() if key not in ("files", "schema_version")}


def with_refinement(bundle: Bundle, folder: Path, tensors: dict[str, torch.Tensor]) -> Path:
    weights = {name: read_weights(bundle, name) for name in bundle.manifest.weight_files()}
    refinement = {"weights": REFINEMENT_FILE, "training": "None."}
    content = {**described(bundle), "name": folder.name, "refinement": refinement}
    write_bundle(folder, content, {**weights, REFINEMENT_FILE: tensors}, "# Refined\n", "MIT\n")
    return folder
