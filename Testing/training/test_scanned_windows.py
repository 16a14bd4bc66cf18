"""Windows that are scanned anew: each has another contrast, and the truth that the whole scan has."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.datasets.cache import CachedStudy, prepare_phantoms
from OrthoDiffusionLib.datasets.stacks import prepared_stack
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.phantom import make_anatomy
from OrthoDiffusionLib.phantom.centres import ANYWHERE
from OrthoDiffusionLib.phantom.label_map_turns import LabelMapTurns
from OrthoDiffusionLib.phantom.scanner import scan
from OrthoDiffusionLib.phantom.series_plan import plan_series
from OrthoDiffusionLib.training.prefetch import prefetched
from OrthoDiffusionLib.training.scanned_windows import scanned_window
from OrthoDiffusionLib.training.segmentation_batches import segmentation_batch, segmentation_studies
from OrthoDiffusionLib.training.segmentation_training import train_segmentation
from OrthoDiffusionLib.training.settings import SegmentationSettings
from OrthoDiffusionLib.training.trained_plane import PlaneDescription, TrainedPlane, empty_networks
from OrthoDiffusionLib.volumes.volume import Volume
from OrthoDiffusionLib.volumes.writing import write_labels

DESCRIPTION = PlaneDescription(
    joint="ankle", plane=Plane.SAGITTAL, base_channels=32, channel_multipliers=(1, 1, 1), block="mid_0", timestep=50,
    window_size=16, history=("Not trained.",),
)  # fmt: skip
SETTINGS = SegmentationSettings(batch=2, together=1, scanned_share=0.7, validation_share=0.3)
SEED = 4


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> list[CachedStudy]:
    folder = tmp_path_factory.mktemp("prepared")
    return prepare_phantoms([SEED, SEED + 1], folder, 20, joint="ankle", keep_anatomies=True)


def batch(studies: list[CachedStudy], step: int) -> list[bytes]:
    parts = segmentation_batch(studies, Plane.SAGITTAL, 32, SETTINGS, step)
    return [tensor.numpy().tobytes() for part in parts for tensor in part]


def anew(study: CachedStudy, plane: Plane, seed: int) -> tuple[np.ndarray, np.ndarray]:
    assert study.anatomy is not None
    return scanned_window(study.anatomy, plane, 40, lambda depth, _: middle(depth), np.random.default_rng(seed))


def middle(depth: int) -> int:
    return max((depth - 16) // 2, 0)


def test_windows_are_the_same_in_any_order_and_process(studies: list[CachedStudy]) -> None:
    made = {step: batch(studies, step) for step in (2, 0, 1)}
    assert dict(prefetched(partial(batch, studies), 0, 3, workers=2)) == made
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        assert process.submit(batch, studies, 1).result() == made[1]


def test_no_two_scans_have_one_contrast(studies: list[CachedStudy]) -> None:
    windows = [anew(studies[0], Plane.SAGITTAL, seed) for seed in range(4)]
    for image, labels in windows:
        assert image.shape == labels.shape == (16, 40, 40)
        assert labels.dtype == np.int8
    large = [label for label in range(20) if all((labels == label).sum() > 10 for _, labels in windows)]
    assert len(large) >= 4
    seen = [np.array([np.median(image[labels == label]) for label in large]) / image.max() for image, labels in windows]
    apart = [np.abs(one - other).max() for number, one in enumerate(seen) for other in seen[:number]]
    assert min(apart) > 0.1
    assert max(apart) > 0.3


def test_the_truth_is_that_of_the_whole_scan(studies: list[CachedStudy]) -> None:
    anatomy = make_anatomy(SEED, "ankle")
    for plane in Plane:
        image, labels = anew(studies[0], plane, 8)
        generator = np.random.default_rng(8)
        plan = plan_series("ankle", anatomy.laterality, plane, ANYWHERE, "random", np.eye(4), generator)
        whole, truth = scan(anatomy.canvas, plan.affine, plan.to_joint, plan.protocol, plan.signals, generator)
        stack = prepared_stack(Volume(whole, plan.affine), Volume(truth, plan.affine), plane, 40)
        assert stack.labels is not None
        part = slice(middle(len(whole[0, 0])), middle(len(whole[0, 0])) + 16)
        assert (labels != 0).mean() > 0.02
        assert (labels != stack.labels[part]).mean() < 1e-4
        # But for noise, grain and shading, which are drawn anew.
        assert np.corrcoef(image.ravel(), stack.image[part].astype(np.float32).ravel())[0, 1] > 0.7


def test_a_label_map_is_scanned_anew(tmp_path: Path) -> None:
    canvas = make_anatomy(7).canvas
    affine = np.diag([1.8, 1.8, 3.6, 1.0])
    affine[:3, 3] = canvas.low
    write_labels(tmp_path / "anna_smith.nii.gz", canvas.labels[::3, ::3, ::6].astype(np.int16), affine)
    maps = LabelMapTurns((tmp_path / "anna_smith.nii.gz",))
    (study,) = prepare_phantoms([3], tmp_path / "cache", 20, keep_anatomies=True, maps=maps)
    assert study.patient.startswith("label-map-")
    assert np.isnan(study.present).all()
    assert not [path for path in (tmp_path / "cache").iterdir() if "anna" in path.name]
    _, labels = anew(study, Plane.CORONAL, 1)
    assert {1, 2, 5} <= set(np.unique(labels).tolist())


def test_a_damaged_anatomy_is_told_by_its_file(studies: list[CachedStudy], tmp_path: Path) -> None:
    whole = studies[0].anatomy
    assert whole is not None
    content = bytearray(whole.read_bytes())
    cut = bytes(content[: len(content) // 2])
    without_labels = BytesIO()
    with np.load(whole) as file:
        np.savez(without_labels, **{name: file[name] for name in file.files if name != "labels"})
    content[len(content) // 3] ^= 255
    for number, damaged in enumerate((cut, bytes(content), without_labels.getvalue(), b"")):
        path = tmp_path / f"{number}.npz"
        path.write_bytes(damaged)
        with pytest.raises(OrthoDiffusionError, match=f"delete {path.name}") as refusal:
            anew(dataclasses.replace(studies[0], anatomy=path), Plane.AXIAL, 1)
        assert refusal.value.kind is ErrorKind.UNREADABLE_FILE


def test_the_studies_of_a_step_are_told_rightly(studies: list[CachedStudy], tmp_path: Path) -> None:
    here, gone = studies[0], dataclasses.replace(studies[1], anatomy=tmp_path / "gone.npz")
    settings = SETTINGS.model_copy(update={"batch": 1, "scanned_share": 1.0})
    asked = {True: 0, False: 0}
    for step in range(6):
        known = segmentation_batch(studies, Plane.AXIAL, 16, settings, step)
        (seen,) = segmentation_studies(studies, Plane.AXIAL, settings, step, known)
        asked[seen.id == here.id] += 1
        if seen.id == here.id:
            segmentation_batch([here, gone], Plane.AXIAL, 16, settings, step)
        else:
            with pytest.raises(OrthoDiffusionError, match="anatomy in the folder of prepared studies is gone"):
                segmentation_batch([here, gone], Plane.AXIAL, 16, settings, step)
    assert all(asked.values())


def test_interrupted_a_training_goes_on_exactly_where_it_was(studies: list[CachedStudy], tmp_path: Path) -> None:
    torch.manual_seed(0)
    start = TrainedPlane(DESCRIPTION, empty_networks(DESCRIPTION, segmentation=False, diagnosis=False).eval())
    settings = SETTINGS.model_copy(update={"steps": 4, "validate_every": 2, "encoder_rate": 1.0})
    losses: list[float] = []

    def interrupted(step: int, *_: float | None) -> None:
        if step == 2:
            raise KeyboardInterrupt

    whole = train_segmentation(start, studies, settings, lambda _, loss, __: losses.append(loss))
    with pytest.raises(KeyboardInterrupt):
        train_segmentation(start, studies, settings, interrupted, folder=tmp_path)
    again = train_segmentation(start, studies, settings, lambda *_: None, folder=tmp_path)
    assert len(losses) == 4
    assert np.isfinite(losses).all()
    one, other = (trained.networks.state_dict() for trained in (whole, again))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert "windows, 70% of them scanned anew, on 1 studies" in again.description.history[-1]
    with pytest.raises(OrthoDiffusionError, match="unfinished training with another start"):
        other_share = settings.model_copy(update={"scanned_share": 0.5})
        train_segmentation(start, studies, other_share, lambda *_: None, folder=tmp_path)
    with pytest.raises(OrthoDiffusionError, match="whose anatomy was kept"):
        prepared = [dataclasses.replace(study, anatomy=None) for study in studies]
        train_segmentation(start, prepared, settings, lambda *_: None)
