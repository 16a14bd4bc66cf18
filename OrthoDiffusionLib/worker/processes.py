"""Processes that share work, and end with the one that started them, whatever ends it; no file of theirs is left."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from types import FrameType
from typing import TypeVar

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.worker.job_folder import JobFolder, remove_folder

WAKE_SECONDS = 0.5
"""How often a wait for an outcome looks up: on Windows, Ctrl-C does not interrupt it."""

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


@contextmanager
def working_processes(count: int, prepare: Callable[[], None]) -> Iterator[ProcessPoolExecutor]:
    """Processes for the block.

    Whatever leaves the block ends them at once: an error, Ctrl-C, or SIGTERM, which is Ctrl-C here. Where this process
    is killed, they see it and end themselves. Their temporary files lie in one private folder, which goes too.

    Args:
        count: of processes.
        prepare: called in each before its first work.

    Raises:
        KeyboardInterrupt: for Ctrl-C and, in the main thread, SIGTERM.
    """
    folder = JobFolder()
    others = set(active_children())
    # Spawned: a process that is forked while a library's threads hold locks may wait for ever.
    pool = ProcessPoolExecutor(count, get_context("spawn"), _begin, (folder.path, prepare))
    try:
        with _sigterm_interrupts():
            yield pool
    except BaseException:
        # What they are in the middle of is of no use any more, and can take minutes.
        for process in set(active_children()) - others:
            process.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        folder.remove()


def outcomes(pool: ProcessPoolExecutor, work: Callable[[Item], Outcome], items: Iterable[Item]) -> Iterator[Outcome]:
    """The outcome of the work on each item, in order.

    Raises:
        OrthoDiffusionError: OUT_OF_MEMORY, when the system ends a process; and all that the work raises.
    """
    try:
        futures: list[Future[Outcome]] = [pool.submit(work, item) for item in items]
        for future in futures:
            while not wait([future], WAKE_SECONDS).done:
                continue
            yield future.result()
    except BrokenProcessPool as error:
        raise OrthoDiffusionError(
            ErrorKind.OUT_OF_MEMORY,
            "The system ended a process that had a share of the work, most likely for want of memory.",
            "Let fewer processes share it: --workers, or --processes, of a smaller number.",
            detail=str(error),
        ) from error


def _begin(folder: Path, prepare: Callable[[], None]) -> None:
    # A terminal sends Ctrl-C to all of them; the process that started this one sees to it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tempfile.tempdir = str(folder)
    threading.Thread(target=_end_with_parent, args=(folder,), name="parent", daemon=True).start()
    prepare()


def _end_with_parent(folder: Path) -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        remove_folder(folder)
        os._exit(1)


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does, once; outside the main thread, which alone gets signals, nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        # A second one must not disturb the end.
        signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
