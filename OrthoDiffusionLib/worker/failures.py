"""From whatever goes wrong in a job to an error that a person can be told of."""

from __future__ import annotations

import logging
import sys

from pydantic import ValidationError

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError, is_disk_full

TORCH_OUT_OF_MEMORY = ("DefaultCPUAllocator", "out of memory")
"""How torch says it where it has no exception of its own for it: on the CPU a RuntimeError."""

log = logging.getLogger("orthodiffusion.worker")


def as_told(error: Exception) -> OrthoDiffusionError:
    """The error as a person can be told of it.

    An unforeseen one goes to the log with its trace; the person gets no more than its type, for its text can hold
    anything.
    """
    if isinstance(error, OrthoDiffusionError):
        return error
    if (shortage := known_shortage(error)) is not None:
        return shortage
    log.error("unforeseen error", exc_info=error)
    return OrthoDiffusionError(
        ErrorKind.INTERNAL,
        "Something went wrong that should not have.",
        "Look at the log, and report it with the steps that led here.",
        detail=type(error).__name__,
    )


def known_shortage(error: Exception) -> OrthoDiffusionError | None:
    """The error for too little memory or disk; None for any other."""
    if _is_out_of_memory(error):
        return OrthoDiffusionError(
            ErrorKind.OUT_OF_MEMORY,
            "There is too little memory.",
            "Close other programs and run it again.",
        )
    if isinstance(error, OSError) and is_disk_full(error):
        return OrthoDiffusionError(
            ErrorKind.DISK_FULL, "The disk is full; no result was written.", "Free some space and run it again."
        )
    return None


def not_understood(error: ValidationError) -> OrthoDiffusionError:
    """The error for parameters that are not those of the method: which, and why, but not their values."""
    return OrthoDiffusionError(
        ErrorKind.USAGE,
        "The request is not one that the worker understands.",
        "Check the options of the request.",
        detail="; ".join(".".join(map(str, problem["loc"])) + ": " + problem["msg"] for problem in error.errors()),
    )


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError):
        return True
    # Not imported for the question: where torch is not loaded, its exceptions cannot have been raised.
    own = getattr(sys.modules.get("torch"), "OutOfMemoryError", None)
    if own is not None and isinstance(error, own):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in TORCH_OUT_OF_MEMORY)
