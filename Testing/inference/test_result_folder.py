"""A result is in its place whole, or what was there before is; on real file systems, whatever goes wrong."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.inference.result_folder import (
    STAGING_PREFIX,
    STAGING_VARIABLE,
    check_output,
    remove_staging,
    result_folder,
    staging_token,
)

OLD = {name: "old" for name in ("result.json", "labels_axial.nii.gz", "labels_sagittal.nii.gz", "findings.tsv")}
NEW = {name: "new" for name in ("result.json", "labels_axial.nii.gz", "confidence_axial.nii.gz", "findings.tsv")}
OTHER = {"notes.txt": "mine"}


def content(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def fill(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).write_text(text)


def write(output: Path) -> None:
    with result_folder(output) as folder:
        fill(folder, NEW)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """A folder with an earlier result and a file of somebody else in it."""
    folder = tmp_path / "output"
    folder.mkdir()
    fill(folder, {**OLD, **OTHER})
    return folder


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system than `tmp_path`."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system in /dev/shm")
    folder = Path(tempfile.mkdtemp(dir=memory))
    yield folder
    shutil.rmtree(folder)


def error_of(action: Callable[[], object]) -> OrthoDiffusionError:
    with pytest.raises(OrthoDiffusionError) as caught:
        action()
    return caught.value


def test_a_new_output_is_made_with_its_parents(tmp_path: Path) -> None:
    output = tmp_path / "not" / "yet" / "there"
    check_output(output)
    assert list(tmp_path.iterdir()) == []
    write(output)
    assert content(tmp_path) == {f"not/yet/there/{name}": text for name, text in NEW.items()}


def test_an_empty_output_is_filled_from_within(tmp_path: Path) -> None:
    output = tmp_path / "output"
    output.mkdir()
    check_output(output)
    assert list(output.iterdir()) == []
    with result_folder(output) as folder:
        assert folder.parent == output
        assert [path.name for path in tmp_path.iterdir()] == ["output"]
        fill(folder, NEW)
    assert content(tmp_path) == {f"output/{name}": text for name, text in NEW.items()}
    assert [path.name for path in output.iterdir() if path.is_dir()] == []


def test_of_a_full_output_only_the_earlier_result_goes(output: Path) -> None:
    check_output(output)
    write(output)
    assert content(output) == {**NEW, **OTHER}
    assert all(path.is_file() for path in output.iterdir())


def test_an_output_that_came_to_be_meanwhile_is_filled(tmp_path: Path) -> None:
    output = tmp_path / "output"
    with result_folder(output) as folder:
        fill(folder, NEW)
        output.mkdir()
        fill(output, {**OLD, **OTHER})
    assert content(tmp_path) == {f"output/{name}": text for name, text in {**NEW, **OTHER}.items()}


@pytest.mark.parametrize("earlier", [{}, {**OLD, **OTHER}])
def test_a_link_to_another_file_system_is_filled(tmp_path: Path, elsewhere: Path, earlier: dict[str, str]) -> None:
    fill(elsewhere, earlier)
    output = tmp_path / "output"
    output.symlink_to(elsewhere)
    check_output(output)
    write(output)
    assert output.is_symlink()
    assert content(elsewhere) == {**NEW, **(OTHER if earlier else {})}
    assert list(tmp_path.iterdir()) == [output]


def refuse_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a folder that may not be written is: for the superuser, whom no rights stop, too."""
    mkdir = os.mkdir

    def refuse(path: Any, *arguments: Any, **more: Any) -> None:
        if Path(path).parent == folder:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        mkdir(path, *arguments, **more)

    monkeypatch.setattr(os, "mkdir", refuse)


def test_the_parent_of_an_output_that_is_there_needs_no_rights(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_in(output.parent, monkeypatch)
    check_output(output)
    write(output)
    assert content(output) == {**NEW, **OTHER}
    assert error_of(lambda: check_output(output.parent / "new")).kind is ErrorKind.OUTPUT_NOT_WRITABLE


def test_an_output_without_rights_is_noticed_at_once(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_in(output, monkeypatch)
    assert error_of(lambda: check_output(output)).kind is ErrorKind.OUTPUT_NOT_WRITABLE
    assert error_of(lambda: write(output)).kind is ErrorKind.OUTPUT_NOT_WRITABLE


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a user whom rights stop")
def test_real_rights(output: Path) -> None:
    output.parent.chmod(0o500)
    try:
        check_output(output)
        write(output)
        assert content(output) == {**NEW, **OTHER}
        assert error_of(lambda: check_output(output.parent / "new")).kind is ErrorKind.OUTPUT_NOT_WRITABLE
    finally:
        output.parent.chmod(0o700)


def test_an_output_into_which_nothing_can_be_moved_is_noticed_at_once(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "replace", refuse)
    assert error_of(lambda: check_output(output)).kind is ErrorKind.OUTPUT_NOT_WRITABLE
    assert content(output) == {**OLD, **OTHER}


def test_a_parent_that_leads_nowhere_is_noticed_at_once(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert error_of(lambda: check_output(tmp_path / "link" / "result")).kind is ErrorKind.OUTPUT_NOT_WRITABLE


class Moves:
    """`os.replace` that does something else at one of the moves; all others are made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int, instead: Callable[..., None]) -> None:
        self.made, self._number, self._instead, self._replace = 0, number, instead, os.replace
        monkeypatch.setattr(os, "replace", self)

    def __call__(self, source: Path, target: Path) -> None:
        self.made += 1
        (self._instead if self.made == self._number else self._replace)(source, target)


def open_elsewhere(source: Path, _target: Path) -> None:
    raise PermissionError(errno.EACCES, "The process cannot access the file", str(source))


@pytest.mark.parametrize("number", range(1, len(OLD) + len(NEW) + 1))
def test_whichever_move_fails_the_earlier_result_is_as_it_was(
    output: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    with monkeypatch.context() as patch:
        Moves(patch, number, open_elsewhere)
        error = error_of(lambda: write(output))
    assert error.kind is ErrorKind.OUTPUT_NOT_WRITABLE
    assert "programs that have its files open" in error.action
    assert content(output) == {**OLD, **OTHER}
    assert all(path.is_file() for path in output.iterdir())
    write(output)
    assert content(output) == {**NEW, **OTHER}


@pytest.mark.parametrize("number", range(1, len(OLD) + len(NEW) + 1))
def test_whichever_move_is_interrupted_the_earlier_result_is_as_it_was(
    output: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    replace = os.replace

    def move_and_interrupt(source: Path, target: Path) -> None:
        replace(source, target)
        raise KeyboardInterrupt

    Moves(monkeypatch, number, move_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(output)
    assert content(output) == {**OLD, **OTHER}


@pytest.mark.parametrize("number", range(1, len(OLD) + len(NEW) + 1))
def test_killed_at_any_move_no_result_json_stands_beside_files_of_another(output: Path, number: int) -> None:
    code = """
import os, sys
from pathlib import Path
from OrthoDiffusionLib.inference.result_folder import result_folder
replace, made = os.replace, []
def moves(source, target):
    made.append(source)
    if len(made) == int(sys.argv[2]):
        os._exit(9)
    replace(source, target)
os.replace = moves
with result_folder(Path(sys.argv[1])) as folder:
    for name in sys.argv[3:]:
        (folder / name).write_text("new")
"""
    environment = {**os.environ, STAGING_VARIABLE: "a-token"}
    command = [sys.executable, "-c", code, str(output), str(number), *NEW]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], env=environment, check=False)
    assert done.returncode == 9
    remove_staging(output, "another-token")
    assert any(path.is_dir() for path in output.iterdir())
    remove_staging(output, "a-token")
    left = content(output)
    assert {name: left.pop(name) for name in OTHER} == OTHER
    assert left == OLD if number == 1 else "result.json" not in left
    write(output)
    assert content(output) == {**NEW, **OTHER}


def test_where_not_all_can_be_taken_back_there_is_no_result_json(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = os.replace

    def stuck(source: Path, target: Path) -> None:
        if Path(target).name == "findings.tsv" and Path(target).parent == output:
            raise PermissionError(errno.EACCES, "The process cannot access the file", str(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", stuck)
    assert error_of(lambda: write(output)).kind is ErrorKind.OUTPUT_NOT_WRITABLE
    assert "result.json" not in content(output)


def test_a_folder_with_the_name_of_a_map_is_not_ours_to_remove(output: Path) -> None:
    (output / "confidence_axial.nii.gz").mkdir()
    (output / "confidence_axial.nii.gz" / "precious.txt").write_text("mine")
    before = content(output)
    assert error_of(lambda: write(output)).kind is ErrorKind.OUTPUT_NOT_WRITABLE
    assert content(output) == before


def test_a_full_disk_is_told_as_such(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        Moves(patch, 3, full)
        assert error_of(lambda: write(output)).kind is ErrorKind.DISK_FULL
    assert content(output) == {**OLD, **OTHER}


def test_a_run_that_fails_leaves_everything_as_it_was(output: Path) -> None:
    with pytest.raises(RuntimeError), result_folder(output) as folder:
        fill(folder, NEW)
        raise RuntimeError
    assert content(output) == {**OLD, **OTHER}
    assert [path.name for path in output.parent.iterdir()] == ["output"]


def test_unfinished_results_are_told_apart_by_a_word_that_no_process_id_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(STAGING_VARIABLE, raising=False)
    assert staging_token() == staging_token() != str(os.getpid())
    monkeypatch.setenv(STAGING_VARIABLE, "from_the_client")
    output = tmp_path / "output"
    with pytest.raises(OrthoDiffusionError), result_folder(output) as folder:
        assert folder.name.startswith(f"{STAGING_PREFIX}from_the_client-")
        others = [tmp_path / f"{STAGING_PREFIX}{name}" for name in ("from-x", "from_the_client2-x", f"{os.getpid()}-x")]
        for other in others:
            other.mkdir()
        remove_staging(output, staging_token())
        assert not folder.exists()
    assert set(tmp_path.iterdir()) == set(others)
