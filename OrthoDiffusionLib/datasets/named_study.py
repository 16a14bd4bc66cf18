"""Errors of reading a study, with the study's name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from OrthoDiffusionLib.errors import OrthoDiffusionError


@contextmanager
def named_study(study: str) -> Iterator[None]:
    """Within the block, errors name the study: readers name no file, and of thousands the person must know which.

    Args:
        study: the manifest's name for it, which is no patient's.
    """
    try:
        yield
    except OrthoDiffusionError as error:
        if study in error.sentence:
            raise
        raise OrthoDiffusionError(error.kind, f"Study {study}: {error.sentence}", error.action, error.detail) from error
