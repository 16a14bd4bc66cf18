"""The worker's client: starts the process, talks to it, and ends it with all it started."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.inference.result_folder import STAGING_VARIABLE, remove_staging
from OrthoDiffusionLib.worker.job_folder import JOB_FOLDER_VARIABLE, JobFolder
from OrthoDiffusionLib.worker.messages import (
    PROTOCOL_VERSION,
    CancelResult,
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
from OrthoDiffusionLib.worker.process import WorkerProcess

LIBRARY_ROOT = Path(__file__).resolve().parents[2]
BOOTSTRAP = (
    "import sys; sys.path[:] = [path for path in sys.path if path];"
    "sys.argv[1] in sys.path or sys.path.insert(0, sys.argv[1]);"
    "from OrthoDiffusionLib.worker.server import main; main()"
)
"""Starts the worker of this very library. `python -m` would look for modules in the current folder first: that may be
a folder of images from somewhere, and a numpy.py in it would be run."""

WAKE_SECONDS = 0.5
"""How often a wait for an answer looks up: on Windows, Ctrl-C does not interrupt it."""

log = logging.getLogger("orthodiffusion.worker")
OnProgress = Callable[[Progress], None]
_MESSAGE: TypeAdapter[Response | Notification] = TypeAdapter(Response | Notification)


class WorkerClient:
    """A worker process and the line to it; use it as a context manager, so that the process ends whatever happens.

    Its methods may be called from several threads; the worker runs one study at a time and refuses another. What
    it logs goes to the logger `orthodiffusion.worker`, at the level DEBUG; its last lines also come with the report of
    its death.

    Args:
        command: that starts the worker; the default runs this library's with this Python.

    Raises:
        OrthoDiffusionError: WORKER_DIED, when the process cannot be started; what `JobFolder` raises.
    """

    def __init__(self, command: Sequence[str] | None = None) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[int, queue.SimpleQueue[Response | Notification | None]] = {}
        self._last_id = 0
        self._dead = False
        self._greeted = False
        self._unfinished: list[Path] = []
        self._job_folder = JobFolder()
        try:
            self._process = WorkerProcess(
                command or (sys.executable, "-c", BOOTSTRAP, str(LIBRARY_ROOT)),
                _environment(self._job_folder),
                self._hear,
                self._give_up,
            )
        except OSError as error:
            self._job_folder.remove()
            raise OrthoDiffusionError(
                ErrorKind.WORKER_DIED,
                "The background process could not be started.",
                "Run “orthodiffusion doctor”.",
                detail=str(error),
            ) from error

    def __enter__(self) -> WorkerClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Of the process that was started."""
        return self._process.pid

    def hello(self) -> HelloResult:
        """Ask the worker what it is.

        Raises:
            OrthoDiffusionError: WORKER_PROTOCOL, when it speaks another version of the protocol.
        """
        hello = HelloResult.model_validate(self._call("hello", {}))
        if hello.protocol != PROTOCOL_VERSION:
            raise OrthoDiffusionError(
                ErrorKind.WORKER_PROTOCOL,
                "The background process is of another version.",
                "Install OrthoDiffusion again.",
                detail=f"it speaks protocol {hello.protocol}, this program {PROTOCOL_VERSION}",
            )
        self._greeted = True
        return hello

    def load(self, params: LoadParams) -> LoadResult:
        """Load a bundle ahead of a run.

        Raises:
            OrthoDiffusionError: what the worker answers, or WORKER_DIED.
        """
        return LoadResult.model_validate(self._call("load", params.model_dump(mode="json")))

    def run(self, params: RunParams, on_progress: OnProgress = lambda _: None) -> RunResult:
        """Run a study; `on_progress` is called from this thread.

        Raises:
            OrthoDiffusionError: what the worker answers, or WORKER_DIED; nothing of the run is left behind then.
        """
        if not self._greeted:
            # A worker of another version is told from one that refuses the study.
            self.hello()
        self._unfinished.append(params.output)
        try:
            result = RunResult.model_validate(self._call("run", params.model_dump(mode="json"), on_progress))
        except OrthoDiffusionError as error:
            if error.kind is ErrorKind.WORKER_DIED:
                self._remove_unfinished()
            else:
                self._unfinished.remove(params.output)
            raise
        self._unfinished.remove(params.output)
        return result

    def cancel(self) -> bool:
        """Stop the run that another thread waits for, or whose `on_progress` this is called from.

        Returns:
            whether there was one; it then ends with CANCELLED, unless it was just done.
        """
        return CancelResult.model_validate(self._call("cancel", {})).cancelling

    def close(self) -> None:
        """End the worker and its children: by request, then by end-of-file, then by force. Calling twice is fine."""
        with contextlib.suppress(OrthoDiffusionError):
            self._send(0, "shutdown", {})
        self._process.end()
        self._remove_unfinished()
        self._job_folder.remove()

    def _call(self, method: str, params: Mapping[str, Any], on_progress: OnProgress | None = None) -> dict[str, Any]:
        answers: queue.SimpleQueue[Response | Notification | None] = queue.SimpleQueue()
        with self._lock:
            self._last_id += 1
            number = self._last_id
            self._waiting[number] = answers
            if self._dead:
                answers.put(None)
        try:
            self._send(number, method, params)
            while (message := _next(answers)) is not None:
                if isinstance(message, Response):
                    if message.error is not None:
                        raise message.error.exception()
                    return message.result or {}
                if on_progress is not None:
                    on_progress(message.params)
        finally:
            with self._lock:
                del self._waiting[number]
        raise self._death()

    def _send(self, number: int, method: str, params: Mapping[str, Any]) -> None:
        request = Request.model_validate({"id": number, "method": method, "params": params})
        try:
            self._process.write(request.line())
        except PydanticSerializationError as error:
            raise OrthoDiffusionError(
                ErrorKind.USAGE,
                "The name of a file or folder holds characters that are not text.",
                "Rename it and try again.",
                detail=str(error),
            ) from error
        except (OSError, ValueError) as error:
            raise self._death() from error

    def _hear(self, line: bytes) -> None:
        try:
            message = _MESSAGE.validate_json(line)
        except ValidationError:
            log.warning("the worker wrote a line that is no message (%d bytes)", len(line))
            return
        with self._lock:
            # A notification is for whoever runs; an answer without a number, to a request that was not understood, is
            # for all, so that nobody waits in vain.
            number = message.id if isinstance(message, Response) else None
            waiting = [self._waiting.get(number)] if number is not None else list(self._waiting.values())
            for answers in waiting:
                if answers is not None:
                    answers.put(message)

    def _give_up(self) -> None:
        with self._lock:
            self._dead = True
            for answers in self._waiting.values():
                answers.put(None)

    def _remove_unfinished(self) -> None:
        outputs, self._unfinished = self._unfinished, []
        for output in outputs:
            remove_staging(output, self._job_folder.token)

    def _death(self) -> OrthoDiffusionError:
        return OrthoDiffusionError(
            ErrorKind.WORKER_DIED,
            "The background process ended in the middle of its work.",
            "Run the study again; if it happens again, look at the log.",
            detail=self._process.epitaph(),
        )


def _next(answers: queue.SimpleQueue[Response | Notification | None]) -> Response | Notification | None:
    while True:
        with contextlib.suppress(queue.Empty):
            return answers.get(timeout=WAKE_SECONDS)


def _environment(job_folder: JobFolder) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
        JOB_FOLDER_VARIABLE: str(job_folder.path),
        STAGING_VARIABLE: job_folder.token,
        # Temporary files of every library land in the job folder and go with it.
        **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(job_folder.path)),
    }
