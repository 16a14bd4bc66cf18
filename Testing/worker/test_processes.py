"""What ends work that processes share ends all of it at once, and leaves no file behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from OrthoDiffusionLib.bundles.registry import list_bundles
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.worker.processes import working_processes

ENDLESS = (str(Path(__file__).with_name("endless_work.py")),)
EVALUATE = ("-m", "OrthoDiffusionLib.cli.app", "evaluate", "--studies", "4", "--processes", "2")
ROOT = Path(__file__).parents[2]
GRACE = 10.0
"""Seconds; the work itself takes minutes."""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")


def ended_by(number: int, command: tuple[str, ...], folder: Path) -> int:
    """Start a program in a process group of its own, end its first process in the middle of its work, and look.

    Returns:
        the exit status of that process.
    """
    environment = {**os.environ, "TMPDIR": str(folder), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, *command], env=environment, stderr=subprocess.DEVNULL, start_new_session=True
    ) as program:
        try:
            while sum(path.is_dir() for path in folder.glob("*/*")) < 2:
                assert program.poll() is None, "it ended before its processes worked"
                time.sleep(0.05)
            os.kill(program.pid, number)
            deadline = time.monotonic() + GRACE
            status = program.wait(GRACE)
            while group_lives(program.pid):
                assert time.monotonic() < deadline, "a process is left"
                time.sleep(0.05)
        finally:
            if group_lives(program.pid):
                os.killpg(program.pid, signal.SIGKILL)
    assert list(folder.iterdir()) == []
    return status


def group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_to_the_first_process_ends_all(tmp_path: Path, number: int) -> None:
    assert ended_by(number, ENDLESS, tmp_path) != 0


def nothing() -> None:
    pass


def end_itself(last: bool) -> None:
    if last:
        os.kill(os.getpid(), signal.SIGKILL)


def refuse() -> None:
    raise OrthoDiffusionError(ErrorKind.DEVICE_UNAVAILABLE, "There is no device.", "Choose another.")


def test_a_process_that_the_system_ended_is_said() -> None:
    with pytest.raises(OrthoDiffusionError) as caught, working_processes(1, nothing) as working:
        outcomes = working.outcomes(end_itself, [False, True])
        next(outcomes)
        next(outcomes)
    assert caught.value.kind is ErrorKind.OUT_OF_MEMORY


def test_what_preparing_raises_is_said_as_it_is() -> None:
    with pytest.raises(OrthoDiffusionError) as caught, working_processes(2, refuse) as working:
        next(working.outcomes(end_itself, [False]))
    assert caught.value.kind is ErrorKind.DEVICE_UNAVAILABLE


def test_processes_that_cannot_begin_are_said(tmp_path: Path) -> None:
    """As those of a script without a main guard."""
    script = tmp_path / "script.py"
    script.write_text(
        "from OrthoDiffusionLib.worker.processes import working_processes\n"
        "with working_processes(1, print) as working:\n"
        "    print(list(working.outcomes(abs, [-1])))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True, timeout=300)
    assert "The processes that were to share the work could not begin." in ran.stderr
    assert ran.stdout == ""


def fail_while_others_write(asked: tuple[Path, int]) -> None:
    folder, number = asked
    unfinished = folder / f"{number}.part"
    if number == 0:
        while not any(folder.iterdir()):
            time.sleep(0.05)
        raise ValueError("enough")
    try:
        unfinished.touch()
        time.sleep(600)
    finally:
        unfinished.unlink()


def test_a_process_that_is_told_to_end_removes_what_it_was_writing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="enough"), working_processes(2, nothing) as working:
        list(working.outcomes(fail_while_others_write, [(tmp_path, number) for number in range(4)]))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(not list_bundles(), reason="needs the demonstration bundle")
def test_an_evaluation_that_is_told_to_end_does(tmp_path: Path) -> None:
    """Half a minute on a busy machine, nearly all of it for what three processes import."""
    assert ended_by(signal.SIGTERM, EVALUATE, tmp_path) == ErrorKind.CANCELLED.exit_code
