"""A training that has lost its way ends before the step that would spoil its weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError


def stop_unless_finite(loss: float, parameters: Iterable[torch.Tensor], step: int) -> None:
    """Refuse a step whose loss or gradients are no finite numbers; a finite loss can have gradients that are not.

    Args:
        loss: of the step.
        parameters: whose gradients are to be looked at; those without one are passed over.
        step: counted from 0.

    Raises:
        OrthoDiffusionError: TRAINING_DIVERGED.
    """
    size = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    if not (math.isfinite(loss) and bool(torch.isfinite(size))):
        raise diverged(step, loss, size.item())


def diverged(step: int, loss: float, gradient: float) -> OrthoDiffusionError:
    """The error for a loss or a gradient that is no finite number.

    Args:
        step: counted from 0.
        loss: of the step.
        gradient: size of it.
    """
    return OrthoDiffusionError(
        ErrorKind.TRAINING_DIVERGED,
        f"The loss or a gradient is not a number any more at step {step}.",
        "Look for a broken image in the dataset, or lower the learning rate.",
        detail=f"loss {loss}, gradient {gradient}",
    )


class SeenStudy(NamedTuple):
    """A study of which a step saw a window, by its name in the manifest.

    Attributes:
        id: of the study.
        is_finite: whether that window held nothing but finite numbers.
    """

    id: str
    is_finite: bool


@contextmanager
def naming_studies(seen: Callable[[], Sequence[SeenStudy]], kept: str = "", go_on: str = "") -> Iterator[None]:
    """Within the block, a step that is refused names the studies that it saw, and says what is kept of the training.

    Args:
        seen: by the step, in all processes; asked only when the step is refused.
        kept: a sentence about checkpoints; none where there are none at all.
        go_on: what the person can do where the images are whole; to lower the learning rate, if nothing is said.

    Raises:
        OrthoDiffusionError: TRAINING_DIVERGED.
    """
    try:
        yield
    except OrthoDiffusionError as error:
        if error.kind is not ErrorKind.TRAINING_DIVERGED or not (studies := seen()):
            raise
        if broken := _named(study.id for study in studies if not study.is_finite):
            said = f"What was seen of {broken} holds values that are no numbers."
            action = "Look for what is wrong with these images, and correct them or take them out of the dataset."
        else:
            said = f"It saw {_named(study.id for study in studies)}, whose images hold none but finite numbers."
            action = f"Look at these images, or {go_on or 'lower the learning rate'}."
        sentence = " ".join(part for part in (error.sentence, said, kept) if part)
        raise OrthoDiffusionError(error.kind, sentence, action, error.detail) from error


def _named(studies: Iterable[str]) -> str:
    names = sorted(set(studies))
    return f"{'study' if len(names) == 1 else 'studies'} {', '.join(names)}" if names else ""
