"""The worker's protocol on this side: JSON-RPC 2.0, one message a line. Standard library alone; no Qt."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

log = logging.getLogger("OrthoDiffusion")


@dataclass(frozen=True)
class WorkerError:
    """What went wrong, for the person: a sentence and what to do; `detail` is for the log."""

    kind: str
    sentence: str
    action: str
    detail: str = ""

    def text(self) -> str:
        """Sentence and action."""
        return f"{self.sentence} {self.action}".strip()


OnResult = Callable[[dict[str, Any]], None]
OnError = Callable[[WorkerError], None]
OnProgress = Callable[[float, str], None]


class Conversation:
    """Numbers the requests, puts lines together from whatever pieces arrive, and hands each answer to who asked."""

    def __init__(self, on_progress: OnProgress, on_stray_line: Callable[[str], None]) -> None:
        self._on_progress = on_progress
        self._on_stray_line = on_stray_line
        self._buffer = b""
        self._next_id = 0
        self._waiting: dict[int, tuple[OnResult, OnError]] = {}

    def request(self, method: str, params: dict[str, Any], on_result: OnResult, on_error: OnError) -> bytes:
        """The line that asks; one of the two functions will be called with the answer."""
        self._next_id += 1
        self._waiting[self._next_id] = (on_result, on_error)
        message = {"jsonrpc": "2.0", "id": self._next_id, "method": method, "params": params}
        return json.dumps(message).encode() + b"\n"

    def receive(self, data: bytes) -> None:
        """Take what the worker wrote, in any pieces."""
        self._buffer += data
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            if line.strip():
                try:
                    self._handle(line)
                except Exception:
                    # The lines behind it are answers too, and somebody waits for them.
                    log.exception("a line of the worker could not be handled")

    @property
    def pending(self) -> frozenset[int]:
        """Numbers of the requests without an answer."""
        return frozenset(self._waiting)

    def abandon(self, error: WorkerError) -> None:
        """Tell all who still wait that no answer will come."""
        waiting, self._waiting, self._buffer = self._waiting, {}, b""
        for _, on_error in waiting.values():
            on_error(error)

    def _handle(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            self._on_stray_line(line.decode(errors="replace"))
            return
        if message.get("method") == "progress":
            self._on_progress(float(message["params"]["fraction"]), str(message["params"]["message"]))
            return
        on_result, on_error = self._waiting.pop(message.get("id"), (None, None))
        if on_result is None or on_error is None:
            self._on_stray_line(line.decode(errors="replace"))
        elif error := message.get("error"):
            data = error.get("data") or {}
            on_error(
                WorkerError(data.get("kind", ""), error["message"], data.get("action", ""), data.get("detail", ""))
            )
        else:
            on_result(message.get("result") or {})
