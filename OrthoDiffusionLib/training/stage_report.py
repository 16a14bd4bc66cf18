"""How trainings of several stages tell how far they are."""

from __future__ import annotations

from collections.abc import Callable

StageReport = Callable[[str, float], None]
"""Told what is being done, and the share of all work that is done, 0 to 1."""
