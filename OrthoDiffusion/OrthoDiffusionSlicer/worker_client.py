"""The one worker process of the module, on QProcess: nothing here ever waits, except a moment when the program ends."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import qt
import slicer

from OrthoDiffusionSlicer.environment import Installation
from OrthoDiffusionSlicer.protocol import Conversation, OnError, OnProgress, OnResult, WorkerError

log = logging.getLogger("OrthoDiffusion")

LAST_WAIT_MS = 1500
"""How long the end of the program waits for the worker, which ends by itself at end-of-file, before it is killed."""

CANCEL_GRACE_MS = 3000
"""How long a cancelled run gets to end by itself, so that the networks stay loaded, before the worker is killed."""

DIED = WorkerError(
    "worker-died",
    "The background process ended in the middle of its work.",
    "Click again to start it anew; if it happens again, look at the log.",
)
CANCELLED = WorkerError("cancelled", "The run was cancelled; no result was made.", "Start it again when you like.")


class WorkerClient:
    """Starts the worker when it is first needed, keeps it, and starts it anew after its death."""

    def __init__(self, installation: Installation, onProgress: OnProgress) -> None:
        self._installation = installation
        self._conversation = Conversation(onProgress, lambda line: log.warning("stray line of the worker: %s", line))
        self._process: Any = None
        self._ended: Any = None
        self._reason = DIED
        self._workerPid = 0
        self._folder: Any = None
        self._logBuffer = b""

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.state() != qt.QProcess.NotRunning

    @property
    def pid(self) -> int:
        """Of the process; 0 when it is not there."""
        return int(self._process.processId()) if self.running else 0

    def privateFolder(self) -> Path:
        """A folder of this user's alone (mode 0700) that goes when the worker ends.

        Should this program and the worker both be killed, the next one that makes such a folder removes it.

        Raises:
            OSError: with a sentence for the person, when there is no place for temporary files.
        """
        # Not before the installation was found, which makes the library importable; needs the standard library alone.
        from OrthoDiffusionLib.errors import OrthoDiffusionError
        from OrthoDiffusionLib.worker.job_folder import JobFolder

        if self._folder is None or not self._folder.path.is_dir():
            try:
                self._folder = JobFolder()
            except OrthoDiffusionError as error:
                raise OSError(str(error)) from error
        path: Path = self._folder.path
        return path

    def request(self, method: str, params: dict[str, Any], onResult: OnResult, onError: OnError) -> None:
        """Ask the worker; the answer comes to one of the two functions in this thread, at once if it cannot start."""
        starts = not self.running
        greeting = self._greet() if starts else b""
        line = self._conversation.request(method, params, onResult, onError)
        if starts:
            self._start()
        if self._process is not None:
            self._process.write(qt.QByteArray(greeting + line))

    def cancel(self) -> None:
        """Stop what is being run: the worker is asked to, and killed when it does not."""
        if not self.running:
            return
        process, asked = self._process, self._conversation.pending

        def insist() -> None:
            if self._process is process and asked & self._conversation.pending:
                log.warning("the worker did not stop in time and is killed")
                self._reason = CANCELLED
                self._kill(process)

        self.request("cancel", {}, lambda _answer: None, lambda error: log.info(error.text()))
        qt.QTimer.singleShot(CANCEL_GRACE_MS, insist)

    def close(self) -> None:
        """End the worker."""
        process, self._process = self._process, None
        self._conversation.abandon(CANCELLED)
        if process is not None and process.state() != qt.QProcess.NotRunning:
            process.closeWriteChannel()
            if not process.waitForFinished(LAST_WAIT_MS):
                self._kill(process)
                process.waitForFinished(LAST_WAIT_MS)
        self._removeFolder()

    def _start(self) -> None:
        program, arguments = self._installation.worker_command()
        try:
            folder = self.privateFolder()
        except OSError as error:
            self._giveUp(WorkerError("output-not-writable", str(error), ""))
            return
        # Slicer's own variables would lead another Python astray.
        environment = (
            slicer.app.startupEnvironment()
            if self._installation.has_own_python
            else qt.QProcessEnvironment.systemEnvironment()
        )
        for name, value in self._installation.worker_environment(folder).items():
            environment.insert(name, value)
        self._reason = DIED
        self._workerPid = 0
        self._logBuffer = b""
        self._process = qt.QProcess()
        self._process.setProcessEnvironment(environment)
        self._process.setWorkingDirectory(str(folder))
        self._process.connect("readyReadStandardOutput()", self._onOutput)
        self._process.connect("readyReadStandardError()", self._onLog)
        self._process.connect("finished(int,QProcess::ExitStatus)", self._onFinished)
        self._process.connect("errorOccurred(QProcess::ProcessError)", self._onProcessError)
        self._process.start(program, arguments)

    def _greet(self) -> bytes:
        """The line that asks the worker who it is: behind a launcher, as PythonSlicer is, the process is another."""

        def remember(answer: dict[str, Any]) -> None:
            self._workerPid = int(answer.get("pid", 0))

        return self._conversation.request("hello", {}, remember, lambda error: log.info(error.text()))

    def _kill(self, process: Any) -> None:
        """End the process at once, and the worker itself, which outlives its launcher."""
        pid, self._workerPid = self._workerPid, 0
        if pid and pid != int(process.processId()):
            if sys.platform == "win32":
                command = ["taskkill", "/F", "/T", "/PID", str(pid)]
                subprocess.run(command, capture_output=True, check=False, creationflags=subprocess.CREATE_NO_WINDOW)
            else:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
        process.kill()

    def _onOutput(self) -> None:
        if self._process is not None:
            self._conversation.receive(bytes(self._process.readAllStandardOutput().data()))

    def _onLog(self) -> None:
        if self._process is not None:
            self._logBuffer += bytes(self._process.readAllStandardError().data())
            *lines, self._logBuffer = self._logBuffer.split(b"\n")
            for line in lines:
                log.info("%s", line.decode(errors="replace").rstrip())

    def _onFinished(self, exitCode: int, exitStatus: Any) -> None:
        self._onOutput()
        self._onLog()
        log.info("the worker ended with exit code %s", exitCode)
        if self._process is not None:
            self._giveUp(self._reason)

    def _onProcessError(self, error: Any) -> None:
        # Only a failed start comes without `finished`.
        if self._process is not None and error == qt.QProcess.FailedToStart:
            program, _arguments = self._installation.worker_command()
            self._giveUp(
                WorkerError(
                    "worker-died",
                    "The background process could not be started.",
                    "Install the extension again.",
                    f"could not start {program}",
                )
            )

    def _giveUp(self, reason: WorkerError) -> None:
        # Its last reference must not go while one of its own signals is being sent.
        self._ended, self._process = self._process, None
        self._removeFolder()
        self._conversation.abandon(reason)

    def _removeFolder(self) -> None:
        if self._folder is not None:
            self._folder.remove()
            self._folder = None
