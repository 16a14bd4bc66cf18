"""Heads: what is frozen stays, what is rare is not drowned, and probabilities follow the frequencies all the same."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.numpy import load_file, save_file
from tiny_dataset import write_dataset

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.bundles.opening import open_bundle
from OrthoDiffusionLib.bundles.registry import find_bundle
from OrthoDiffusionLib.datasets.cache import CachedStudy, prepare_manifest
from OrthoDiffusionLib.datasets.manifest import read_manifest
from OrthoDiffusionLib.datasets.splits import folds
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.networks.structure_statistics import statistics_of
from OrthoDiffusionLib.training import diagnosis_fitting, diagnosis_training, kept_feature_maps
from OrthoDiffusionLib.training.diagnosis_fitting import LearntFrom, fitted, study_answer
from OrthoDiffusionLib.training.diagnosis_training import DiagnosisTraining, train_diagnosis
from OrthoDiffusionLib.training.diagnosis_views import SeriesViews, drawn_views
from OrthoDiffusionLib.training.divergence import stop_unless_finite
from OrthoDiffusionLib.training.held_out_figures import held_out_auroc
from OrthoDiffusionLib.training.losses import segmentation_loss
from OrthoDiffusionLib.training.prefetch import prefetched
from OrthoDiffusionLib.training.segmentation_training import train_segmentation, training_split
from OrthoDiffusionLib.training.settings import DiagnosisSettings, SegmentationSettings
from OrthoDiffusionLib.training.shown_structures import never_shown
from OrthoDiffusionLib.training.starting_points import features_of_source, starting_point
from OrthoDiffusionLib.training.trained_plane import (
    PlaneDescription,
    TrainedPlane,
    empty_networks,
    load_plane,
    save_plane,
)
from OrthoDiffusionLib.training.whole_networks import whole_network

DESCRIPTION = PlaneDescription(
    joint="knee", plane=Plane.AXIAL, base_channels=32, channel_multipliers=(1, 1, 1), block="mid_0", timestep=50,
    window_size=16, history=("Not trained.",),
)  # fmt: skip


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> list[CachedStudy]:
    folder = tmp_path_factory.mktemp("dataset")
    return prepare_manifest(read_manifest(write_dataset(folder)), folder / "cache", 20)


@pytest.fixture
def start() -> TrainedPlane:
    torch.manual_seed(0)
    return TrainedPlane(DESCRIPTION, empty_networks(DESCRIPTION, segmentation=False, diagnosis=False).eval())


def encoder_of(trained: TrainedPlane) -> list[torch.Tensor]:
    return [tensor.clone() for tensor in trained.networks.encoder.state_dict().values()]


def same(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(
    ("decoder", "precision", "optimiser"), [("published", "float32", "adam"), ("skips", "bfloat16", "muon")]
)
def test_the_loss_falls(studies: list[CachedStudy], decoder: str, precision: str, optimiser: str) -> None:
    deep = DESCRIPTION.model_copy(update={"channel_multipliers": (1, 1, 1, 1, 1), "window_size": 32})
    start = TrainedPlane(deep, empty_networks(deep, segmentation=False, diagnosis=False))
    settings = SegmentationSettings.model_validate(
        {
            "decoder": decoder,
            "precision": precision,
            "optimiser": optimiser,
            "steps": 30,
            "batch": 2,
            "learning_rate": 3e-3,
            "encoder_rate": 1,
            "warm_up": 2,
        }
    )
    losses: list[float] = []
    train_segmentation(start, studies, settings, lambda _, loss, __: losses.append(loss))
    assert np.mean(losses[-8:]) < 0.95 * np.mean(losses[:8])


def test_structures_that_no_mask_shows_are_named(start: TrainedPlane, studies: list[CachedStudy]) -> None:
    knee = load_joint("knee").structures
    shown = {label for study in studies for label in study.labels_shown(Plane.AXIAL)}
    lacking = [structure for structure in knee if structure.label not in shown]
    assert 0 < len(lacking) < len(knee)
    assert never_shown(studies, Plane.AXIAL, "knee") == lacking
    trained = train_segmentation(start, studies, SegmentationSettings(steps=1, batch=1), lambda *_: None)
    told = ", ".join(structure.name for structure in lacking)
    assert f"No mask that it learnt from shows: {told}." in trained.description.history[-1]


def test_a_poisoned_study_stops_with_a_clear_message(
    start: TrainedPlane, studies: list[CachedStudy], tmp_path: Path
) -> None:
    poisoned = []
    for study in studies:
        arrays = load_file(study.path)
        arrays["axial/0/image"][:] = np.nan
        save_file(arrays, tmp_path / study.path.name)
        poisoned.append(CachedStudy(**{**vars(study), "path": tmp_path / study.path.name}))
    with pytest.raises(OrthoDiffusionError, match=r"stopped at step 0: the images of study study-\d hold") as refusal:
        train_segmentation(start, poisoned, SegmentationSettings(steps=2, batch=1), lambda *_: None)
    assert refusal.value.kind is ErrorKind.TRAINING_DIVERGED
    assert re.fullmatch(r"Correct study .* or take it out .*; no checkpoint was saved before\.", refusal.value.action)
    with pytest.raises(OrthoDiffusionError, match=r"images of study study-\d hold") as refusal:
        train_diagnosis(start, poisoned, DiagnosisSettings(folds=2, epochs=1, views=1, batch=1), lambda *_: None)
    assert "checkpoint" not in str(refusal.value)


def test_kept_feature_maps_are_those_in_memory_and_are_computed_once(
    start: TrainedPlane, studies: list[CachedStudy], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = DiagnosisSettings(folds=2, epochs=1, views=2, batch=4)

    def logits(folder: Path | None) -> dict[str, torch.Tensor]:
        return train_diagnosis(start, studies, settings, lambda *_: None, folder=folder).held_out

    in_memory, kept = logits(None), logits(tmp_path / "kept")
    assert in_memory.keys() == kept.keys()
    assert all(torch.equal(kept[name].nan_to_num(), value.nan_to_num()) for name, value in in_memory.items())
    files = sorted((tmp_path / "kept").glob("maps-*"))
    assert len(files) == len(studies)
    files[0].write_bytes(files[0].read_bytes()[:50])
    for fold in (tmp_path / "kept").glob("fold-*"):
        fold.unlink()
    computed = []
    real = kept_feature_maps.study_feature_maps
    monkeypatch.setattr(
        kept_feature_maps, "study_feature_maps", lambda study, *rest: computed.append(study.id) or real(study, *rest)
    )
    again = logits(tmp_path / "kept")
    assert len(computed) == 1, "but for the broken file, nothing is computed again"
    assert all(torch.equal(again[name].nan_to_num(), value.nan_to_num()) for name, value in kept.items())


def test_a_study_is_answered_by_the_series_that_a_run_would_assess(
    start: TrainedPlane, studies: list[CachedStudy], tmp_path: Path
) -> None:
    networks = empty_networks(DESCRIPTION, segmentation=False, diagnosis=True).eval()
    image = load_file(studies[0].path)["axial/0/image"]
    deeper = np.concatenate([image, image[::-1], image])

    def answer(*series: np.ndarray) -> torch.Tensor:
        path = tmp_path / f"{len(series)}.safetensors"
        save_file({f"axial/{number}/image": np.ascontiguousarray(one) for number, one in enumerate(series)}, path)
        depths = {**studies[0].depths, Plane.AXIAL: tuple(len(one) for one in series)}
        masked = {**studies[0].masked, Plane.AXIAL: (False,) * len(series)}
        study = CachedStudy(**{**vars(studies[0]), "path": path, "depths": depths, "masked": masked})
        settings = DiagnosisSettings(views=1, encoder_rate=0.05)
        return study_answer(networks, drawn_views(study, start, settings), settings)[0]

    alone = answer(deeper)
    assert torch.equal(answer(image, deeper, deeper[::-1]), alone)
    assert not torch.equal(answer(image), alone)


@pytest.mark.parametrize("encoder_rate", [0.0, 0.05])
def test_an_interrupted_diagnosis_goes_on_with_the_folds_that_are_left(
    start: TrainedPlane,
    studies: list[CachedStudy],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    encoder_rate: float,
) -> None:
    settings = DiagnosisSettings(
        folds=3, epochs=1, views=1, batch=2, encoder_rate=encoder_rate, patience=1, validation_share=0.2
    )
    logs = tmp_path / "whole", tmp_path / "again"
    whole = train_diagnosis(start, studies, settings, lambda *_: None, log_folder=logs[0])
    fits: list[int] = []
    fitted = diagnosis_training.fitted

    def killed_in_the_third(*arguments: Any) -> Any:
        fits.append(len(fits))
        if len(fits) == 3:
            raise KeyboardInterrupt
        return fitted(*arguments)

    monkeypatch.setattr(diagnosis_training, "fitted", killed_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        train_diagnosis(start, studies, settings, lambda *_: None, folder=tmp_path, log_folder=logs[1])
    again = train_diagnosis(start, studies, settings, lambda *_: None, folder=tmp_path, log_folder=logs[1])
    assert len(fits) == 3 + 2, "one fold, and all studies"
    assert torch.equal(again.pooled.features, whole.pooled.features)
    for name, value in whole.held_out.items():
        assert torch.equal(again.held_out[name].nan_to_num(), value.nan_to_num())
    one, other = (training.trained.networks.state_dict() for training in (whole, again))
    assert all(torch.equal(one[name], other[name]) for name in one)
    for name in ("losses.csv", *(f"folds/{number}/losses.csv" for number in (1, 2, 3))):
        first, second = ((folder / name).read_text(encoding="utf-8") for folder in logs)
        assert first == second, name
        header, *rows = (row.split(",") for row in first.splitlines())
        assert header == ["step", "loss", "validation"]
        assert [int(row[0]) for row in rows] == list(range(len(rows)))
        assert [bool(row[2]) for row in rows] == [False] * (len(rows) - 1) + [True], "one epoch"
    assert list((logs[1] / "tensorboard").iterdir())


@pytest.mark.parametrize("patience", [0, 1])
def test_an_encoder_that_learns_findings_goes_on_exactly_where_it_was(
    start: TrainedPlane,
    studies: list[CachedStudy],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    patience: int,
) -> None:
    settings = DiagnosisSettings(
        folds=2, epochs=2, views=2, batch=1, encoder_rate=0.05, save_every=2, patience=patience, validation_share=0.2
    )
    steps: list[int] = []
    learnt = diagnosis_fitting._learnt
    calls_before: dict[int, Callable[[], None]] = {}

    def stopping(*arguments: Any) -> float:
        steps.append(len(steps))
        calls_before.get(len(steps), lambda: None)()
        return learnt(*arguments)

    def kill() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(diagnosis_fitting, "_learnt", stopping)
    logs = tmp_path / "whole", tmp_path / "again"
    whole = train_diagnosis(start, studies, settings, lambda *_: None, log_folder=logs[0])
    needed = len(steps)
    first_fold = (logs[0] / "folds/1/losses.csv").read_text(encoding="utf-8").count("\n") - 1
    assert first_fold >= 4

    def train(**changes: Any) -> DiagnosisTraining:
        steps.clear()
        changed = settings.model_copy(update=changes)
        folders = tmp_path / "kept", logs[1], tmp_path / "unfinished"
        return train_diagnosis(start, studies, changed, lambda *_: None, "cpu", *folders)

    # The fourth step is the first that the checkpoint of two steps does not know; that of all studies comes last.
    calls_before[4] = kill
    with pytest.raises(KeyboardInterrupt):
        train()
    with pytest.raises(OrthoDiffusionError, match="unfinished training with another start"):
        train(learning_rate=1e-4)
    calls_before.clear()
    calls_before[1] = partial(os.kill, os.getpid(), signal.SIGTERM)
    with pytest.raises(OrthoDiffusionError, match="stopped after 3 steps; the checkpoint is kept"):
        train()
    calls_before.clear()
    again = train(save_every=1)
    assert len(steps) == needed - 3
    assert [path.name for path in (tmp_path / "unfinished").iterdir()] == ["all"]
    assert same(list(again.trained.networks.state_dict().values()), list(whole.trained.networks.state_dict().values()))
    assert again.trained.description == whole.trained.description
    assert torch.equal(again.pooled.features, whole.pooled.features)
    for name in ("losses.csv", "folds/1/losses.csv", "folds/2/losses.csv"):
        first, second = ((folder / name).read_text(encoding="utf-8") for folder in logs)
        assert first == second, name
    # Killed before the result was written, it has nothing left to do.
    done = train()
    assert not steps
    steps.clear()
    for other in ({"learning_rate": 1e-4}, {"encoder_rate": 0.0}):
        with pytest.raises(OrthoDiffusionError, match="unfinished training with another start"):
            train(**other)
    assert not steps, "refused before any fold is trained"
    masks = SegmentationSettings(steps=1, batch=1)
    with pytest.raises(OrthoDiffusionError, match="unfinished training with another start"):
        train_segmentation(start, studies, masks, lambda *_: None, folder=tmp_path / "unfinished")
    assert same(list(done.trained.networks.state_dict().values()), list(whole.trained.networks.state_dict().values()))


def test_a_frozen_encoder_keeps_the_other_head(start: TrainedPlane, studies: list[CachedStudy], tmp_path: Path) -> None:
    before = encoder_of(start)
    diagnosing, held_out, pooled = train_diagnosis(
        start,
        studies,
        DiagnosisSettings(folds=3, epochs=2, views=2, batch=4, pooling="global_local"),
        lambda *_: None,
    )
    assert diagnosing.description.pooling == "global_local"
    assert pooled.ids == tuple(study.id for study in studies)
    assert pooled.features.shape == (4, len(studies), 64), "of three folds' networks and of the final ones"
    assert pooled.fold[0] == pooled.fold[1], "one patient's studies are held out together"
    assert {key for key in held_out if key.startswith("logits/")} == {f"logits/{study.id}" for study in studies}
    assert torch.isnan(held_out["present/study-0"][1])
    frozen = SegmentationSettings(steps=3, batch=2, together=1, encoder_rate=0, validate_every=2)
    scores: list[float | None] = []
    both = train_segmentation(diagnosing, studies, frozen, lambda _, __, score: scores.append(score))
    assert [score is not None for score in scores] == [False, True, True]
    assert same(encoder_of(both), before)
    assert both.networks.diagnosis is not None
    save_plane(tmp_path / "plane", both, {})
    again = load_plane(tmp_path / "plane")
    assert again.description == both.description
    assert all(torch.equal(t, again.networks.state_dict()[n]) for n, t in both.networks.state_dict().items())
    (tmp_path / "plane" / "encoder.safetensors").unlink()
    with pytest.raises(OrthoDiffusionError, match=r"holds no networks of a plane.*train-segmentation"):
        load_plane(tmp_path / "plane")


def test_a_start_that_is_neither_a_training_nor_a_bundle_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "interrupted" / "unfinished" / "checkpoint-00000002").mkdir(parents=True)
    for source, said in (
        (tmp_path / "mistyped", "is neither a training's output folder nor a bundle"),
        (tmp_path / "interrupted", "holds neither trained networks nor a bundle.*has to be finished first"),
    ):
        for find in (
            lambda source=source: features_of_source(str(source), Plane.AXIAL, DiagnosisSettings()),
            lambda source=source: starting_point(str(source), Plane.AXIAL, "knee", DiagnosisSettings()),
            lambda source=source: whole_network(str(source), Plane.AXIAL),
        ):
            with pytest.raises(OrthoDiffusionError, match=said) as refusal:
                find()
            assert refusal.value.kind is ErrorKind.BUNDLE_NOT_FOUND


def test_a_changed_encoder_drops_the_other_head(start: TrainedPlane, studies: list[CachedStudy]) -> None:
    diagnosing = train_diagnosis(start, studies, DiagnosisSettings(folds=2, epochs=1, views=1), lambda *_: None).trained
    tuned = train_segmentation(
        diagnosing, studies, SegmentationSettings(steps=2, batch=1, encoder_rate=0.05), lambda *_: None
    )
    assert tuned.networks.diagnosis is None
    assert not same(encoder_of(tuned), encoder_of(start))
    assert len(tuned.description.history) == 3


def test_training_is_the_same_each_time_and_batches_keep_their_order(
    start: TrainedPlane, studies: list[CachedStudy]
) -> None:
    settings = SegmentationSettings(steps=2, batch=2, together=1)
    first, second = (train_segmentation(start, studies, settings, lambda *_: None) for _ in range(2))
    assert same(list(first.networks.state_dict().values()), list(second.networks.state_dict().values()))
    made = [(step, batch) for step, batch in prefetched(lambda step: step * step, 3, 40, workers=4)]
    assert made == [(step, step * step) for step in range(3, 40)]


def test_interrupted_it_goes_on_exactly_where_it_was(
    start: TrainedPlane, studies: list[CachedStudy], tmp_path: Path
) -> None:
    settings = SegmentationSettings(
        steps=6, batch=2, crop=8, crop_share=0.5, validate_every=2, encoder_rate=1, optimiser="muon"
    )

    def interrupted(step: int, *_: float | None) -> None:
        if step == 4:
            raise KeyboardInterrupt

    logs = tmp_path / "broken", tmp_path / "whole"
    with pytest.raises(KeyboardInterrupt):
        train_segmentation(start, studies, settings, interrupted, folder=tmp_path / "unfinished", log_folder=logs[0])
    assert (logs[0] / "losses.csv").read_text(encoding="utf-8").count("\n") == 6
    told: list[int] = []
    again = train_segmentation(
        start, studies, settings, lambda step, *_: told.append(step), folder=tmp_path / "unfinished", log_folder=logs[0]
    )
    whole = train_segmentation(start, studies, settings, lambda *_: None, log_folder=logs[1])
    assert told == [4, 5]
    often = settings.model_copy(update={"save_every": 1})

    def asked_to_end(step: int, *_: float | None) -> None:
        if step < 3:
            os.kill(os.getpid(), signal.SIGTERM)

    for done in (2, 4):
        with pytest.raises(OrthoDiffusionError, match=f"stopped after {done} steps; the checkpoint is kept"):
            train_segmentation(start, studies, settings, asked_to_end, folder=tmp_path / "stopped")
    stopped = train_segmentation(start, studies, often, lambda *_: None, folder=tmp_path / "stopped")
    assert same(list(stopped.networks.state_dict().values()), list(again.networks.state_dict().values()))
    first, second = ((folder / "losses.csv").read_text(encoding="utf-8") for folder in logs)
    assert first == second
    header, *rows = (row.split(",") for row in first.splitlines())
    assert header == ["step", "loss", "dice"]
    assert [(int(row[0]), bool(row[2])) for row in rows] == [(step, step % 2 == 1) for step in range(6)]
    assert same(list(again.networks.state_dict().values()), list(whole.networks.state_dict().values()))
    assert again.description == whole.description
    with pytest.raises(OrthoDiffusionError, match="unfinished training with another start"):
        train_segmentation(start, studies[2:], settings, lambda *_: None, folder=tmp_path / "unfinished")
    # Another pre-training of as many steps is described alike.
    other = empty_networks(DESCRIPTION, segmentation=False, diagnosis=False).eval()
    with pytest.raises(OrthoDiffusionError, match="unfinished training with another start"):
        train_segmentation(
            TrainedPlane(DESCRIPTION, other), studies, settings, lambda *_: None, folder=tmp_path / "unfinished"
        )
    with pytest.raises(OrthoDiffusionError, match="published decoder does not fit"):
        train_segmentation(start, studies, SegmentationSettings(decoder="published"), lambda *_: None)
    with pytest.raises(OrthoDiffusionError, match="Parts of 10 x 10 pixels"):
        train_segmentation(start, studies, settings.model_copy(update={"crop": 10}), lambda *_: None)


def test_a_second_round_holds_out_the_same_patients() -> None:
    patients = [f"patient-{number}" for number in range(40)]
    first, again, other = (
        training_split(patients, SegmentationSettings(seed=seed, split_seed=split_seed))["validation"]
        for seed, split_seed in ((3, None), (4, 3), (4, None))
    )
    assert first == again != other


def test_part_of_the_weights_before_is_kept(start: TrainedPlane, studies: list[CachedStudy]) -> None:
    settings = SegmentationSettings(steps=2, batch=1, encoder_rate=1)
    first = train_segmentation(start, studies, settings, lambda *_: None)
    last, mixed = (
        train_segmentation(first, studies, settings.model_copy(update={"start_share": share}), lambda *_: None)
        for share in (0.0, 0.25)
    )
    for name, tensor in mixed.networks.state_dict().items():
        before, after = first.networks.state_dict()[name], last.networks.state_dict()[name]
        assert torch.allclose(tensor, 0.25 * before + 0.75 * after, atol=1e-6)
    assert "mixed with 0.25 of the weights before" in mixed.description.history[-1]
    with pytest.raises(OrthoDiffusionError, match="no decoder of the same form"):
        train_segmentation(start, studies, settings.model_copy(update={"start_share": 0.25}), lambda *_: None)


def test_networks_of_one_joint_start_those_of_another(
    start: TrainedPlane, studies: list[CachedStudy], tmp_path: Path
) -> None:
    settings = SegmentationSettings(steps=1, batch=1, encoder_rate=0)
    save_plane(tmp_path, train_segmentation(start, studies, settings, lambda *_: None), {})
    ankle = starting_point(str(tmp_path), Plane.AXIAL, "ankle", DiagnosisSettings())
    assert ankle.description.joint == "ankle"
    assert ankle.description.history[-1] == "Encoder taken over from networks of the knee."
    assert same(encoder_of(ankle), encoder_of(start))
    assert ankle.networks.segmentation is None
    knee = starting_point(str(tmp_path), Plane.AXIAL, "knee", DiagnosisSettings())
    assert knee.networks.segmentation is not None


def test_a_bundle_is_trained_further_with_its_heads_or_hands_on_its_encoder() -> None:
    recipe = open_bundle(find_bundle(None)).manifest.planes[Plane.AXIAL]
    settings = SegmentationSettings(block=recipe.block, timestep=recipe.timestep)
    whole = starting_point("knee-phantom-demonstration", Plane.AXIAL, "knee", settings)
    assert whole.networks.segmentation is not None
    assert whole.networks.diagnosis is not None
    other_noise = settings.model_copy(update={"timestep": recipe.timestep + 20})
    moved = starting_point("knee-phantom-demonstration", Plane.AXIAL, "knee", other_noise)
    assert (moved.description.timestep, moved.networks.diagnosis) == (recipe.timestep + 20, None)
    assert moved.networks.segmentation is not None
    assert same(*(list(start.networks.segmentation.parameters()) for start in (moved, whole)))
    for joint, asked in (("shoulder", settings), ("knee", DiagnosisSettings(timestep=150))):
        alone = starting_point("knee-phantom-demonstration", Plane.AXIAL, joint, asked)
        assert (alone.description.joint, alone.description.timestep) == (joint, asked.timestep)
        assert alone.networks.segmentation is None
        assert same(encoder_of(alone), encoder_of(whole))


def same_features(feature: torch.Tensor, present: torch.Tensor) -> LearntFrom:
    """Studies of as many patients that look all alike; feature (views, channels, k, i, j)."""
    rows = range(len(present))
    return LearntFrom(rows, [str(row) for row in rows], present, lambda _: [SeriesViews(feature, None)])


@pytest.mark.parametrize(("changes", "tolerance"), [({"together": 2}, 1e-5), ({"precision": "bfloat16"}, 2e-2)])
def test_the_encoder_learns_the_same_in_parts_and_nearly_so_in_bfloat16(
    start: TrainedPlane, changes: dict[str, Any], tolerance: float
) -> None:
    generator = torch.Generator().manual_seed(0)
    windows = torch.randn(6, 1, 1, 16, 16, 16, generator=generator)
    present = (torch.rand(6, 8, generator=generator) < 0.5).float()
    present[1, 2:] = torch.nan
    source = same_features(windows[0], present)._replace(views=lambda row: [SeriesViews(windows[row], None)])
    settings = DiagnosisSettings(epochs=2, batch=3, encoder_rate=1)
    losses: list[list[float]] = []
    for one in (settings, settings.model_copy(update=changes)):
        losses.append([])
        fitted(start, source, one, "cpu", lambda _, loss, __: losses[-1].append(loss))
    assert len(losses[0]) == 4
    assert losses[0][-1] != losses[0][0]
    assert losses[1] == pytest.approx(losses[0], rel=tolerance)


def test_a_head_stops_early_where_patients_that_it_does_not_see_gain_no_more(start: TrainedPlane) -> None:
    """Findings of chance can only be learnt by heart; the loss on others soon rises."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(24, 1, 32, 4, 4, 4, generator=generator)
    present = (torch.rand(24, 8, generator=generator) < 0.5).float()
    source = same_features(features[0], present)._replace(views=lambda row: [SeriesViews(features[row], None)])
    settings = DiagnosisSettings(epochs=40, batch=4, learning_rate=2e-2, patience=3)
    early = fitted(start, source, settings, "cpu")
    assert 1 <= early.epochs < 37
    assert fitted(start, source, settings.model_copy(update={"patience": 0}), "cpu").epochs == 40


def test_an_encoder_that_learns_too_sees_its_views_anew_each_time(
    start: TrainedPlane, studies: list[CachedStudy]
) -> None:
    settings = DiagnosisSettings(folds=2, epochs=1, views=2, batch=4, encoder_rate=1.0)
    trained, held_out, _ = train_diagnosis(start, studies, settings, lambda *_: None)
    assert not same(encoder_of(trained), encoder_of(start))
    assert trained.description.encoder_saw == ("findings",)
    assert len(held_out) == 2 * len(studies)
    again, *_ = train_diagnosis(trained, studies, settings, lambda *_: None)
    assert "had learnt from findings before" in again.description.history[-1]


def test_held_out_figures_are_of_what_is_known() -> None:
    logits = torch.tensor([[2.0, 1.0], [1.0, 0.0], [0.0, 5.0], [-1.0, 1.0]])
    present = torch.tensor([[1, 1], [0, 1], [1, float("nan")], [0, 1]])
    held_out = {f"logits/{row}": logits[row] for row in range(4)} | {f"present/{row}": present[row] for row in range(4)}
    assert held_out_auroc(held_out, ["ACL", "MM"]) == {"ACL": 0.75}


def test_a_training_without_any_annotated_voxel_in_a_window_goes_on() -> None:
    scores = torch.randn(1, 12, 4, 8, 8, requires_grad=True)
    loss = segmentation_loss(scores, torch.full((1, 4, 8, 8), -1))
    loss.backward()
    assert loss.item() == 0
    assert scores.grad is not None and not scores.grad.any()


def test_gradients_that_are_no_numbers_stop_a_training_before_its_step() -> None:
    weight = torch.ones(2, requires_grad=True)
    weight.grad = torch.tensor([1.0, float("inf")])
    with pytest.raises(OrthoDiffusionError, match="stopped at step 7: the loss or a gradient is not finite"):
        stop_unless_finite(0.5, [weight], 7)


def test_heads_stay_where_nobody_asks_for_another_timestep() -> None:
    recipe = open_bundle(find_bundle(None)).manifest.planes[Plane.AXIAL]
    asked = DiagnosisSettings()
    kept = features_of_source("knee-phantom-demonstration", Plane.AXIAL, asked)
    assert (kept.block, kept.timestep) == (recipe.block, recipe.timestep)
    named = features_of_source("knee-phantom-demonstration", Plane.AXIAL, DiagnosisSettings(timestep=70))
    assert (named.block, named.timestep) == (recipe.block, 70)


def test_probabilities_follow_the_frequencies_although_rare_findings_weigh_more(start: TrainedPlane) -> None:
    """One finding in eight studies, which nothing in the images tells: the head can only learn how often it is."""
    feature = torch.randn(1, 1, 32, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    present = torch.zeros(64, 8)
    present[::8, 0] = 1
    settings = DiagnosisSettings(epochs=60, batch=16, learning_rate=5e-3)
    networks = fitted(start, same_features(feature[0], present), settings, "cpu").networks
    assert networks.diagnosis is not None
    probability = torch.sigmoid(networks.diagnosis(feature[0]))[0, 0].item()
    assert probability == pytest.approx(1 / 8, abs=0.04)


def test_structures_are_read_only_where_there_are_masks(start: TrainedPlane, studies: list[CachedStudy]) -> None:
    settings = DiagnosisSettings(folds=2, reads_structures=True)
    with pytest.raises(OrthoDiffusionError, match="needs masks"):
        train_diagnosis(start, studies, settings, lambda *_: None)


def test_structures_alone_are_read_or_with_what_features_add_to_them(start: TrainedPlane) -> None:
    """Four of five torn ACLs are bright; features tell nothing, and leave what was read as it was."""
    kind = {"reads_structures": True, "reads_around": True}
    reading = TrainedPlane(start.description.model_copy(update=kind), start.networks)
    reading = replace(reading, networks=empty_networks(reading.description, segmentation=True, diagnosis=False))
    present = torch.zeros(40, 8)
    present[::2, 0] = 1
    joint = load_joint("knee")
    statistics = torch.zeros(40, len(joint.structures), statistics_of(around=True))
    bright = present[:, 0].clone()
    bright[::10] = 0
    statistics[:, [structure.key for structure in joint.structures].index("acl"), 0] = bright
    feature = torch.randn(1, 32, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    views = [[SeriesViews(feature, row.flatten())] for row in statistics]
    source = LearntFrom(range(40), [str(n) for n in range(40)], present, views.__getitem__)
    told: list[tuple[int, float]] = []
    settings = DiagnosisSettings.model_validate({**kind, "epochs": 3, "pools_features": False})
    alone = fitted(reading, source, settings, "cpu", lambda step, loss, _: told.append((step, loss)))
    with_features = fitted(reading, source, settings.model_copy(update={"pools_features": True}), "cpu").networks
    frequencies = (np.log(2) + 7 * -np.log(41 / 42)) / 8
    assert alone.epochs == 0 and [step for step, _ in told] == [0] and told[0][1] < 0.7 * frequencies
    heads = [networks.diagnosis for networks in (alone.networks, with_features)]
    assert heads[0] is not None and heads[0].reading is not None
    assert heads[1] is not None and heads[1].reading is not None
    assert torch.equal(heads[0].reading.weight, heads[1].reading.weight)
    assert torch.equal(heads[0].head.net.weight, torch.zeros(8, 64)) and heads[1].head.net.weight.abs().sum() > 0
    with torch.no_grad():
        probabilities = torch.sigmoid(heads[0](feature, statistics[:2].flatten(1)))
    # The first study's ACL is torn, the second's whole; both are dark, as are 4 torn and 20 whole ones.
    assert probabilities[0, 0] == pytest.approx(probabilities[1, 0].item())
    assert 0 < probabilities[0, 0] < 0.4
    assert torch.allclose(probabilities[:, 1:], torch.full((2, 7), 1 / 42), atol=1e-4)
    waiting = settings.model_copy(update={"patience": 2})
    assert torch.equal(fitted(reading, source, waiting, "cpu").networks.diagnosis.head.net.bias, heads[0].head.net.bias)
    views[3] = [SeriesViews(torch.full_like(feature, torch.nan), statistics[3].flatten())]
    named = source._replace(ids=[f"study-{n}" for n in range(40)])
    with pytest.raises(OrthoDiffusionError, match="the images of study study-3 hold values that are not finite"):
        fitted(reading, named, settings, "cpu")


def test_what_features_add_to_structures_leaves_probabilities_at_the_frequencies(start: TrainedPlane) -> None:
    """One study in eight has the finding, and neither structures nor features tell which."""
    kind = {"reads_structures": True}
    described = start.description.model_copy(update=kind)
    reading = TrainedPlane(described, empty_networks(described, segmentation=True, diagnosis=False))
    present = torch.zeros(64, 8)
    present[::8, 0] = 1
    feature = torch.randn(1, 32, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    statistics = torch.zeros(len(load_joint("knee").structures) * statistics_of(around=False))
    source = same_features(feature, present)._replace(views=lambda _: [SeriesViews(feature, statistics)])
    settings = DiagnosisSettings.model_validate({**kind, "epochs": 20, "batch": 16, "learning_rate": 5e-3})
    networks = fitted(reading, source, settings, "cpu").networks
    assert networks.diagnosis is not None
    probability = torch.sigmoid(networks.diagnosis(feature, statistics[None]))[0, 0].item()
    assert probability == pytest.approx(1 / 8, abs=0.04)


def test_where_structures_alone_are_read_every_finding_must_show_in_some(
    start: TrainedPlane, studies: list[CachedStudy]
) -> None:
    shoulder = TrainedPlane(start.description.model_copy(update={"joint": "shoulder"}), start.networks)
    settings = DiagnosisSettings(folds=2, reads_structures=True, pools_features=False)
    with pytest.raises(OrthoDiffusionError, match="which structures GHJ shows in"):
        train_diagnosis(shoulder, studies, settings, lambda *_: None)


@pytest.mark.parametrize("change", [{"reads_around": True}, {"pools_features": False}])
def test_a_head_must_read_something(change: dict[str, bool]) -> None:
    with pytest.raises(ValidationError, match="need reads_structures: true"):
        DiagnosisSettings.model_validate(change)


def test_fewer_patients_than_folds_are_refused(start: TrainedPlane, studies: list[CachedStudy]) -> None:
    with pytest.raises(OrthoDiffusionError, match=r"9 folds need as many patients .* and the dataset has 7"):
        train_diagnosis(start, studies, DiagnosisSettings(folds=9), lambda *_: None)
    halves = folds([study.patient for study in studies], 2, DiagnosisSettings().seed)
    unknown = np.full_like(studies[0].present, np.nan)
    together = [
        study if index in halves[0] else CachedStudy(**{**vars(study), "present": unknown})
        for index, study in enumerate(studies)
    ]
    with pytest.raises(OrthoDiffusionError, match="came into one fold"):
        train_diagnosis(start, together, DiagnosisSettings(folds=2), lambda *_: None)
    unmasked = [CachedStudy(**{**vars(study), "masked": {Plane.AXIAL: (False,)}}) for study in studies]
    with pytest.raises(OrthoDiffusionError, match="Fewer than two patients"):
        train_segmentation(start, unmasked, SegmentationSettings(), lambda *_: None)
    assert np.isfinite(studies[0].present[0])
