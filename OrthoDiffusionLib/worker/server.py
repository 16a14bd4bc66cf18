"""The worker's server: one thread listens, the main thread computes.

Cancelling is answered by the listening thread at once, whatever the main thread is doing; the run itself ends before
the network's next layer. End-of-file on standard input means that the client is gone: the run is cancelled, the process
ends.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TextIO

from pydantic import BaseModel, ValidationError

from OrthoDiffusionLib import __version__
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.inference.request import StudyRequest
from OrthoDiffusionLib.inference.watch import Watch
from OrthoDiffusionLib.worker.job_folder import JOB_FOLDER_VARIABLE, remove_folder
from OrthoDiffusionLib.worker.messages import (
    PROTOCOL_VERSION,
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

if TYPE_CHECKING:
    from OrthoDiffusionLib.inference.model import LoadedModel

PROGRESS_INTERVAL = 0.05
"""Seconds between two progress notifications of one stage: 20 a second is all that a person sees."""

LAST_GRACE = 10.0
"""Seconds that a run gets to clean up after the client is gone, before the process ends regardless."""

log = logging.getLogger("orthodiffusion.worker")


class Runner(Protocol):
    """What computes: the inference engine."""

    def load(self, bundle: str | None, device: str = "auto") -> LoadedModel:
        """Load a bundle."""

    def run(self, request: StudyRequest, watch: Watch) -> Path:
        """Run a study."""


class Server:
    """Serves one client over two streams until it says `shutdown` or closes its side."""

    def __init__(self, requests: BinaryIO, answers: TextIO, make_runner: Callable[[], Runner]) -> None:
        self._requests = requests
        self._answers = answers
        self._make_runner = make_runner
        self._runner: Runner | None = None
        self._jobs: queue.Queue[Request | None] = queue.Queue()
        self._write_lock = threading.Lock()
        self._busy = threading.Event()
        self._cancelled = threading.Event()

    def serve(self) -> None:
        """Serve until the client is done; the calling thread computes."""
        threading.Thread(target=self._listen, name="listener", daemon=True).start()
        while (job := self._jobs.get()) is not None:
            self._answer(job)
            self._busy.clear()

    def _listen(self) -> None:
        for line in self._requests:
            if not line.strip():
                continue
            try:
                request = Request.model_validate_json(line)
            except ValidationError as error:
                self._refuse(
                    _id_of(line), ErrorKind.WORKER_PROTOCOL, "The worker got a message it does not know.", error
                )
                continue
            if request.method == "shutdown":
                self._send(Response(id=request.id, result={}))
                break
            self._receive(request)
        self._cancelled.set()
        self._jobs.put(None)
        threading.Thread(target=self._end_regardless, daemon=True).start()

    def _receive(self, request: Request) -> None:
        if request.method == "hello":
            hello = HelloResult(protocol=PROTOCOL_VERSION, version=__version__, pid=os.getpid())
            self._send(Response(id=request.id, result=hello.model_dump(mode="json")))
        elif request.method == "cancel":
            running = self._busy.is_set()
            if running:
                self._cancelled.set()
            self._send(Response(id=request.id, result={"cancelling": running}))
        elif self._busy.is_set():
            self._refuse(request.id, ErrorKind.WORKER_BUSY, "Another study is being run.", None)
        else:
            self._cancelled.clear()
            self._busy.set()
            self._jobs.put(request)

    def _answer(self, request: Request) -> None:
        began = time.monotonic()
        try:
            if request.method == "load":
                result: BaseModel = self._load(LoadParams.model_validate(request.params), began)
            else:
                result = self._run(RunParams.model_validate(request.params), began)
            response = Response(id=request.id, result=result.model_dump(mode="json"))
        except Exception as error:
            response = Response(id=request.id, error=ErrorBody.of(presentable(error)))
        self._send(response)

    def _load(self, params: LoadParams, began: float) -> LoadResult:
        model = self._engine().load(params.bundle, params.device)
        manifest = model.bundle.manifest
        seconds = round(time.monotonic() - began, 3)
        return LoadResult(name=manifest.name, version=manifest.version, device=str(model.device), seconds=seconds)

    def _run(self, params: RunParams, began: float) -> RunResult:
        request = StudyRequest(
            output=params.output,
            paths=params.paths,
            series=params.series,
            bundle=params.bundle,
            segment=params.segment,
            diagnose=params.diagnose,
            device=params.device,
            seed=params.seed,
        )
        output = self._engine().run(request, _RunWatch(self._cancelled, self._send))
        return RunResult(output=output, seconds=round(time.monotonic() - began, 3))

    def _engine(self) -> Runner:
        if self._runner is None:
            self._runner = self._make_runner()
        return self._runner

    def _refuse(self, request: int | None, kind: ErrorKind, sentence: str, cause: Exception | None) -> None:
        action = "Wait until it is done, or cancel it." if kind is ErrorKind.WORKER_BUSY else "Restart the program."
        error = OrthoDiffusionError(kind, sentence, action, detail=type(cause).__name__ if cause else "")
        self._send(Response(id=request, error=ErrorBody.of(error)))

    def _send(self, message: BaseModel) -> None:
        line = message.model_dump_json(exclude_none=isinstance(message, Response) and message.id is not None)
        with self._write_lock:
            try:
                self._answers.write(line + "\n")
                self._answers.flush()
            except (BrokenPipeError, ValueError):
                self._cancelled.set()

    @staticmethod
    def _end_regardless() -> None:
        time.sleep(LAST_GRACE)
        _remove_job_folder()
        os._exit(1)


class _RunWatch:
    """Tells the client of progress, and stops the run when it is cancelled."""

    def __init__(self, cancelled: threading.Event, send: Callable[[BaseModel], None]) -> None:
        self._cancelled = cancelled
        self._send = send
        self._stage = ""
        self._told = 0.0

    def progress(self, stage: str, fraction: float, message: str) -> None:
        self.check()
        now = time.monotonic()
        if stage != self._stage or now - self._told >= PROGRESS_INTERVAL or fraction >= 1:
            self._stage, self._told = stage, now
            self._send(Notification(params=Progress(stage=stage, fraction=fraction, message=message)))

    def check(self) -> None:
        if self._cancelled.is_set():
            raise OrthoDiffusionError(
                ErrorKind.CANCELLED, "The run was cancelled; no result was written.", "Start it again when you like."
            )


def presentable(error: Exception) -> OrthoDiffusionError:
    """The error as a person can be told of it; an unforeseen one goes to the log with its trace."""
    if isinstance(error, OrthoDiffusionError):
        return error
    if isinstance(error, ValidationError):
        return OrthoDiffusionError(
            ErrorKind.USAGE,
            "The request is not one that the worker understands.",
            "Check the options of the request.",
            detail="; ".join(".".join(map(str, problem["loc"])) + ": " + problem["msg"] for problem in error.errors()),
        )
    if isinstance(error, MemoryError):
        return OrthoDiffusionError(
            ErrorKind.OUT_OF_MEMORY,
            "There is too little memory for this study.",
            "Close other programs and run it again.",
        )
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return OrthoDiffusionError(
            ErrorKind.DISK_FULL, "The disk is full; no result was written.", "Free some space and run it again."
        )
    log.error("unforeseen error", exc_info=error)
    return OrthoDiffusionError(
        ErrorKind.INTERNAL,
        "Something went wrong that should not have.",
        "Look at the log, and report it with the steps that led here.",
        detail=type(error).__name__,
    )


def _id_of(line: bytes) -> int | None:
    try:
        message: Any = json.loads(line)
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
    """Serve over this process's standard input and output."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    # Whatever a library prints goes to standard error; the protocol keeps the real standard output to itself.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    os.dup2(2, 1)
    try:
        Server(sys.stdin.buffer, answers, make_runner).serve()
    finally:
        _remove_job_folder()
    # The listener may still hold standard input; a full interpreter exit around it now and then aborts.
    answers.flush()
    sys.stderr.flush()
    os._exit(0)
