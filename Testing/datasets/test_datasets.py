"""Datasets: manifests that are what they say, splits that keep patients together, stacks that survive a crash."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_dataset import PATIENTS, write_dataset

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.cli.datasets import prepared_studies
from OrthoDiffusionLib.datasets import cache
from OrthoDiffusionLib.datasets.cache import prepare_manifest
from OrthoDiffusionLib.datasets.manifest import StudyEntry, read_manifest
from OrthoDiffusionLib.datasets.splits import folds, share_held_out, split
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.volumes.segmentation_nrrd import write_segmentation_nrrd
from OrthoDiffusionLib.volumes.windows import resize_slices

SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}


def test_a_manifest_becomes_stacks(tmp_path: Path) -> None:
    manifest = read_manifest(write_dataset(tmp_path))
    study, *others = prepare_manifest(manifest, tmp_path / "cache", 16)
    assert len(others) == len(PATIENTS) - 1
    assert (study.id, study.patient) == ("study-0", "ann")
    assert study.depths == {Plane.AXIAL: (18,)}
    assert study.present[0] == 0
    assert np.isnan(study.present[1:]).all()
    assert study.clinical is not None and study.clinical.age == 20 and study.clinical.weight is None
    image, labels = study.window(Plane.AXIAL, 0, 1)
    stored = np.asarray(nibabel.load(tmp_path / "0-axial-image.nii.gz").dataobj)
    expected = resize_slices(stored, 16)
    expected = expected[1:17] * 1000 / np.abs(expected).max()
    assert np.allclose(image, expected, atol=0.5)
    assert labels is not None and set(np.unique(labels)) == {0, 1}
    assert image[labels == 1].mean() > 2 * image[labels == 0].mean()


def test_masks_that_slicer_saved_are_told_by_their_segments_names(tmp_path: Path) -> None:
    path = write_dataset(tmp_path)
    as_numbers = prepare_manifest(read_manifest(path), tmp_path / "cache", 16)[0]
    mask = nibabel.load(tmp_path / "0-axial-labels.nii.gz")
    saved = tmp_path / "0.seg.nrrd"
    write_segmentation_nrrd(saved, np.asarray(mask.dataobj) * 5, mask.affine, load_joint("knee").structures, None)
    # As Slicer may number it, once the segments before it are deleted.
    renamed = saved.read_bytes().replace(b"Segment0_LabelValue:=1", b"Segment0_LabelValue:=5")
    saved.write_bytes(renamed.replace(b"Segment4_LabelValue:=5", b"Segment4_LabelValue:=1"))
    content = json.loads(path.read_text())
    content["studies"][0]["series"][0]["labels"] = saved.name
    path.write_text(json.dumps(content))
    as_named = prepare_manifest(read_manifest(path), tmp_path / "cache", 16)[0]
    first, second = (study.window(Plane.AXIAL, 0, 1)[1] for study in (as_numbers, as_named))
    assert first is not None and first.any()
    np.testing.assert_array_equal(first, second)


def test_a_short_stack_repeats_its_last_slice(tmp_path: Path) -> None:
    study = prepare_manifest(read_manifest(write_dataset(tmp_path)), tmp_path / "cache", 16)[0]
    image, labels = study.window(Plane.AXIAL, 0, 10)
    assert image.shape == (16, 16, 16)
    assert labels is not None and labels.shape == image.shape
    assert (image[8:] == image[7]).all()


def test_a_broken_cache_file_is_made_again_and_a_good_one_is_not(tmp_path: Path) -> None:
    manifest = read_manifest(write_dataset(tmp_path))
    first, second = prepare_manifest(manifest, tmp_path / "cache", 16)[:2]
    content, made = first.path.read_bytes(), second.path.stat().st_mtime_ns
    image, _ = first.window(Plane.AXIAL, 0, 1)
    first.path.write_bytes(content[: len(content) // 2])
    again = prepare_manifest(manifest, tmp_path / "cache", 16)[0]
    assert np.array_equal(again.window(Plane.AXIAL, 0, 1)[0], image)
    assert second.path.stat().st_mtime_ns == made


def test_a_changed_image_is_prepared_again(tmp_path: Path) -> None:
    path = write_dataset(tmp_path)
    before = prepare_manifest(read_manifest(path), tmp_path / "cache", 16)[0]
    image = nibabel.load(tmp_path / "0-axial-image.nii.gz")
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj)[::-1], image.affine), tmp_path / "0-axial-image.nii.gz")
    after = prepare_manifest(read_manifest(path), tmp_path / "cache", 16)[0]
    assert before.path != after.path


@pytest.mark.parametrize(
    ("change", "kind", "sentence"),
    [
        (lambda d: d["studies"][0].update(id="study-1"), ErrorKind.BAD_MANIFEST, "study-1 occurs twice"),
        (lambda d: d["studies"][0]["findings"].update(XYZ=1), ErrorKind.BAD_MANIFEST, "unknown finding, XYZ"),
        (
            lambda d: d["studies"][0]["series"][0].update(plane="oblique"),
            ErrorKind.BAD_MANIFEST,
            r"is not valid \(studies\.0\.series\.0\.plane: Input should be",
        ),
        (
            lambda d: d["studies"][3]["series"][0].update(image="0-axial-image.nii.gz"),
            ErrorKind.BAD_MANIFEST,
            "study-0 and study-3 name the same image, and are of different patients",
        ),
        (lambda d: d["studies"][0].update(name="x"), ErrorKind.BAD_MANIFEST, "is not valid"),
        (lambda d: d["studies"][0]["findings"].update(ACL=0.5), ErrorKind.BAD_MANIFEST, "is not valid"),
        (lambda d: d.update(joint="elbow"), ErrorKind.BAD_MANIFEST, "unknown joint, elbow"),
        (lambda d: d["studies"][0]["series"][0].update(image="no.nii.gz"), ErrorKind.FILE_NOT_FOUND, "does not exist"),
    ],
)
def test_a_manifest_that_is_wrong_says_where(tmp_path: Path, change: object, kind: ErrorKind, sentence: str) -> None:
    path = write_dataset(tmp_path)
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)  # type: ignore[operator]
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(OrthoDiffusionError, match=sentence) as refusal:
        read_manifest(path)
    assert refusal.value.kind is kind


def test_a_manifest_of_any_editor_is_read_or_refused_in_a_sentence(tmp_path: Path) -> None:
    content = write_dataset(tmp_path).read_text(encoding="utf-8").replace("study-0", "Bänderriß")
    path = tmp_path / "edited.json"
    path.write_text(content, encoding="utf-8-sig")
    assert read_manifest(path).studies[0].id == "Bänderriß"
    for encoding in ("latin-1", "utf-16"):
        path.write_text(content, encoding=encoding)
        with pytest.raises(OrthoDiffusionError, match="it is no text in UTF-8") as refusal:
            read_manifest(path)
        assert refusal.value.kind is ErrorKind.BAD_MANIFEST


@pytest.mark.parametrize("name", ["0-axial-image.nii.gz", "0-axial-labels.nii.gz"])
def test_of_a_file_that_cannot_be_read_the_study_is_told(tmp_path: Path, name: str) -> None:
    manifest = read_manifest(write_dataset(tmp_path))
    (tmp_path / name).write_bytes(b"no NIfTI")
    with pytest.raises(OrthoDiffusionError, match=r"^Study study-0, axial:") as refusal:
        prepare_manifest(manifest, tmp_path / "cache", 16)
    assert refusal.value.sentence.count("study-0") == 1
    assert re.fullmatch(r"Choose .*, or leave the study out with --skip-unusable\.", refusal.value.action)


def broken_dataset(folder: Path) -> Path:
    """Of eight studies one with NaN, one that is cut off and one of two slices."""
    path = write_dataset(folder)
    affine = nibabel.load(folder / "1-axial-image.nii.gz").affine
    array = nibabel.load(folder / "1-axial-image.nii.gz").get_fdata().astype(np.float32)
    array[3, 3, 3] = np.nan
    nibabel.save(nibabel.Nifti1Image(array, affine), folder / "1-axial-image.nii.gz")
    whole = (folder / "4-axial-image.nii.gz").read_bytes()
    (folder / "4-axial-image.nii.gz").write_bytes(whole[: len(whole) // 2])
    thin = nibabel.load(folder / "6-axial-image.nii.gz").get_fdata().astype(np.float32)[..., :2]
    nibabel.save(nibabel.Nifti1Image(thin, affine), folder / "6-axial-image.nii.gz")
    return path


@pytest.mark.parametrize("processes", [1, 2])
def test_all_studies_that_cannot_be_used_are_told_at_once(tmp_path: Path, processes: int) -> None:
    manifest = read_manifest(broken_dataset(tmp_path))
    prepared = tmp_path / "cache"
    with pytest.raises(OrthoDiffusionError, match="3 of 8 studies cannot be used") as refusal:
        prepare_manifest(manifest, prepared, 16, processes)
    assert refusal.value.kind is ErrorKind.UNUSABLE_STUDIES
    _, *lines = refusal.value.sentence.splitlines()
    starts = [f"- Study study-{number}, axial: " for number in (1, 4, 6)]
    assert [line.startswith(start) for line, start in zip(lines, starts, strict=True)] == [True] * 3
    assert len(list(prepared.glob("*.safetensors"))) == 5
    _, *rows = (prepared / "unusable-studies.tsv").read_text(encoding="utf-8").splitlines()
    assert [row.split("\t")[0] for row in rows] == ["study-1", "study-4", "study-6"]
    left_out: list[str] = []
    rest = prepare_manifest(manifest, prepared, 16, processes, lambda some: left_out.extend(one.id for one in some))
    assert left_out == ["study-1", "study-4", "study-6"]
    assert [study.id for study in rest] == [f"study-{number}" for number in (0, 2, 3, 5, 7)]
    write_dataset(tmp_path)
    assert len(prepare_manifest(manifest, prepared, 16, processes)) == 8
    assert not (prepared / "unusable-studies.tsv").exists()


def test_what_is_no_studys_own_fault_stops_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = read_manifest(write_dataset(tmp_path))
    tried: list[str] = []

    def full(entry: StudyEntry, *_: object) -> None:
        tried.append(entry.id)
        raise OrthoDiffusionError(ErrorKind.DISK_FULL, "The disk is full.", "Free some space.")

    monkeypatch.setattr(cache, "stacks_of_entry", full)
    with pytest.raises(OrthoDiffusionError, match="disk is full"):
        prepare_manifest(manifest, tmp_path / "cache", 16, leave_out=lambda _: None)
    assert len(tried) == 1


def test_many_unusable_studies_are_counted_and_none_left_is_an_error(tmp_path: Path) -> None:
    manifest = read_manifest(write_dataset(tmp_path))
    for path in tmp_path.glob("*-image.nii.gz"):
        path.write_bytes(b"no NIfTI")
    one = manifest.studies[0]
    many = [one.model_copy(update={"id": f"study-{number:02d}"}) for number in range(12)]
    with pytest.raises(OrthoDiffusionError, match="12 of 12 studies cannot be used") as refusal:
        prepare_manifest(manifest.model_copy(update={"studies": tuple(many)}), tmp_path / "cache", 16)
    assert len(refusal.value.sentence.splitlines()) == 12
    assert refusal.value.sentence.endswith("- and 2 more")
    with pytest.raises(OrthoDiffusionError, match="None of the 8 studies of the dataset can be used") as refusal:
        prepare_manifest(manifest, tmp_path / "cache", 16, leave_out=lambda _: None)
    assert refusal.value.kind is ErrorKind.EMPTY_STUDY


def test_a_mask_on_another_grid_is_refused(tmp_path: Path) -> None:
    manifest = read_manifest(write_dataset(tmp_path))
    labels = nibabel.load(tmp_path / "0-axial-labels.nii.gz")
    moved = labels.affine.copy()
    moved[0, 3] += 2
    nibabel.save(nibabel.Nifti1Image(np.asarray(labels.dataobj), moved), tmp_path / "0-axial-labels.nii.gz")
    with pytest.raises(OrthoDiffusionError, match="study-0 does not lie on its image's grid"):
        prepare_manifest(manifest, tmp_path / "cache", 16)


@pytest.mark.parametrize("value", [12, 0.5, -2])
def test_a_mask_with_other_values_than_labels_is_refused(tmp_path: Path, value: float) -> None:
    manifest = read_manifest(write_dataset(tmp_path))
    labels = nibabel.load(tmp_path / "0-axial-labels.nii.gz")
    array = labels.get_fdata().astype(np.float32)
    array[0, 0, 0] = value
    nibabel.save(nibabel.Nifti1Image(array, labels.affine), tmp_path / "0-axial-labels.nii.gz")
    with pytest.raises(OrthoDiffusionError, match="study-0 holds values that are no labels of the knee"):
        prepare_manifest(manifest, tmp_path / "cache", 16)


def test_values_of_other_codings_are_named_in_the_manifest(tmp_path: Path) -> None:
    path = write_dataset(tmp_path)
    own = prepare_manifest(read_manifest(path), tmp_path / "cache", 16)[0]
    mask = nibabel.load(tmp_path / "0-axial-labels.nii.gz")
    other = np.where(np.asarray(mask.dataobj) == 1, 40, 0).astype(np.int16)
    other[0, 0, 0] = 7
    nibabel.save(nibabel.Nifti1Image(other, mask.affine), tmp_path / "0-axial-labels.nii.gz")
    content = json.loads(path.read_text(encoding="utf-8"))
    for values, sentence in (
        (
            {"40": "femur", "1": "femur"},
            "study-0: The label map holds the value 7, which label_values of the data",
        ),
        ({"40": "femurr"}, "In label_values of the dataset manifest, the value 40 is “femurr”"),
    ):
        path.write_text(json.dumps({**content, "label_values": values}), encoding="utf-8")
        with pytest.raises(OrthoDiffusionError, match=sentence):
            prepare_manifest(read_manifest(path), tmp_path / "cache", 16)
    # A series' own come before the dataset's.
    content["label_values"] = {1: "femur"}
    content["studies"][0]["series"][0]["label_values"] = {40: "femur", 7: "ignored"}
    path.write_text(json.dumps(content), encoding="utf-8")
    named = prepare_manifest(read_manifest(path), tmp_path / "cache", 16)
    labels, before = (study.window(Plane.AXIAL, 0, 0, 18)[1] for study in (named[0], own))
    assert labels is not None and before is not None
    # The corner may lie between the network's pixels.
    assert ((labels == before) | (labels == -1)).all() and (labels == 1).any()
    second = named[1].window(Plane.AXIAL, 0, 0, 18)[1]
    assert second is not None and (second == 1).any()


def test_a_mask_whose_bones_are_no_knees_is_refused(tmp_path: Path) -> None:
    path = write_dataset(tmp_path)
    mask = nibabel.load(tmp_path / "0-axial-labels.nii.gz")
    upper, lower = (np.zeros(mask.shape, np.int16) for _ in range(2))
    upper[6:18, 6:18, 10:17], lower[6:18, 6:18, 1:8] = 2, 1
    nibabel.save(nibabel.Nifti1Image(upper + lower, mask.affine), tmp_path / "0-axial-labels.nii.gz")
    with pytest.raises(OrthoDiffusionError, match="Study study-0: The tibia does not lie below the femur") as refusal:
        prepare_manifest(read_manifest(path), tmp_path / "cache", 16)
    assert refusal.value.kind is ErrorKind.BAD_LABEL_MAP


def test_changed_code_prepares_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = read_manifest(write_dataset(tmp_path))
    before = prepare_manifest(manifest, tmp_path / "cache", 16)[0]
    assert before.path == prepare_manifest(manifest, tmp_path / "cache", 16)[0].path
    monkeypatch.setattr(cache, "_code_hash", lambda patterns: "another")
    assert before.path != prepare_manifest(manifest, tmp_path / "cache", 16)[0].path


def test_a_changed_reader_prepares_images_again_and_phantoms_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, DICOM images with the lowest value white were not turned over; what had been prepared of them stayed so."""
    shutil.copytree(cache.LIBRARY, tmp_path / "library", ignore=shutil.ignore_patterns("__pycache__"))
    entry, phantom = cache._code_hash(cache.ENTRY_CODE), cache._code_hash(cache.PHANTOM_CODE)
    monkeypatch.setattr(cache, "LIBRARY", tmp_path / "library")
    cache._code_hash.cache_clear()
    try:
        assert cache._code_hash(cache.ENTRY_CODE) == entry
        cache._code_hash.cache_clear()
        with (tmp_path / "library" / "volumes" / "dicom_pixels.py").open("a", encoding="utf-8") as code:
            code.write("# Changed.\n")
        assert cache._code_hash(cache.ENTRY_CODE) != entry
        assert cache._code_hash(cache.PHANTOM_CODE) == phantom
    finally:
        cache._code_hash.cache_clear()


def test_a_study_that_cannot_be_read_again_is_not_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = read_manifest(write_dataset(tmp_path))
    monkeypatch.setattr(cache, "_opened", lambda path: None)
    with pytest.raises(OrthoDiffusionError, match="prepared cannot be read again") as refusal:
        prepare_manifest(manifest, tmp_path / "cache", 16)
    assert refusal.value.kind is ErrorKind.UNREADABLE_FILE


def test_a_full_disk_leaves_nothing_and_is_told(tmp_path: Path) -> None:
    """A file's size is limited in a process of its own: no disk is filled for it."""
    pytest.importorskip("resource")
    manifest = write_dataset(tmp_path)
    prepared = tmp_path / "cache"
    code = (
        "import errno, resource, signal, sys; from pathlib import Path\n"
        "from OrthoDiffusionLib.datasets.cache import prepare_manifest\n"
        "from OrthoDiffusionLib.datasets.manifest import read_manifest\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n"
        f"    prepare_manifest(read_manifest(Path({str(manifest)!r})), Path({str(prepared)!r}), 16)\n"
        "except OSError as error:\n"
        "    sys.exit(0 if error.errno == errno.EFBIG else 2)\n"
        "sys.exit(3)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=300).returncode == 0
    assert not list(prepared.iterdir())


def test_prepared_studies_are_as_open_to_others_as_any_file(tmp_path: Path) -> None:
    study = prepare_manifest(read_manifest(write_dataset(tmp_path)), tmp_path / "cache", 16)[0]
    (tmp_path / "any").touch()
    assert study.path.stat().st_mode == (tmp_path / "any").stat().st_mode


def test_yaml_is_read_as_json_is(tmp_path: Path) -> None:
    import yaml

    path = write_dataset(tmp_path)
    as_yaml = tmp_path / "dataset.yaml"
    as_yaml.write_text(yaml.safe_dump(json.loads(path.read_text(encoding="utf-8"))), encoding="utf-8")
    assert read_manifest(as_yaml) == read_manifest(path)


@given(st.floats(0.01, 0.99), st.integers(2, 30))
def test_some_patients_are_held_out_and_some_are_not(asked: float, count: int) -> None:
    share = share_held_out(asked, count)
    parts = split([str(number) for number in range(count)], {"validation": share, "train": 1 - share})
    assert parts["validation"] and parts["train"]
    if 1.01 < asked * count < count - 1.01:
        assert share == asked


@given(st.lists(st.integers(0, 30), min_size=1, max_size=60), st.integers(0, 5))
def test_no_patient_is_in_two_parts(numbers: list[int], seed: int) -> None:
    patients = [str(number) for number in numbers]
    parts = split(patients, SHARES, seed)
    assert sorted(index for indices in parts.values() for index in indices) == list(range(len(patients)))
    owners = [{patients[index] for index in indices} for indices in parts.values()]
    assert sum(map(len, owners)) == len(set(patients))
    # The order of the studies says nothing.
    backwards = split(patients[::-1], SHARES, seed)
    assert [{patients[::-1][i] for i in indices} for indices in backwards.values()] == owners


def test_folds_hold_every_study_once_and_patients_together() -> None:
    parts = folds(PATIENTS, 3)
    assert sorted(index for part in parts for index in part) == list(range(len(PATIENTS)))
    assert [0 in part for part in parts] == [1 in part for part in parts]
    with pytest.raises(ValueError, match="7 patients make no 8 folds"):
        folds(PATIENTS, 8)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"joint": "elbow"}, "There is no phantom of the elbow"),
        ({"phantoms": "5:1"}, "“5:1” is not a range of seeds"),
        ({"phantoms": None}, "needs one dataset"),
        ({"dataset": True, "phantoms": None, "joint": "ankle"}, "The dataset is of the knee"),
        ({"dataset": True, "phantoms": None, "random_contrasts": 1}, "Only phantoms can be scanned once more"),
        ({"dataset": True, "phantoms": None, "keep_anatomies": True}, "Only phantoms can be scanned anew"),
    ],
)
def test_what_no_training_can_use_is_said(tmp_path: Path, arguments: dict[str, object], sentence: str) -> None:
    asked = {"dataset": None, "phantoms": "0:1", **arguments}
    if asked["dataset"]:
        asked["dataset"] = write_dataset(tmp_path)
    with pytest.raises(OrthoDiffusionError, match=sentence):
        prepared_studies(cache=tmp_path / "cache", size=20, **asked)  # type: ignore[arg-type]


def test_a_phantom_of_another_joint_is_scanned_in_more_contrasts(tmp_path: Path) -> None:
    (study,) = prepared_studies(None, "3:4", tmp_path, 32, joint="ankle", random_contrasts=2)
    assert (study.joint, len(study.present)) == ("ankle", len(load_joint("ankle").findings))
    for plane in Plane:
        assert study.masked[plane] == (True, True, True)
        images = [study.window(plane, number, 0)[0].ravel() for number in range(3)]
        # No scan is another one again.
        assert np.abs(np.corrcoef(images)[np.triu_indices(3, 1)]).max() < 0.98
    (once,) = prepared_studies(None, "3:4", tmp_path, 32, joint="ankle", random_contrasts=1)
    assert once.path != study.path
    for number in (0, 1):
        assert np.array_equal(once.window(plane, number, 0)[0], study.window(plane, number, 0)[0])
