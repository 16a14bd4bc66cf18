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
        f"Training stopped at step {step}: the loss or a gradient is not finite.",
        "Look for a broken image in the dataset, or lower the learning rate.",
        detail=f"loss {loss}, gradient {gradient}",
    )


def diverged_in_epoch(epoch: int) -> OrthoDiffusionError:
    """The error for the loss of a fusion, which learns from what planes' heads left, that is no finite number.

    Args:
        epoch: counted from 0.
    """
    return OrthoDiffusionError(
        ErrorKind.TRAINING_DIVERGED,
        f"Training stopped in epoch {epoch + 1}: the loss is not finite.",
        "Lower the learning rate, or train the planes' heads again.",
    )


class SeenStudy(NamedTuple):
    """A study of which a step saw a window.

    Attributes:
        id: of the study in the manifest, or the name of the file that it was prepared in.
        is_finite: whether that window held nothing but finite numbers.
    """

    id: str
    is_finite: bool


def kept_until(saved: int) -> str:
    """What is said of checkpoints when a step is refused.

    Args:
        saved: steps of the newest one; 0 for none.
    """
    return f"the checkpoint of {saved} steps is kept" if saved else "no checkpoint was saved before"


def go_on(saved: int) -> str:
    """What a person can do when a step on whole images is refused: a folder's checkpoint is of one learning rate alone.

    Args:
        saved: steps of the newest checkpoint; 0 for none.
    """
    return "lower the learning rate, with another output folder" if saved else "lower the learning rate"


@contextmanager
def naming_studies(
    step: int,
    seen: Callable[[], Sequence[SeenStudy]],
    kept: str = "",
    instead: str = "lower the learning rate",
    *,
    are_files: bool = False,
) -> Iterator[None]:
    """Within the block, a step that is refused names the studies that it saw, and says what is kept of the training.

    Args:
        step: counted from 0.
        seen: by the step, in all processes; asked only when the step is refused.
        kept: of checkpoints, as `kept_until` says it; nothing where there are none at all.
        instead: what the person can do where the images are whole.
        are_files: whether studies are named by files that are made again once they are deleted.

    Raises:
        OrthoDiffusionError: TRAINING_DIVERGED.
    """
    try:
        yield
    except OrthoDiffusionError as error:
        if error.kind is not ErrorKind.TRAINING_DIVERGED or not (studies := seen()):
            raise
        broken = sorted({study.id for study in studies if not study.is_finite})
        names = _named(broken or sorted({study.id for study in studies}), are_files=are_files)
        if broken:
            sentence = f"Training stopped at step {step}: the images of {names} hold values that are not finite."
            action = f"Correct {names} or take {'it' if len(broken) == 1 else 'them'} out of the dataset"
            if are_files:
                action = f"Delete {names} in the folder of prepared studies and start the same command again"
        else:
            sentence = (
                f"Training stopped at step {step}: the loss or a gradient is not finite, though the images of {names}"
                " are."
            )
            action = f"Look at these images, or {instead}"
        raise OrthoDiffusionError(
            error.kind, sentence, f"{'; '.join(filter(None, (action, kept)))}.", error.detail
        ) from error


def _named(names: Sequence[str], *, are_files: bool) -> str:
    one, many = ("file", "files") if are_files else ("study", "studies")
    return f"{one if len(names) == 1 else many} {', '.join(names)}"
