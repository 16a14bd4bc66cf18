"""The phantoms that a bundle says it was trained on, read from its data card."""

from __future__ import annotations

import re

_SEEDS = re.compile(r"(?<![\w.:-])(\d+)(?:\s*(to|-|–|:)\s*(\d+))?(?![\w:-]|\.\d)")
"""Numbers, and ranges such as 7190 to 7269; no parts of versions, dates, times or words."""


def named_seeds(text: str) -> tuple[range, ...]:
    """The seeds that a data card's `seeds` names, as far as they are written so: `A to B`, both included, `A:B` without
    B, as in the training commands, or `A`.

    It is text for people, so that cards say what each range was for, and older bundles have no other; what else stands
    there is passed over.

    Args:
        text: such as `7190 to 7269 for masks, 8000 to 8149 for findings`.
    """
    return tuple(
        range(int(first), int(last or first) + (between != ":")) for first, between, last in _SEEDS.findall(text)
    )


def seen_seeds(text: str, seeds: range) -> tuple[int, ...] | None:
    """Of some seeds those that a data card's `seeds` names, rising; None where it names none at all."""
    named = named_seeds(text)
    if not named:
        return None
    return tuple(seed for seed in seeds if any(seed in one for one in named))
