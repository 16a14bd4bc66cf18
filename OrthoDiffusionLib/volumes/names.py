"""Names of files and series, as the person gets to see them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path


def shown_name(path: Path) -> str:
    """A file's name as text that can be shown and written; what is not UTF-8 in it becomes question marks."""
    return path.name.encode("utf-8", "replace").decode("utf-8")


def left_out(names: Sequence[str], why: str, whose: str = "") -> str:
    """The one sentence that says of all these series that they were left out.

    Args:
        names: at least one; equal ones are named once, with their number.
        why: the reason, a sentence.
        whose: said after the names, such as "of another visit".
    """
    quoted = [f"“{name}”" + (f" ({count})" if count > 1 else "") for name, count in Counter(names).items()]
    listed = " and ".join(part for part in (", ".join(quoted[:-1]), quoted[-1]) if part)
    verb = "was" if len(names) == 1 else "were"
    return " ".join(part for part in (listed, whose, verb, "left out:", why) if part)
