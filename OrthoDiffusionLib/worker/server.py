"""The worker's server: one thread listens, the main thread computes.

Cancelling is answered by the listening thread at once, whatever the main thread is doing; the run itself ends before
the network's next layer. End-of-file on standard input means that the client is gone: the run is cancelled, the process
ends.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from pydantic import ValidationError
from pydantic_core import from_json

from OrthoDiffusionLib import __version__
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.inference.request import StudyRequest
from OrthoDiffusionLib.inference.result_folder import remove_staging, staging_token
from OrthoDiffusionLib.inference.watch import Watch
from OrthoDiffusionLib.worker.failures import as_told, not_understood
from OrthoDiffusionLib.worker.job_folder import JOB_FOLDER_VARIABLE, remove_folder
from OrthoDiffusionLib.worker.messages import (
    PROTOCOL_VERSION,
    CancelResult,
    ErrorBody,
    HelloResult,
    LoadParams,
    LoadResult,
    Notification,
    Progress,
    Request,
    Response,
    RunParams,
    RunResult,
)
from OrthoDiffusionLib.worker.streams import take_protocol_streams

if TYPE_CHECKING:
    from OrthoDiffusionLib.inference.model import LoadedModel

PROGRESS_INTERVAL = 0.05
"""Seconds between two progress notifications of one stage: 20 a second is all that a person sees."""

LAST_GRACE = 1.0
"""Seconds that a job gets to end by itself after the client is gone, before the process ends regardless."""

log = logging.getLogger("orthodiffusion.worker")


class Runner(Protocol):
    """What computes: the inference engine."""

    def load(self, bundle: str | None, device: str = "auto") -> LoadedModel:
        """Load a bundle."""

    def run(self, request: StudyRequest, watch: Watch) -> Path:
        """Run a study."""


class Server:
    """Serves one client over two streams until it says `shutdown` or closes its side.

    Args:
        requests: that the client writes to, one message a line.
        answers: that the client reads from.
        make_runner: makes what computes; called in the computing thread, when there is something to compute.
    """

    def __init__(self, requests: BinaryIO, answers: BinaryIO, make_runner: Callable[[], Runner]) -> None:
        self._requests = requests
        self._answers = answers
        self._make_runner = make_runner
        self._runner: Runner | None = None
        # A simple queue, for it can be put to from a signal handler.
        self._jobs: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._write_lock = threading.Lock()
        self._busy = threading.Event()
        self._cancelled = threading.Event()
        self._output: Path | None = None

    def serve(self) -> None:
        """Serve until the client is done; the calling thread computes."""
        threading.Thread(target=self._listen, name="listener", daemon=True).start()
        while (job := self._jobs.get()) is not None:
            response = self._respond(job)
            # Before the answer goes out, for the client may send its next job the moment it has it.
            self._busy.clear()
            self._send(response)

    def stop(self) -> None:
        """Cancel what is being computed and end; may be called from any thread and from a signal handler."""
        self._cancelled.set()
        self._jobs.put(None)
        threading.Thread(target=self._end_regardless, name="end", daemon=True).start()

    def _listen(self) -> None:
        try:
            for line in self._requests:
                if line.strip() and not self._hear(line):
                    break
        finally:
            self.stop()

    def _hear(self, line: bytes) -> bool:
        """Take one line; False when it was the last one that the client has to say."""
        try:
            request = Request.model_validate_json(line)
        except ValidationError as error:
            unknown = OrthoDiffusionError(
                ErrorKind.WORKER_PROTOCOL,
                "The worker got a message that it does not know.",
                "Update OrthoDiffusion and the program that uses it to the same version.",
                detail="; ".join(problem["type"] for problem in error.errors()),
            )
            self._send(Response(id=_id_of(line), error=ErrorBody.of(unknown)))
            return True
        if request.method == "shutdown":
            self._send(Response(id=request.id, result={}))
            return False
        if request.method == "hello":
            hello = HelloResult(protocol=PROTOCOL_VERSION, version=__version__, pid=os.getpid())
            self._send(Response(id=request.id, result=hello.model_dump(mode="json")))
        elif request.method == "cancel":
            running = self._busy.is_set()
            if running:
                self._cancelled.set()
            self._send(Response(id=request.id, result=CancelResult(cancelling=running).model_dump()))
        elif self._busy.is_set():
            busy = OrthoDiffusionError(
                ErrorKind.WORKER_BUSY, "Another study is being run.", "Wait until it is done, or cancel it."
            )
            self._send(Response(id=request.id, error=ErrorBody.of(busy)))
        else:
            self._cancelled.clear()
            self._busy.set()
            self._jobs.put(request)
        return True

    def _respond(self, request: Request) -> Response:
        began = time.monotonic()
        try:
            result = (self._load if request.method == "load" else self._run)(request, began)
        except Exception as error:
            return Response(id=request.id, error=ErrorBody.of(as_told(error)))
        finally:
            self._output = None
        return Response(id=request.id, result=result.model_dump(mode="json"))

    def _load(self, request: Request, began: float) -> LoadResult:
        try:
            params = LoadParams.model_validate(request.params)
        except ValidationError as error:
            raise not_understood(error) from error
        model = self._engine().load(params.bundle, params.device)
        manifest = model.bundle.manifest
        return LoadResult(
            name=manifest.name, version=manifest.version, device=str(model.device), seconds=_seconds_since(began)
        )

    def _run(self, request: Request, began: float) -> RunResult:
        try:
            params = RunParams.model_validate(request.params)
        except ValidationError as error:
            raise not_understood(error) from error
        study = StudyRequest(
            output=params.output,
            paths=params.paths,
            series=params.series,
            bundle=params.bundle,
            segment=params.segment,
            diagnose=params.diagnose,
            combine=params.combine,
            device=params.device,
            seed=params.seed,
            clinical=params.clinical,
        )
        self._output = params.output
        output = self._engine().run(study, _RunWatch(self._cancelled, self._send))
        return RunResult(output=output, seconds=_seconds_since(began))

    def _engine(self) -> Runner:
        if self._runner is None:
            self._runner = self._make_runner()
        return self._runner

    def _send(self, message: Response | Notification) -> None:
        with self._write_lock:
            try:
                self._answers.write(message.line())
                self._answers.flush()
            except OSError:
                # Nobody reads any more; end-of-file on the other stream follows.
                self._cancelled.set()

    def _end_regardless(self) -> None:
        time.sleep(LAST_GRACE)
        if self._output is not None:
            remove_staging(self._output, staging_token())
        _remove_job_folder()
        # The computing thread is somewhere that it cannot be called back from.
        os._exit(1)


class _RunWatch:
    """Tells the client of progress, and stops the run when it is cancelled."""

    def __init__(self, cancelled: threading.Event, send: Callable[[Notification], None]) -> None:
        self._cancelled = cancelled
        self._send = send
        self._stage = ""
        self._told = 0.0

    def progress(self, stage: str, fraction: float, message: str) -> None:
        self.check()
        now = time.monotonic()
        if stage != self._stage or now - self._told >= PROGRESS_INTERVAL or fraction >= 1:
            self._stage, self._told = stage, now
            fraction = min(max(fraction, 0.0), 1.0)
            self._send(Notification(params=Progress(stage=stage, fraction=fraction, message=message)))

    def check(self) -> None:
        if self._cancelled.is_set():
            raise OrthoDiffusionError(
                ErrorKind.CANCELLED, "The run was cancelled; no result was written.", "Start it again when you like."
            )


def _seconds_since(began: float) -> float:
    return round(time.monotonic() - began, 3)


def _id_of(line: bytes) -> int | None:
    try:
        message = from_json(line)
    except ValueError:
        return None
    number = message.get("id") if isinstance(message, dict) else None
    return number if isinstance(number, int) else None


def _remove_job_folder() -> None:
    if folder := os.environ.get(JOB_FOLDER_VARIABLE):
        remove_folder(Path(folder))


def _make_engine() -> Runner:
    from OrthoDiffusionLib.inference.engine import Engine

    return Engine()


def main(make_runner: Callable[[], Runner] = _make_engine) -> None:
    """Serve over this process's standard input and output; a termination signal ends it like end-of-file does."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    server = Server(*take_protocol_streams(), make_runner)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    try:
        server.serve()
    finally:
        _remove_job_folder()
