"""Keeps what pydicom says to itself: its warnings quote paths and values, which may name a patient."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def private_pydicom() -> Iterator[list[str]]:
    """Collect pydicom's warnings instead of showing and logging them.

    Yields:
        the warnings' texts, filled when the block ends.
    """
    logger = logging.getLogger("pydicom")
    was_disabled, logger.disabled = logger.disabled, True
    texts: list[str] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield texts
        texts.extend(str(warning.message) for warning in caught)
    finally:
        logger.disabled = was_disabled
