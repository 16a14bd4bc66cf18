"""What a run refuses before it computes, and what its result says of planes that the bundle cannot read."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from pathlib import Path

import nibabel
import numpy as np
import pytest
from tiny_bundle import DIAGNOSES, SEGMENTS, write_tiny_bundle
from tiny_dataset import SHAPE, affine_of

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.inference import engine as engine_module
from OrthoDiffusionLib.inference.engine import Engine
from OrthoDiffusionLib.inference.model import LoadedModel
from OrthoDiffusionLib.inference.request import StudyRequest
from OrthoDiffusionLib.inference.result import Result
from OrthoDiffusionLib.inference.result_folder import check_output, read_result
from OrthoDiffusionLib.inference.views import Views
from OrthoDiffusionLib.inference.watch import Unwatched


class Stages(Unwatched):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def progress(self, stage: str, fraction: float, message: str) -> None:
        self.seen.append(stage)


def series_of(folder: Path, planes: tuple[Plane, ...], turn: np.ndarray | None = None) -> dict[Plane, Path]:
    paths = {}
    for plane in planes:
        array = np.random.default_rng(plane.pose_id).normal(100, 10, SHAPE).astype(np.float32)
        affine = affine_of(plane, (5.0, 5.0, 7.5))
        paths[plane] = folder / f"{plane.value}.nii.gz"
        nibabel.save(nibabel.Nifti1Image(array, affine if turn is None else turn @ affine), paths[plane])
    return paths


def ran(folder: Path, reads: Mapping[Plane, tuple[str, ...]], series: Mapping[Plane, Path], **asked: bool) -> Result:
    bundle = write_tiny_bundle(folder / "bundle", reads)
    request = StudyRequest(folder / "result", series=series, bundle=str(bundle), device="cpu", **asked)
    Engine().run(request, Unwatched())
    return read_result(folder / "result")


def test_volumes_are_those_of_the_label_map(tmp_path: Path) -> None:
    series = series_of(tmp_path, (Plane.AXIAL,))
    result = ran(tmp_path, {Plane.AXIAL: (SEGMENTS,)}, series, diagnose=False)
    record = result.series[0]
    assert record.labels is not None
    labels = nibabel.load(tmp_path / "result" / record.labels)
    voxel_ml = abs(np.linalg.det(labels.affine[:3, :3])) / 1000
    counted = {s.key: voxel_ml * np.count_nonzero(np.asarray(labels.dataobj) == s.label) for s in result.structures}
    assert record.volumes_ml == pytest.approx(counted, abs=1e-4)
    assert max(counted.values()) > 0


@pytest.mark.parametrize(("part", "lacking"), [(SEGMENTS, "cannot diagnose"), (DIAGNOSES, "cannot segment")])
def test_what_the_bundle_cannot_do_is_said_before_anything_is_computed(tmp_path: Path, part: str, lacking: str) -> None:
    bundle = write_tiny_bundle(tmp_path / "bundle", {Plane.AXIAL: (part,)})
    series, watch = series_of(tmp_path, (Plane.AXIAL,)), Stages()
    with pytest.raises(OrthoDiffusionError, match=lacking) as caught:
        Engine().run(StudyRequest(tmp_path / "result", series=series, bundle=str(bundle), device="cpu"), watch)
    assert caught.value.kind is ErrorKind.NOTHING_TO_DO
    assert set(watch.seen) == {"read", "load"}
    assert not (tmp_path / "result").exists()


def test_a_plane_that_was_given_and_cannot_be_read_is_named(tmp_path: Path) -> None:
    reads = {Plane.AXIAL: (SEGMENTS, DIAGNOSES), Plane.SAGITTAL: (SEGMENTS,)}
    result = ran(tmp_path, reads, series_of(tmp_path, tuple(Plane)))
    assert result.not_assessed == ()
    assert result.warnings[:2] == (
        "The bundle cannot segment these planes: coronal.",
        "The bundle cannot diagnose from these planes: sagittal, coronal.",
    )
    assert [record.labels is None for record in result.series] == [False, False, True]


def test_planes_apart_are_said_to_give_the_findings_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planes = (Plane.AXIAL, Plane.SAGITTAL)
    alone = Views({plane: (plane,) for plane in planes}, (Plane.AXIAL,), ("They are apart.",))
    monkeypatch.setattr(engine_module, "views_of_planes", lambda *_: alone)
    result = ran(tmp_path, dict.fromkeys(planes, (SEGMENTS, DIAGNOSES)), series_of(tmp_path, planes))
    assert result.warnings[:2] == ("They are apart.", "The findings still come from all planes: axial, sagittal.")
    assert result.fused_from == (Plane.AXIAL,)


def test_a_named_series_halfway_between_two_planes_is_segmented(tmp_path: Path) -> None:
    half = np.sqrt(0.5)
    turn = np.array([[half, -half, 0, 0], [half, half, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    series = series_of(tmp_path, (Plane.SAGITTAL,), turn)
    result = ran(tmp_path, {Plane.SAGITTAL: (SEGMENTS,)}, series, diagnose=False)
    assert result.fused_from == (Plane.SAGITTAL,)
    with pytest.raises(OrthoDiffusionError) as caught:
        Engine().run(StudyRequest(tmp_path / "unnamed", paths=tuple(series.values())), Unwatched())
    assert caught.value.kind is ErrorKind.AMBIGUOUS_PLANE


@pytest.mark.parametrize("output", ["a file", "a file/result", "a link to nowhere"])
def test_an_output_that_cannot_be_is_noticed_at_once(tmp_path: Path, output: str) -> None:
    (tmp_path / "a file").touch()
    (tmp_path / "a link to nowhere").symlink_to(tmp_path / "nowhere")
    watch = Stages()
    with pytest.raises(OrthoDiffusionError) as caught:
        Engine().run(StudyRequest(tmp_path / output, paths=(tmp_path / "no study",)), watch)
    assert caught.value.kind is ErrorKind.OUTPUT_NOT_WRITABLE
    assert watch.seen == []


def test_a_good_output_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    check_output(tmp_path / "there")
    check_output(tmp_path / "not" / "yet" / "there")
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def test_the_networks_before_are_gone_when_others_are_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, load_model, before = Engine(), engine_module.load_model, []
    first, second = (
        write_tiny_bundle(tmp_path / name, {plane: (DIAGNOSES,)})
        for name, plane in (("first", Plane.AXIAL), ("second", Plane.CORONAL))
    )
    before.append(weakref.ref(engine.load(str(first), "cpu")))
    assert engine.load(str(first), "cpu") is before[0](), "the same bundle stays loaded"

    def look_back(*arguments: object) -> LoadedModel:
        assert before[0]() is None
        return load_model(*arguments)

    monkeypatch.setattr(engine_module, "load_model", look_back)
    assert engine.load(str(second), "cpu").planes.keys() == {Plane.CORONAL}
