"""The one worker process of the module, on QProcess: nothing here ever waits, except a moment when the program ends."""

from __future__ import annotations

import logging
from typing import Any

import qt

from OrthoDiffusionSlicer.environment import Installation
from OrthoDiffusionSlicer.protocol import Conversation, OnError, OnProgress, OnResult, WorkerError

log = logging.getLogger("OrthoDiffusion")

LAST_WAIT_MS = 1500
"""How long the end of the program waits for the worker, which ends by itself at end-of-file, before it is killed."""

DIED = WorkerError(
    "worker-died",
    "The background process ended in the middle of its work.",
    "Click again to start it anew; if it happens again, look at the log.",
)


class WorkerClient:
    """Starts the worker when it is first needed, keeps it, and starts it anew after its death."""

    def __init__(self, installation: Installation, onProgress: OnProgress) -> None:
        self._installation = installation
        self._conversation = Conversation(onProgress, lambda line: log.warning("stray line of the worker: %s", line))
        self._process: Any = None

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.state() != qt.QProcess.NotRunning

    @property
    def pid(self) -> int:
        """Of the process; 0 when it is not there."""
        return int(self._process.processId()) if self.running else 0

    def request(self, method: str, params: dict[str, Any], onResult: OnResult, onError: OnError) -> None:
        """Ask the worker; the answer comes to one of the two functions, later, in this thread."""
        if not self.running:
            self._start()
        line = self._conversation.request(method, params, onResult, onError)
        self._process.write(qt.QByteArray(line))

    def close(self) -> None:
        """End the worker."""
        if self._process is None:
            return
        process, self._process = self._process, None
        self._conversation.abandon(WorkerError("cancelled", "The background process was ended.", ""))
        if process.state() != qt.QProcess.NotRunning:
            process.closeWriteChannel()
            if not process.waitForFinished(LAST_WAIT_MS):
                process.kill()
                process.waitForFinished(LAST_WAIT_MS)

    def _start(self) -> None:
        program, arguments = self._installation.worker_command()
        environment = qt.QProcessEnvironment.systemEnvironment()
        for name, value in self._installation.worker_environment().items():
            environment.insert(name, value)
        self._process = qt.QProcess()
        self._process.setProcessEnvironment(environment)
        self._process.connect("readyReadStandardOutput()", self._onOutput)
        self._process.connect("readyReadStandardError()", self._onLog)
        self._process.connect("finished(int,QProcess::ExitStatus)", self._onFinished)
        self._process.connect("errorOccurred(QProcess::ProcessError)", self._onProcessError)
        self._process.start(program, arguments)

    def _onOutput(self) -> None:
        if self._process is not None:
            self._conversation.receive(bytes(self._process.readAllStandardOutput().data()))

    def _onLog(self) -> None:
        if self._process is not None:
            log.info("%s", bytes(self._process.readAllStandardError().data()).decode(errors="replace").rstrip())

    def _onFinished(self, exitCode: int, exitStatus: Any) -> None:
        self._onOutput()
        self._onLog()
        log.info("the worker ended with exit code %s", exitCode)
        self._process = None
        self._conversation.abandon(DIED)

    def _onProcessError(self, error: Any) -> None:
        # Only a failed start comes without `finished`.
        if self._process is not None and error == qt.QProcess.FailedToStart:
            program, _ = self._installation.worker_command()
            self._process = None
            self._conversation.abandon(
                WorkerError(
                    "worker-died", f"The program {program} could not be started.", "Install the extension again."
                )
            )
