"""A training that is asked to end: it finishes and saves its step first."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError


@contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Whether the process was asked to end (SIGTERM, as schedulers send it before they kill) since the block began.

    Only a process's main thread is told of signals: in another one it is never asked.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    asked: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGTERM, before)


def stopped_after(steps: int) -> OrthoDiffusionError:
    """What a training that was asked to end, and has saved its last step, ends with."""
    return OrthoDiffusionError(
        ErrorKind.CANCELLED,
        f"Training was stopped after {steps} steps; the checkpoint is kept.",
        "The same command goes on from there.",
    )
