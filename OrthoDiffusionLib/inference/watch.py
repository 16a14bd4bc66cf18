"""How a run tells how far it is, and hears that it is no longer wanted."""

from __future__ import annotations

from typing import Protocol


class Watch(Protocol):
    """Watches a run; the worker's server and the tests each have their own."""

    def progress(self, stage: str, fraction: float, message: str) -> None:
        """Hear how far the run is: its stage, the fraction done (0 to 1), and a sentence for the person."""

    def check(self) -> None:
        """Return to let the run go on.

        Raises:
            OrthoDiffusionError: CANCELLED, when the run is no longer wanted.
        """


class Unwatched:
    """A watch for runs that nobody follows or cancels."""

    def progress(self, stage: str, fraction: float, message: str) -> None:
        """Keep silent."""

    def check(self) -> None:
        """Let the run go on."""
