"""The worker's client: starts the process, talks to it, and ends it with all it started."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from pydantic import ValidationError

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.worker.job_folder import JOB_FOLDER_VARIABLE, make_job_folder, remove_folder, remove_staging
from OrthoDiffusionLib.worker.messages import (
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

LOG_LINES = 200
"""Last lines of the worker's log that are kept for the report of its death."""

POLITE_SECONDS = 3.0

log = logging.getLogger("orthodiffusion.worker")
OnProgress = Callable[[Progress], None]


class WorkerClient:
    """A worker process and the line to it; use it as a context manager, so that the process ends whatever happens.

    Args:
        command: that starts the worker; the default runs this Python's.
    """

    def __init__(self, command: Sequence[str] | None = None) -> None:
        self._command = list(command or (sys.executable, "-m", "OrthoDiffusionLib.worker"))
        self._messages: queue.Queue[Response | Notification | None] = queue.Queue()
        self._log_tail: deque[str] = deque(maxlen=LOG_LINES)
        self._next_id = 0
        self._send_lock = threading.Lock()
        self._job_folder = make_job_folder()
        try:
            self._process = self._start()
        except OSError as error:
            remove_folder(self._job_folder)
            raise OrthoDiffusionError(
                ErrorKind.WORKER_DIED,
                "The background process could not be started.",
                "Run “orthodiffusion doctor”.",
                detail=str(error),
            ) from error
        for target in (self._read_answers, self._read_log):
            threading.Thread(target=target, daemon=True).start()

    def __enter__(self) -> WorkerClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The worker's process."""
        return self._process.pid

    def hello(self) -> HelloResult:
        """Ask the worker what it is."""
        return HelloResult.model_validate(self._call("hello", {}))

    def load(self, params: LoadParams) -> LoadResult:
        """Load a bundle ahead of a run."""
        return LoadResult.model_validate(self._call("load", params.model_dump(mode="json")))

    def run(self, params: RunParams, on_progress: OnProgress = lambda _: None) -> RunResult:
        """Run a study; `on_progress` is called from this thread.

        Raises:
            OrthoDiffusionError: what the worker answers, or WORKER_DIED; nothing of the run is left behind then.
        """
        try:
            return RunResult.model_validate(self._call("run", params.model_dump(mode="json"), on_progress))
        except OrthoDiffusionError as error:
            if error.kind is ErrorKind.WORKER_DIED:
                remove_staging(params.output, self.pid)
            raise

    def cancel(self) -> None:
        """Tell the worker to stop its run; may be called from another thread or a signal handler."""
        self._send("cancel", {})

    def close(self) -> None:
        """End the worker and its children: by request, then by end-of-file, then by force. Calling twice is fine."""
        with contextlib.suppress(OrthoDiffusionError):
            if self._process.poll() is None:
                self._send("shutdown", {})
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        for end in (None, signal.SIGTERM, None):
            try:
                if end is not None:
                    self._signal_group(end)
                self._process.wait(POLITE_SECONDS)
                break
            except subprocess.TimeoutExpired:
                continue
        self._signal_group(getattr(signal, "SIGKILL", signal.SIGTERM))
        self._process.wait()
        remove_folder(self._job_folder)

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            "PYTHONUTF8": "1",
            JOB_FOLDER_VARIABLE: str(self._job_folder),
            # Temporary files of every library land in the job folder and go with it.
            **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(self._job_folder)),
        }
        own_group: dict[str, Any] = (
            {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
            if sys.platform == "win32"
            else {"start_new_session": True}
        )
        return subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            **own_group,
        )

    def _signal_group(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if sys.platform == "win32":
                if self._process.poll() is None:
                    subprocess.run(["taskkill", "/F", "/T", "/PID", str(self.pid)], capture_output=True, check=False)
            else:
                os.killpg(self.pid, number)

    def _send(self, method: str, params: dict[str, Any]) -> int:
        with self._send_lock:
            self._next_id += 1
            request = Request.model_validate({"id": self._next_id, "method": method, "params": params})
            assert self._process.stdin is not None
            try:
                self._process.stdin.write(request.model_dump_json().encode() + b"\n")
                self._process.stdin.flush()
            except (OSError, ValueError) as error:
                raise self._death() from error
            return request.id

    def _call(self, method: str, params: dict[str, Any], on_progress: OnProgress = lambda _: None) -> dict[str, Any]:
        number = self._send(method, params)
        while (message := self._messages.get()) is not None:
            if isinstance(message, Notification):
                on_progress(message.params)
            elif message.id == number:
                if message.error is not None:
                    raise message.error.exception()
                return message.result or {}
        self._messages.put(None)
        raise self._death()

    def _read_answers(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                kind = Notification if b'"method"' in line[:200] else Response
                self._messages.put(kind.model_validate_json(line))
            except ValidationError:
                log.warning("the worker wrote a line that is no message (%d bytes)", len(line))
        self._messages.put(None)

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            text = line.decode(errors="replace").rstrip()
            self._log_tail.append(text)
            log.debug("%s", text)

    def _death(self) -> OrthoDiffusionError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(POLITE_SECONDS)
        return OrthoDiffusionError(
            ErrorKind.WORKER_DIED,
            "The background process ended in the middle of its work.",
            "Run the study again; if it happens again, look at the log.",
            detail=f"exit status {self._process.returncode}\n" + "\n".join(self._log_tail),
        )
