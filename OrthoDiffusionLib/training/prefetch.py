"""Batches made ahead of the steps that need them, so that a network does not wait for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Batch = TypeVar("Batch")

PREFETCHERS = 8
"""Threads that make batches for an accelerator."""

SCANNERS = 2
"""Threads that make batches for a processor where they are scanned anew, of which much is one core's work. Each thread
takes 0.3 GB."""


def prefetched(make: Callable[[int], Batch], first: int, last: int, workers: int) -> Iterator[tuple[int, Batch]]:
    """Steps and their batches, in order; up to twice `workers` batches are made ahead, by threads.

    Args:
        make: a step's batch, from the step's number alone.
        first: step.
        last: not included.
        workers: threads; 0 makes each batch when it is asked for.

    Raises:
        what `make` raises, at its step.
    """
    if workers == 0:
        for step in range(first, last):
            yield step, make(step)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="batch")
    waiting: deque[Future[Batch]] = deque()
    try:
        upcoming = first
        for step in range(first, last):
            while upcoming < min(last, step + 2 * workers):
                waiting.append(pool.submit(make, upcoming))
                upcoming += 1
            yield step, waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
