"""The command line as a script uses it: exit codes, sentences, all or nothing."""

from __future__ import annotations

import errno
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.bundles.registry import list_bundles
from OrthoDiffusionLib.cli import doctor
from OrthoDiffusionLib.cli.app import app
from OrthoDiffusionLib.cli.reporting import reported
from OrthoDiffusionLib.errors import ErrorKind
from OrthoDiffusionLib.resources import resources_folder
from OrthoDiffusionLib.volumes.nifti import read_nifti

STUDY = resources_folder() / "SampleData" / "knee-phantom" / "study"
AXIAL = STUDY / "axial.nii.gz"


def orthodiffusion(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "OrthoDiffusionLib.cli.app", *map(str, arguments)]
    variables = {**os.environ, "COLUMNS": "200", **environment}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=variables)


def save(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> Path:
    nibabel.save(nibabel.Nifti1Image(array, np.diag([0.9, 0.9, 4.0, 1.0]) if affine is None else affine), path)
    return path


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(100, 10, shape).astype(np.float32)


def text_file(folder: Path) -> list[object]:
    (folder / "text.nii.gz").write_text("hello")
    return [folder / "text.nii.gz"]


def truncated(folder: Path) -> list[object]:
    whole = (STUDY / "axial.nii.gz").read_bytes()
    (folder / "cut.nii").write_bytes(gzip.decompress(whole)[:200_000])
    return [folder / "cut.nii"]


def with_nan(folder: Path) -> list[object]:
    array = noise(32, 32, 20)
    array[3, 3, 3] = np.nan
    return [save(folder / "nan.nii.gz", array)]


BAD_INPUT: dict[str, tuple[Callable[[Path], list[object]], ErrorKind]] = {
    "nothing": (lambda _: [], ErrorKind.USAGE),
    "no such file": (lambda f: [f / "absent.nii.gz"], ErrorKind.FILE_NOT_FOUND),
    "text": (text_file, ErrorKind.UNREADABLE_FILE),
    "truncated": (truncated, ErrorKind.TRUNCATED_FILE),
    "4D": (lambda f: [save(f / "4d.nii.gz", noise(16, 16, 16, 3))], ErrorKind.WRONG_DIMENSIONS),
    "three slices": (lambda f: [save(f / "thin.nii.gz", noise(32, 32, 3))], ErrorKind.TOO_FEW_SLICES),
    "zeros": (lambda f: [save(f / "zeros.nii.gz", np.zeros((32, 32, 20), np.int16))], ErrorKind.NO_CONTRAST),
    "NaN": (with_nan, ErrorKind.NOT_FINITE),
    "twice": (
        lambda _: ["--axial", STUDY / "axial.nii.gz", "--coronal", STUDY / "axial.nii.gz"],
        ErrorKind.DUPLICATE_VOLUME,
    ),
    "wrong plane": (lambda _: ["--axial", STUDY / "coronal.nii.gz"], ErrorKind.WRONG_PLANE),
    "no bundle": (lambda _: [STUDY, "--bundle", "unknown"], ErrorKind.BUNDLE_NOT_FOUND),
    "no task": (lambda _: [STUDY, "--no-segment", "--no-diagnose"], ErrorKind.NOTHING_TO_DO),
    "no device": (lambda _: [STUDY, "--device", "cuda:99"], ErrorKind.DEVICE_UNAVAILABLE),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_is_one_sentence(tmp_path: Path, name: str) -> None:
    make, kind = BAD_INPUT[name]
    (tmp_path / "in").mkdir()
    (tmp_path / "tmp").mkdir()
    done = orthodiffusion("run", *make(tmp_path / "in"), "--output", tmp_path / "out", TMPDIR=str(tmp_path / "tmp"))
    assert done.returncode == kind.exit_code, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
    assert list((tmp_path / "tmp").iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "tmp"]


def test_a_run_is_whole_and_the_same_again(tmp_path: Path) -> None:
    results = []
    for name in ("first", "second"):
        done = orthodiffusion("run", STUDY, "--output", tmp_path / name, "--json")
        assert done.returncode == 0, done.stderr
        results.append(json.loads(done.stdout))
    files = {path.name for path in (tmp_path / "first").iterdir()}
    planes = [plane.value for plane in Plane]
    maps = {f"{what}_{plane}.nii.gz" for what in ("labels", "confidence") for plane in planes}
    assert files == maps | {"labels_fused.nii.gz", "segmentation.seg.nrrd", "findings.tsv", "result.json"}
    for name in files - {"result.json"}:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes(), name
    assert results[0]["findings"] == results[1]["findings"]
    peak_memory_mb = results[0]["provenance"]["peak_memory_mb"]
    assert sys.platform == "win32" or 100 < peak_memory_mb < 4096, "the demonstration is for laptops"
    for plane in planes:
        labels, volume = (
            read_nifti(tmp_path / "first" / f"labels_{plane}.nii.gz"),
            read_nifti(STUDY / f"{plane}.nii.gz"),
        )
        assert labels.shape == volume.shape
        assert np.array_equal(labels.affine, volume.affine)
    again = orthodiffusion("run", STUDY, "--output", tmp_path / "first")
    assert again.returncode == ErrorKind.OUTPUT_NOT_WRITABLE.exit_code


def test_one_plane_alone_says_what_is_missing(tmp_path: Path) -> None:
    sagittal = STUDY / "sagittal.nii.gz"
    done = orthodiffusion("run", "--sagittal", sagittal, "--output", tmp_path / "out", "--no-segment", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["not_assessed"] == ["axial", "coronal"]
    assert "Not assessed by: axial, coronal." in result["warnings"]
    assert result["labels_fused"] is None
    assert all(record["plane_weights"] == {"sagittal": 1.0} for record in result["findings"])
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"findings.tsv", "result.json"}
    notice = "Demonstration model trained on synthetic phantoms only. Research use only, not for diagnosis."
    assert result["notice"] == notice
    header, *rows = (tmp_path / "out" / "findings.tsv").read_text(encoding="utf-8").splitlines()
    assert header.endswith("\tnotice")
    assert [row.rpartition("\t")[2] for row in rows] == [notice] * 8


def test_overwriting_leaves_nothing_of_the_result_before(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    for old in ("labels_axial.nii.gz", "labels_fused.nii.gz", "segmentation.seg.nrrd", "result.json"):
        (out / old).write_text("of an earlier run")
    axial = STUDY / "axial.nii.gz"
    done = orthodiffusion("run", "--axial", axial, "--output", out, "--no-segment", "--overwrite", "--quiet")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert {path.name for path in out.iterdir()} == {"findings.tsv", "result.json", "notes.txt"}


def test_phantoms_are_not_overwritten_unasked(tmp_path: Path) -> None:
    (tmp_path / "phantom-000007").mkdir()
    done = orthodiffusion("phantom", "--output", tmp_path, "--seed", 6, "--studies", 2)
    assert done.returncode == ErrorKind.OUTPUT_NOT_WRITABLE.exit_code
    assert "phantom-000007" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["phantom-000007"]


NEEDED = {
    "phantom": [],
    "pretrain": ["--plane", "axial", "--phantoms", "0:1"],
    "probe": ["--plane", "axial", "--phantoms", "0:1", "--bundle", "knee-phantom-demonstration"],
    "train-segmentation": ["--plane", "axial", "--phantoms", "0:1", "--from", "knee-phantom-demonstration"],
    "train-diagnosis": ["--plane", "axial", "--phantoms", "0:1", "--from", "knee-phantom-demonstration"],
    "train-fusion": ["--kind", "concatenate", "--plane", "axial=a", "--plane", "coronal=b", "--phantoms", "0:1"],
    "train-refinement": ["--bundle", "knee-phantom-demonstration", "--phantoms", "0:1"],
}


@pytest.mark.parametrize("command", NEEDED)
def test_an_output_that_cannot_be_written_is_told_before_any_work(tmp_path: Path, command: str) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    outputs = [file, file / "below", *([Path("/proc/x")] if sys.platform == "linux" else [])]
    for output in outputs:
        done = CliRunner().invoke(app, [command, *NEEDED[command], "--output", str(output)])
        assert done.exit_code == ErrorKind.OUTPUT_NOT_WRITABLE.exit_code, (output, done.output)
        assert "cannot be written" in done.output
    assert file.read_text() == "mine"


FINISHED = {
    "train-segmentation": "plane.json",
    "train-diagnosis": "plane.json",
    "train-fusion": "fusion.json",
    "train-refinement": "refinement.json",
}


@pytest.mark.parametrize("command", FINISHED)
def test_a_finished_training_is_not_trained_over(tmp_path: Path, command: str) -> None:
    finished = tmp_path / FINISHED[command]
    finished.write_text("{}")
    done = CliRunner().invoke(app, [command, *NEEDED[command], "--output", str(tmp_path)])
    assert done.exit_code == ErrorKind.USAGE.exit_code, done.output
    assert "holds a finished training" in done.output
    assert [path.name for path in tmp_path.iterdir()] == [finished.name]


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for cache in (tmp_path / "file", *([Path("/proc/x")] if sys.platform == "linux" else [])):
        arguments = [*NEEDED["pretrain"], "--output", str(tmp_path / "output"), "--cache", str(cache)]
        done = CliRunner().invoke(app, ["pretrain", *arguments])
        assert done.exit_code == ErrorKind.OUTPUT_NOT_WRITABLE.exit_code, done.output
        assert "A folder cannot be made" in done.output


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOTDIR, errno.EEXIST])
def test_a_place_that_refuses_a_file_is_told_as_such(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, reported():
        raise OSError(number, os.strerror(number), "somewhere")
    assert ended.value.exit_code == ErrorKind.OUTPUT_NOT_WRITABLE.exit_code
    assert "to be written cannot be" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a user whom rights stop")
@pytest.mark.parametrize("attempt", [Path.read_bytes, lambda path: path.write_bytes(b"")])
def test_a_file_that_may_not_be_opened_is_told_as_such(
    tmp_path: Path, attempt: Callable[[Path], object], capsys: pytest.CaptureFixture[str]
) -> None:
    withheld = tmp_path / "settings.yaml"
    withheld.touch(mode=0)
    with pytest.raises(typer.Exit) as ended, reported():
        attempt(withheld)
    assert ended.value.exit_code == ErrorKind.UNREADABLE_FILE.exit_code
    assert "no right to open a file or folder that is to be read or written" in capsys.readouterr().err


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    (tmp_path / "sklearn.py").write_text("raise ModuleNotFoundError(name='sklearn')")
    done = orthodiffusion("evaluate", "--studies", 2, PYTHONPATH=str(tmp_path))
    assert done.returncode == ErrorKind.MISSING_PACKAGE.exit_code
    assert "pip install -e '.[evaluation]'" in done.stderr
    arguments = ("--plane", "axial", "--pretrained", tmp_path, "--phantoms", "0:2", "--output", tmp_path / "probed")
    done = orthodiffusion("probe", *arguments, PYTHONPATH=str(tmp_path))
    assert done.returncode == ErrorKind.MISSING_PACKAGE.exit_code
    assert "pip install -e '.[training]'" in done.stderr


def test_bundles_are_listed_and_verified() -> None:
    done = orthodiffusion("bundle", "list", "--json")
    assert done.returncode == 0
    listed = json.loads(done.stdout)
    assert [row["name"] for row in listed] == [entry.name for entry in list_bundles()]
    assert all(row["problem"] is None for row in listed if row["origin"] == "bundled")


def test_doctor_lists_the_devices_with_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    card = SimpleNamespace(name="Some card [80 GB]", total_memory=85_520_809_984)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda index: card)
    monkeypatch.setattr(doctor, "_try_run", lambda: "The sample study ran.")
    done = CliRunner().invoke(app, ["doctor", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    graphics, processor = told["devices"]
    assert graphics == {"name": "cuda:0", "kind": "Some card [80 GB]", "memory_gib": 79.6}
    assert processor["name"] == "cpu" and processor["kind"].endswith("processors")
    assert processor["memory_gib"] == told["memory_gib"] > 0.5
    shown = CliRunner().invoke(app, ["doctor"]).stdout
    assert "Some card [80 GB], 79.6 GiB" in shown
    assert f"{told['memory_gib']:.1f} GiB" in shown
    monkeypatch.setitem(sys.modules, "OrthoDiffusionLib.inference.devices", None)
    told = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).stdout)
    assert told["devices"] == [] and "is not installed" in told["devices_problem"]


def test_help_names_every_command() -> None:
    done = orthodiffusion("--help")
    assert done.returncode == 0
    assert all(word in done.stdout for word in ("run", "bundle", "phantom", "evaluate", "worker", "doctor"))


@pytest.mark.skipif(not list_bundles(), reason="needs the demonstration bundle")
def test_evaluation_prints_the_measures_of_every_plane_and_finding() -> None:
    done = orthodiffusion("evaluate", "--studies", 2, "--processes", 2, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert set(told["dice"]) == {"axial", "sagittal", "coronal"}
    assert 0.8 < told["dice"]["sagittal"]["femur"] <= 1
    assert 0 < told["mean_dice"] <= 1
    assert 0 <= told["ece"] < 0.5
    assert len(told["auroc"]) == 8
    assert set(told["plane_dice"]) == set(told["dice"])
    assert told["mean_dice"] == pytest.approx(sum(told["plane_dice"].values()) / 3)
    low, high = told["intervals"]["mean_dice"]
    assert low <= told["mean_dice"] <= high
