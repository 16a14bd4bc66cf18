"""The worker's process as its client holds it: in a group of its own, and ended with all that it started."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

LOG_LINES = 200
"""Last lines of the worker's log that are kept for the report of its death."""

POLITE_SECONDS = 3.0
"""How long the worker gets to end by itself; after that it is told to, and after as long again it is killed."""

PIPE_SECONDS = 2.0
"""How long to wait for the last of its output, which a program that it started may keep open."""

log = logging.getLogger("orthodiffusion.worker")


class WorkerProcess:
    """A process that takes lines on its standard input, answers in lines, and logs on standard error.

    Args:
        command: program and arguments.
        environment: all of its variables.
        on_line: called in a thread with each line of its output.
        on_end: called in that thread when there will be no further line.

    Raises:
        OSError: when it cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        on_line: Callable[[bytes], None],
        on_end: Callable[[], None],
    ) -> None:
        self._log_tail: deque[str] = deque(maxlen=LOG_LINES)
        self._on_line = on_line
        self._on_end = on_end
        self._write_lock = threading.Lock()
        self._ended = False
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            **_own_group(),
        )
        self._readers = [
            threading.Thread(target=self._read_output, name="worker output", daemon=True),
            threading.Thread(target=self._read_log, name="worker log", daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        """Of the process that was started; behind a launcher the worker's own is another."""
        return self._process.pid

    def write(self, line: bytes) -> None:
        """Send a line.

        Raises:
            OSError, ValueError: when the process no longer listens.
        """
        assert self._process.stdin is not None
        with self._write_lock:
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def epitaph(self) -> str:
        """How the process ended, and the last lines of its log; for the log, not for the person."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(POLITE_SECONDS)
        self._readers[1].join(PIPE_SECONDS)
        status = self._process.returncode
        return "\n".join(["it still runs" if status is None else f"exit status {status}", *self._log_tail])

    def end(self) -> None:
        """End the process and its children: by end-of-file, then by request, then by force. Twice is fine."""
        if self._ended:
            return
        self._ended = True
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        if not self._has_ended():
            self._signal_group(signal.SIGTERM)
            self._has_ended()
        # Whatever it started is in its group and may still be there.
        self._signal_group(getattr(signal, "SIGKILL", signal.SIGTERM))
        self._process.wait()
        for reader, pipe in zip(self._readers, (self._process.stdout, self._process.stderr), strict=True):
            reader.join(PIPE_SECONDS)
            if pipe is not None and not reader.is_alive():
                pipe.close()

    def _has_ended(self) -> bool:
        try:
            self._process.wait(POLITE_SECONDS)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _signal_group(self, number: int) -> None:
        if sys.platform == "win32":
            if self._process.poll() is None:
                subprocess.run(["taskkill", "/F", "/T", "/PID", str(self.pid)], capture_output=True, check=False)
        else:
            # PermissionError is what macOS says of a group that has nothing but dead members.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def _read_output(self) -> None:
        assert self._process.stdout is not None
        try:
            for line in self._process.stdout:
                self._on_line(line)
        finally:
            self._on_end()

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            text = line.decode(errors="replace").rstrip()
            self._log_tail.append(text)
            log.debug("%s", text)


def _own_group() -> dict[str, Any]:
    """Options that keep a terminal's Ctrl-C from the worker, and let all that it starts be ended with it."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}
