"""The worker's client, and what is left when a worker ends: real processes, real pipes."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.inference.result_folder import STAGING_PREFIX
from OrthoDiffusionLib.worker import job_folder
from OrthoDiffusionLib.worker.client import WorkerClient
from OrthoDiffusionLib.worker.job_folder import JOB_PREFIX, JobFolder
from OrthoDiffusionLib.worker.messages import LoadParams, Progress, RunParams

SLOW = (sys.executable, str(Path(__file__).with_name("slow_worker.py")))


@pytest.fixture
def client() -> Iterator[WorkerClient]:
    with WorkerClient(SLOW) as worker:
        yield worker


def run_in_thread(
    client: WorkerClient, output: Path, bundle: str | None = None
) -> tuple[threading.Thread, list[OrthoDiffusionError], list[Progress]]:
    errors: list[OrthoDiffusionError] = []
    told: list[Progress] = []

    def run() -> None:
        try:
            client.run(RunParams(output=output, bundle=bundle), told.append)
        except OrthoDiffusionError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    deadline = time.monotonic() + 20
    while not told and time.monotonic() < deadline:
        time.sleep(0.01)
    assert told, "the worker told of no progress"
    return thread, errors, told


def test_hello_and_end(client: WorkerClient) -> None:
    hello = client.hello()
    assert hello.protocol == 1
    assert hello.pid == client.pid
    client.close()
    client.close()
    with pytest.raises(ProcessLookupError):
        os.kill(hello.pid, 0)


def test_cancel_within_a_second_leaves_nothing(client: WorkerClient, tmp_path: Path) -> None:
    thread, errors, told = run_in_thread(client, tmp_path / "résultat")
    began = time.monotonic()
    client.cancel()
    thread.join(5)
    assert time.monotonic() - began < 1
    assert [error.kind for error in errors] == [ErrorKind.CANCELLED]
    assert told[0].message == "Wärten"
    assert list(tmp_path.iterdir()) == []


def test_killed_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    client = WorkerClient(SLOW)
    private = client._job_folder.path
    thread, errors, _ = run_in_thread(client, tmp_path / "result")
    assert list(tmp_path.iterdir()), "the worker stages its result beside the output"
    os.kill(client.pid, 9)
    thread.join(10)
    assert [error.kind for error in errors] == [ErrorKind.WORKER_DIED]
    assert list(tmp_path.iterdir()) == []
    client.close()
    assert not private.exists()


def test_killed_in_the_middle_leaves_an_output_as_it_was(tmp_path: Path) -> None:
    output = tmp_path / "result"
    output.mkdir()
    for name in ("result.json", "notes.txt"):
        (output / name).write_text("old")
    others = [output / f"{STAGING_PREFIX}{token}-half" for token in ("another", os.getpid())]
    for folder in others:
        folder.mkdir()
    with WorkerClient(SLOW) as client:
        thread, errors, _ = run_in_thread(client, output)
        (staging,) = set(output.glob(f"{STAGING_PREFIX}*")) - set(others)
        assert client._job_folder.path.name.endswith(staging.name.removeprefix(STAGING_PREFIX).rpartition("-")[0])
        os.kill(client.pid, 9)
        thread.join(10)
    assert [error.kind for error in errors] == [ErrorKind.WORKER_DIED]
    assert {path.name for path in output.iterdir()} == {"result.json", "notes.txt", *(path.name for path in others)}
    assert [path.name for path in tmp_path.iterdir()] == ["result"]


def test_the_unforeseen_is_a_sentence(client: WorkerClient) -> None:
    with pytest.raises(OrthoDiffusionError) as caught:
        client.load(LoadParams(bundle="any"))
    assert caught.value.kind is ErrorKind.INTERNAL
    assert "Jane Doe" not in str(caught.value) + caught.value.detail
    assert client.hello().protocol == 1


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(OrthoDiffusionError) as caught:
        WorkerClient(["/no/such/program"])
    assert caught.value.kind is ErrorKind.WORKER_DIED


def test_the_client_needs_no_torch() -> None:
    code = "import sys, OrthoDiffusionLib.worker.client, OrthoDiffusionLib.cli.app; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_current_folder_is_no_place_for_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pydantic", "numpy", "queue", "OrthoDiffusionLib"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('code of a stranger')")
    monkeypatch.chdir(tmp_path)
    with WorkerClient() as worker:
        assert worker.hello().protocol == 1


def test_children_of_the_worker_end_with_it(client: WorkerClient, tmp_path: Path) -> None:
    thread, _, told = run_in_thread(client, tmp_path / "result", "with a child")
    child = int(told[0].message)
    client.close()
    thread.join(5)
    deadline = time.monotonic() + 5
    while _lives(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _lives(child)


def test_cancel_from_the_progress_of_the_run_itself(client: WorkerClient, tmp_path: Path) -> None:
    answers = []
    with pytest.raises(OrthoDiffusionError) as caught:
        client.run(RunParams(output=tmp_path / "result"), lambda _: answers.append(client.cancel()))
    assert caught.value.kind is ErrorKind.CANCELLED
    assert answers[0] is True
    assert client.cancel() is False


def test_others_may_ask_while_one_runs(client: WorkerClient, tmp_path: Path) -> None:
    thread, errors, _ = run_in_thread(client, tmp_path / "result")
    assert client.hello().protocol == 1
    with pytest.raises(OrthoDiffusionError) as caught:
        client.run(RunParams(output=tmp_path / "result"))
    assert caught.value.kind is ErrorKind.WORKER_BUSY
    client.cancel()
    thread.join(5)
    assert [error.kind for error in errors] == [ErrorKind.CANCELLED]
    assert client.run(RunParams(output=tmp_path, bundle="quick")).output == tmp_path


def test_the_report_of_a_death_has_its_status_and_the_last_of_the_log() -> None:
    code = "import sys; print('noise'); print('the last words', file=sys.stderr); sys.exit(7)"
    with WorkerClient([sys.executable, "-c", code]) as client:
        with pytest.raises(OrthoDiffusionError) as caught:
            client.hello()
        with pytest.raises(OrthoDiffusionError):
            client.hello()
    assert caught.value.kind is ErrorKind.WORKER_DIED
    assert caught.value.detail == "exit status 7\nthe last words"


def test_job_folders_are_private_and_swept_when_their_owner_died(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    killed = "import os; from OrthoDiffusionLib.worker.job_folder import JobFolder; JobFolder(); os._exit(1)"
    subprocess.run([sys.executable, "-c", killed], env={**os.environ, "TMPDIR": str(tmp_path)}, check=False)
    (left,) = tmp_path.iterdir()
    JobFolder().remove()
    assert left.exists(), "what is so young may be just being made"
    make_old(left)
    (tmp_path / f"{JOB_PREFIX}not-ours").mkdir()
    make_old(tmp_path / f"{JOB_PREFIX}not-ours")
    living = JobFolder()
    make_old(living.path)
    another = JobFolder()
    assert stat.S_IMODE(living.path.stat().st_mode) == 0o700
    assert {path.name for path in tmp_path.iterdir()} == {f"{JOB_PREFIX}not-ours", living.path.name, another.path.name}
    living.remove()
    living.remove()
    another.remove()
    assert len(list(tmp_path.iterdir())) == 1


def test_what_could_not_be_removed_is_swept_the_next_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = JobFolder()
    (folder.path / "job").mkdir()
    for name in ("job/open.nrrd", "job/closed.nrrd", "closed.log"):
        (folder.path / name).touch()
    unlink = os.unlink

    def refuse_open_files(path: Any, **place: Any) -> None:
        if Path(path).name == "open.nrrd":
            raise PermissionError(path)
        unlink(path, **place)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse_open_files)
        folder.remove()
    left = {path.relative_to(folder.path).as_posix() for path in folder.path.rglob("*")}
    assert left == {"owner.lock", "job", "job/open.nrrd"}
    make_old(folder.path)
    JobFolder().remove()
    assert list(tmp_path.iterdir()) == []


def test_without_locks_there_is_no_sweeping_and_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def no_locks(_lock: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    with monkeypatch.context() as patch:
        patch.setattr(job_folder, "_take", no_locks)
        folder = JobFolder()
        make_old(folder.path)
        JobFolder().remove()
    # Another machine may have locks in the same folder.
    JobFolder().remove()
    assert folder.path.exists()
    folder.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, ErrorKind.DISK_FULL), (errno.EROFS, ErrorKind.OUTPUT_NOT_WRITABLE)]
)
@pytest.mark.parametrize("refused", ["the folder", "the lock"])
def test_no_place_for_temporary_files_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: ErrorKind, refused: str
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, "refused")

    with monkeypatch.context() as patch:
        patch.setattr(*((job_folder.tempfile, "mkdtemp") if refused == "the folder" else (Path, "open")), refuse)
        with pytest.raises(OrthoDiffusionError) as caught:
            WorkerClient(SLOW)
    assert caught.value.kind is kind
    assert "TMPDIR" in caught.value.action or sys.platform == "win32"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_for_temporary_files_that_is_not_there_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(OrthoDiffusionError) as caught:
        WorkerClient(SLOW)
    assert caught.value.kind is ErrorKind.OUTPUT_NOT_WRITABLE


def test_a_name_that_is_not_text_is_refused(client: WorkerClient, tmp_path: Path) -> None:
    with pytest.raises(OrthoDiffusionError) as caught:
        client.run(RunParams(output=tmp_path / os.fsdecode(b"\xff")))
    assert caught.value.kind is ErrorKind.USAGE


def make_old(folder: Path) -> None:
    """Let a folder look as if nothing had happened in it for a while."""
    long_ago = time.time() - 2 * job_folder.YOUNG_SECONDS
    os.utime(folder, (long_ago, long_ago))


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    # A dead process stays in the table until its parent asks for it.
    status = Path(f"/proc/{process}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
