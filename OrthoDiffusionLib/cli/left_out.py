"""What a command says of the studies and label maps that it leaves out because they cannot be used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from rich.markup import escape

from OrthoDiffusionLib.cli.reporting import err

if TYPE_CHECKING:
    from OrthoDiffusionLib.datasets.unusable import LeaveOut, UnusableStudy
    from OrthoDiffusionLib.training.trained_plane import TrainedPlane
    from OrthoDiffusionLib.training.trained_refinement import TrainedRefinement

Trained = TypeVar("Trained", "TrainedPlane", "TrainedRefinement")


class LeftOut:
    """Studies or label maps that are left out if a person wants that, and said at once unless that is left for later.

    Args:
        skip: whether they are left out; what cannot be used is refused else.
        at_once: whether they are said when they are told; processes that share a training would all say it.
    """

    def __init__(self, skip: bool, *, at_once: bool = True) -> None:
        self._skip = skip
        self._at_once = at_once
        self._studies: tuple[UnusableStudy, ...] = ()

    def __call__(self, studies: Sequence[UnusableStudy]) -> None:
        """Take note of what is left out."""
        self._studies = tuple(studies)
        if self._at_once:
            self.say()

    @property
    def if_wanted(self) -> LeaveOut | None:
        """What is to be told them; None to refuse them."""
        return self if self._skip else None

    def say(self) -> None:
        """Say on standard error how many there are, and what is wrong with the first of them; nothing for none."""
        from OrthoDiffusionLib.datasets.unusable import LIST, first_of

        if not self._studies:
            return
        everywhere = f"{LIST} in the folder of prepared studies lists them all."
        said = "\n".join([f"{self._count} left out:", *first_of(self._studies), everywhere])
        err.print(f"[yellow]Warning:[/] {escape(said)}", soft_wrap=True)

    def told(self, trained: Trained) -> Trained:
        """Networks that were trained on the others, with their number in the history."""
        if not self._studies:
            return trained
        return trained.told(f"{self._count} left out: {'it' if len(self._studies) == 1 else 'they'} could not be used.")

    @property
    def _count(self) -> str:
        count, called = len(self._studies), self._studies[0].called
        return f"{count} {called.one}{called.whose} is" if count == 1 else f"{count} {called.many}{called.whose} are"
