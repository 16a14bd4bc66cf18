"""The one kind of exception that a person gets to see: what happened, and what to do next."""

from __future__ import annotations

import errno
from enum import Enum


class ErrorKind(Enum):
    """What went wrong; each kind has a stable code for machines and an exit code for scripts."""

    USAGE = ("usage", 2)
    FILE_NOT_FOUND = ("file-not-found", 10)
    UNREADABLE_FILE = ("unreadable-file", 11)
    TRUNCATED_FILE = ("truncated-file", 12)
    WRONG_DIMENSIONS = ("wrong-dimensions", 13)
    TOO_FEW_SLICES = ("too-few-slices", 14)
    NO_CONTRAST = ("no-contrast", 15)
    NOT_FINITE = ("not-finite", 16)
    BAD_SPACING = ("bad-spacing", 17)
    BAD_AFFINE = ("bad-affine", 18)
    DUPLICATE_VOLUME = ("duplicate-volume", 19)
    WRONG_PLANE = ("wrong-plane", 20)
    AMBIGUOUS_PLANE = ("ambiguous-plane", 21)
    DIFFERENT_PATIENTS = ("different-patients", 22)
    NO_OVERLAP = ("no-overlap", 23)
    INCOMPLETE_SERIES = ("incomplete-series", 24)
    MIXED_ORIENTATIONS = ("mixed-orientations", 25)
    NOTHING_TO_DO = ("nothing-to-do", 26)
    EMPTY_STUDY = ("empty-study", 27)
    BAD_LABEL_MAP = ("bad-label-map", 28)
    BAD_MANIFEST = ("bad-manifest", 29)
    BAD_SETTINGS = ("bad-settings", 60)
    TRAINING_DIVERGED = ("training-diverged", 61)
    UNUSABLE_STUDIES = ("unusable-studies", 62)
    BUNDLE_NOT_FOUND = ("bundle-not-found", 30)
    BUNDLE_WRONG_HASH = ("bundle-wrong-hash", 31)
    BUNDLE_UNKNOWN_SCHEMA = ("bundle-unknown-schema", 32)
    BUNDLE_MISSING_FILE = ("bundle-missing-file", 33)
    BUNDLE_UNSAFE = ("bundle-unsafe", 34)
    BUNDLE_INVALID = ("bundle-invalid", 35)
    CHECKPOINT_INVALID = ("checkpoint-invalid", 36)
    DISK_FULL = ("disk-full", 40)
    OUTPUT_NOT_WRITABLE = ("output-not-writable", 41)
    WORKER_DIED = ("worker-died", 50)
    WORKER_BUSY = ("worker-busy", 51)
    WORKER_PROTOCOL = ("worker-protocol", 52)
    CANCELLED = ("cancelled", 53)
    DEVICE_UNAVAILABLE = ("device-unavailable", 54)
    OUT_OF_MEMORY = ("out-of-memory", 55)
    MISSING_PACKAGE = ("missing-package", 56)
    INTERNAL = ("internal", 70)

    def __init__(self, code: str, exit_code: int) -> None:
        self.code = code
        self.exit_code = exit_code

    @classmethod
    def from_code(cls, code: str) -> ErrorKind:
        """The kind with this code; INTERNAL for a code of a newer version."""
        return next((kind for kind in cls if kind.code == code), cls.INTERNAL)


class OrthoDiffusionError(Exception):
    """A failure with one sentence for the person and one that says what to do.

    Args:
        kind: the kind of failure.
        sentence: what happened, one plain sentence, without patient identifiers.
        action: what the person can do next, one plain sentence.
        detail: for the log only.
    """

    def __init__(self, kind: ErrorKind, sentence: str, action: str, detail: str = "") -> None:
        super().__init__(f"{sentence} {action}".strip())
        self.kind = kind
        self.sentence = sentence
        self.action = action
        self.detail = detail

    def __reduce__(self) -> tuple[type[OrthoDiffusionError], tuple[ErrorKind, str, str, str]]:
        """Errors of other processes arrive whole."""
        return type(self), (self.kind, self.sentence, self.action, self.detail)


def is_disk_full(error: OSError) -> bool:
    """Whether the system said that there is no room left, on the disk or in the person's share of it."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
