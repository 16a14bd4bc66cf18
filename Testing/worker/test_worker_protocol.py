"""The worker's protocol, line by line: real processes, real pipes."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import pytest
from worker.raw_worker import RawWorker


def test_unknown_messages_are_answered_and_survived() -> None:
    unreadable = (b"not json", b"\xff\xfe", b"[1]", b'{"id": ' * 5000, b"[" * 200_000, b"null", b"7" * 5000)
    with RawWorker() as worker:
        for line in unreadable:
            worker.write(line)
            answer = worker.read()
            assert answer["id"] is None
            assert answer["error"]["data"]["kind"] == "worker-protocol"
            assert "result" not in answer
        worker.write(b"")
        worker.ask(7, "dance")
        answer = worker.read()
        assert (answer["id"], answer["error"]["data"]["kind"]) == (7, "worker-protocol")
        worker.ask(8, "run", output="result", unknown=1)
        answer = worker.read()
        assert (answer["id"], answer["error"]["data"]["kind"]) == (8, "usage")
        assert "unknown" in answer["error"]["data"]["detail"]
        worker.ask(9, "hello")
        assert worker.read()["result"]["protocol"] == 1
        assert worker.end(5) == 0


def test_a_line_of_a_megabyte_and_other_alphabets(tmp_path: Path) -> None:
    output = tmp_path / "結果 größer"
    with RawWorker() as worker:
        worker.ask(1, "run", output=str(output), bundle="quick", paths=["膝" * 100] * 10_000)
        assert worker.answer()["result"]["output"] == str(output)


def test_one_job_at_a_time(tmp_path: Path) -> None:
    with RawWorker() as worker:
        worker.ask(1, "run", output=str(tmp_path / "result"))
        worker.ask(2, "run", output=str(tmp_path / "result"))
        answer = worker.answer()
        assert (answer["id"], answer["error"]["data"]["kind"]) == (2, "worker-busy")
        worker.ask(3, "hello")
        assert worker.answer()["id"] == 3
        worker.ask(4, "cancel")
        assert {(answer := worker.answer())["id"], worker.answer()["id"]} == {1, 4}


def test_the_next_job_may_follow_its_predecessors_answer_at_once(tmp_path: Path) -> None:
    with RawWorker() as worker:
        for number in range(300):
            worker.ask(number, "run", output=str(tmp_path), bundle="quick")
            assert "result" in worker.answer()


def test_cancel_is_answered_at_once_whatever_is_being_done(tmp_path: Path) -> None:
    with RawWorker() as worker:
        worker.ask(1, "cancel")
        assert worker.read()["result"] == {"cancelling": False}
        worker.ask(2, "run", output=str(tmp_path / "result"), bundle="deaf")
        worker.read()
        began = time.monotonic()
        worker.ask(3, "cancel")
        assert worker.answer() == {"jsonrpc": "2.0", "id": 3, "result": {"cancelling": True}}
        assert time.monotonic() - began < 1


@pytest.mark.parametrize("bundle", [None, "deaf"])
@pytest.mark.parametrize("there", [False, True])
def test_end_of_file_ends_a_run(tmp_path: Path, bundle: str | None, there: bool) -> None:
    output = tmp_path / "result"
    if there:
        output.mkdir()
    staged_in = output if there else tmp_path
    with RawWorker() as worker:
        worker.ask(1, "run", output=str(output), bundle=bundle)
        assert worker.read()["params"]["message"] == "Wärten"
        assert len(list(staged_in.iterdir())) == 1
        began = time.monotonic()
        worker.end(5)
        assert time.monotonic() - began < 2
    assert list(staged_in.iterdir()) == []


def test_shutdown_is_answered_and_ends_the_worker() -> None:
    with RawWorker() as worker:
        worker.ask(1, "shutdown")
        assert worker.read() == {"jsonrpc": "2.0", "id": 1, "result": {}}
        assert worker.process.wait(5) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
@pytest.mark.parametrize("running", [False, True])
def test_a_termination_signal_leaves_nothing(tmp_path: Path, running: bool) -> None:
    with RawWorker() as worker:
        worker.ask(1, "hello")
        worker.read()
        if running:
            worker.ask(2, "run", output=str(tmp_path / "result"))
            worker.read()
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(5) == 0
        assert worker.process.stderr is not None
        assert b"Fatal" not in worker.process.stderr.read()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("bundle", "kind"),
    [("no memory", "out-of-memory"), ("no memory in torch", "out-of-memory"), ("full disk", "disk-full")],
)
def test_failures_of_the_machine_are_told_apart(tmp_path: Path, bundle: str, kind: str) -> None:
    with RawWorker() as worker:
        worker.ask(1, "run", output=str(tmp_path), bundle=bundle)
        answer = worker.answer()
        assert answer["error"]["data"]["kind"] == kind
        assert "jane" not in str(answer)


def test_a_fraction_that_rounding_made_too_large_is_no_failure(tmp_path: Path) -> None:
    with RawWorker() as worker:
        worker.ask(1, "run", output=str(tmp_path), bundle="more than all")
        assert worker.read()["params"]["fraction"] == 1.0
        assert "result" in worker.read()
