"""Standard input and output, kept for the protocol alone."""

from __future__ import annotations

import os
from typing import BinaryIO


def take_protocol_streams() -> tuple[BinaryIO, BinaryIO]:
    """This process's standard input and output, taken away from everything else in it.

    From then on, whatever a library or a program that it starts prints goes to standard error, and whatever reads from
    standard input finds it empty: the protocol cannot be spoilt, even from C.

    Returns:
        the stream that requests come from, and the one that answers go to.
    """
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, answers
