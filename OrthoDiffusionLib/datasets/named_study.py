"""Errors of reading a study, with the study's name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.errors import OrthoDiffusionError


@contextmanager
def named_study(study: str, plane: Plane | None = None) -> Iterator[None]:
    """Within the block, errors name the study: readers name no file, and of thousands the person must know which.

    Args:
        study: the manifest's name for it, which is no patient's.
        plane: of the series that is read, which is named too.
    """
    try:
        yield
    except OrthoDiffusionError as error:
        sentence = error.sentence
        if study not in sentence:
            sentence = f"Study {study}{f', {plane.value}' if plane else ''}: {sentence}"
        elif plane is not None and plane.value not in sentence:
            sentence = f"{sentence.removesuffix('.')} ({plane.value})."
        raise OrthoDiffusionError(error.kind, sentence, error.action, error.detail) from error
