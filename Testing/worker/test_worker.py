"""The worker process as clients meet it: real processes, real pipes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.worker.client import WorkerClient
from OrthoDiffusionLib.worker.messages import LoadParams, Progress, RunParams

SLOW = (sys.executable, str(Path(__file__).with_name("slow_worker.py")))


@pytest.fixture
def client() -> Iterator[WorkerClient]:
    with WorkerClient(SLOW) as worker:
        yield worker


def run_in_thread(
    client: WorkerClient, output: Path
) -> tuple[threading.Thread, list[OrthoDiffusionError], list[Progress]]:
    errors: list[OrthoDiffusionError] = []
    told: list[Progress] = []

    def run() -> None:
        try:
            client.run(RunParams(output=output), told.append)
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
    job_folder = client._job_folder
    thread, errors, _ = run_in_thread(client, tmp_path / "result")
    assert list(tmp_path.iterdir()), "the worker stages its result beside the output"
    os.kill(client.pid, 9)
    thread.join(10)
    assert [error.kind for error in errors] == [ErrorKind.WORKER_DIED]
    assert list(tmp_path.iterdir()) == []
    client.close()
    assert not job_folder.exists()


def test_client_gone_ends_the_worker(tmp_path: Path) -> None:
    process = subprocess.Popen(SLOW, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdin is not None and process.stdout is not None
    request = {"jsonrpc": "2.0", "id": 1, "method": "run", "params": {"output": str(tmp_path / "result")}}
    process.stdin.write(json.dumps(request).encode() + b"\n")
    process.stdin.flush()
    process.stdout.readline()
    process.stdin.close()
    assert process.wait(5) == 0
    assert list(tmp_path.iterdir()) == []


def test_unknown_messages_are_answered_and_survived(tmp_path: Path) -> None:
    process = subprocess.Popen(SLOW, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    messages = [
        b"not json",
        b'{"jsonrpc": "2.0", "id": 7, "method": "dance"}',
        b"[1]",
        b'{"jsonrpc":"2.0","id":8,"method":"hello"}',
    ]
    out, _ = process.communicate(b"\n".join(messages) + b"\n", timeout=20)
    answers = [json.loads(line) for line in out.splitlines()]
    assert [answer.get("id") for answer in answers] == [None, 7, None, 8]
    assert [answer["error"]["data"]["kind"] for answer in answers[:3]] == ["worker-protocol"] * 3
    assert answers[3]["result"]["protocol"] == 1


def test_one_job_at_a_time(client: WorkerClient, tmp_path: Path) -> None:
    process = subprocess.Popen(SLOW, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdin is not None and process.stdout is not None
    for number in (1, 2):
        request = {"jsonrpc": "2.0", "id": number, "method": "run", "params": {"output": str(tmp_path / "result")}}
        process.stdin.write(json.dumps(request).encode() + b"\n")
    process.stdin.flush()
    answer = next(message for message in map(json.loads, process.stdout) if "id" in message)
    assert (answer["id"], answer["error"]["data"]["kind"]) == (2, "worker-busy")
    process.stdin.close()
    process.wait(5)


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
