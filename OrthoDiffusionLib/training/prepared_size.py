"""How large studies are prepared for a training."""

from __future__ import annotations


def prepared_size(window_size: int) -> int:
    """Pixels along i and j: five quarters of the windows', so that they can be turned and shifted within a stack."""
    return window_size * 5 // 4
