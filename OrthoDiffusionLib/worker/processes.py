"""Processes that share work, and end with the one that started them, whatever ends it; no file of theirs is left."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import TypeVar

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.worker.job_folder import JobFolder, remove_folder

WAKE_SECONDS = 0.5
"""How often a wait for an outcome looks up: on Windows, Ctrl-C does not interrupt it."""

GRACE_SECONDS = 2.0
"""In which a process that is told to end may remove the file that it is in the middle of."""

BEGUN = "begun"
"""File in the processes' folder, once one of them lives."""

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


@dataclass(frozen=True)
class WorkingProcesses:
    """Processes that wait for work.

    Attributes:
        executor: of the processes.
        folder: private, for their temporary files.
    """

    executor: ProcessPoolExecutor
    folder: Path

    def outcomes(self, work: Callable[[Item], Outcome], items: Iterable[Item]) -> Iterator[Outcome]:
        """The outcome of the work on each item, in order.

        Raises:
            OrthoDiffusionError: OUT_OF_MEMORY, when the system ends a process; WORKER_DIED, when none could begin; and
                all that the work raises.
        """
        try:
            futures: list[Future[Outcome]] = [self.executor.submit(_prepared, work, item) for item in items]
            for future in futures:
                while not wait([future], WAKE_SECONDS).done:
                    continue
                yield future.result()
        except BrokenProcessPool as error:
            raise self._ended(error) from error

    def _ended(self, error: BrokenProcessPool) -> OrthoDiffusionError:
        if (self.folder / BEGUN).exists():
            return OrthoDiffusionError(
                ErrorKind.OUT_OF_MEMORY,
                "The system ended a process that had a share of the work, most likely for want of memory.",
                "Let fewer processes share it: --workers, or --processes, of a smaller number.",
                detail=str(error),
            )
        return OrthoDiffusionError(
            ErrorKind.WORKER_DIED,
            "The processes that were to share the work could not begin.",
            "Let one process do it; a script of yours needs `if __name__ == '__main__':` around what it does.",
            detail=str(error),
        )


@contextmanager
def working_processes(count: int, prepare: Callable[[], None]) -> Iterator[WorkingProcesses]:
    """Processes for the block; each reads the main script again, so that one without a main guard cannot have them.

    Whatever leaves the block ends them at once: an error, Ctrl-C, or SIGTERM, which is Ctrl-C here. Where this process
    is killed, they see it and end themselves. Their temporary files lie in one private folder, which goes too.

    Args:
        count: of processes.
        prepare: called in each before its first work, which raises what it raises.

    Raises:
        OrthoDiffusionError: OUTPUT_NOT_WRITABLE or DISK_FULL, when there is no place for temporary files.
        KeyboardInterrupt: for Ctrl-C and, in the main thread, SIGTERM.
    """
    folder = JobFolder()
    others = set(active_children())
    # Spawned: a process that is forked while a library's threads hold locks may wait for ever.
    pool = ProcessPoolExecutor(count, get_context("spawn"), _begin, (folder.path, prepare))
    try:
        with _sigterm_interrupts():
            yield WorkingProcesses(pool, folder.path)
    except BaseException:
        # What they are in the middle of can take minutes.
        pool.shutdown(wait=False, cancel_futures=True)
        _end(set(active_children()) - others)
        raise
    finally:
        pool.shutdown()
        folder.remove()


def _end(processes: set[BaseProcess]) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        process.kill()


_first: list[Callable[[], None]] = []
"""What one of the processes has to do before its next work."""


def _begin(folder: Path, prepare: Callable[[], None]) -> None:
    # A terminal sends Ctrl-C to all of them; the process that started this one sees to it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_itself)
    tempfile.tempdir = str(folder)
    (folder / BEGUN).touch()
    threading.Thread(target=_end_with_parent, args=(folder,), name="parent", daemon=True).start()
    # Not here: what goes wrong now is told to nobody.
    _first.append(prepare)


def _prepared(work: Callable[[Item], Outcome], item: Item) -> Outcome:
    while _first:
        _first[-1]()
        _first.pop()
    return work(item)


def _end_itself(number: int, frame: FrameType | None) -> None:
    # The executor sends a second one when another process has left, and that must not disturb the end.
    signal.signal(number, signal.SIG_IGN)
    # The executor takes what leaves a piece of work for its outcome, and goes on with the next one.
    _first.append(_leave)
    raise SystemExit(1)


def _leave() -> None:
    os._exit(1)


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
