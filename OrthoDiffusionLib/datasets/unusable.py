"""Studies, or label maps that they are made of, that cannot be used for a reason of their own: all of them in one
error, or left out when asked."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from OrthoDiffusionLib.datasets.whole_files import write_whole
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError

LIST = "unusable-studies.tsv"
"""File in the folder of prepared studies that lists all of those which could not be."""

SHOWN = 10
"""Studies that an error names at most."""

OF_THE_DATA = frozenset(
    {
        ErrorKind.USAGE,
        ErrorKind.UNREADABLE_FILE,
        ErrorKind.TRUNCATED_FILE,
        ErrorKind.WRONG_DIMENSIONS,
        ErrorKind.TOO_FEW_SLICES,
        ErrorKind.NO_CONTRAST,
        ErrorKind.NOT_FINITE,
        ErrorKind.BAD_SPACING,
        ErrorKind.BAD_AFFINE,
        ErrorKind.WRONG_PLANE,
        ErrorKind.AMBIGUOUS_PLANE,
        ErrorKind.DIFFERENT_PATIENTS,
        ErrorKind.INCOMPLETE_SERIES,
        ErrorKind.MIXED_ORIENTATIONS,
        ErrorKind.EMPTY_STUDY,
        ErrorKind.BAD_LABEL_MAP,
    }
)
"""What reading a study raises for its own sake. A file that is gone since the manifest was read is none of these: its
drive is most likely gone, and all others with it."""


class Called(NamedTuple):
    """How sentences speak of what cannot be used.

    Attributes:
        one: of it.
        many: of it.
        whose: what they belong to, with the space before it; empty where nobody asks.
        take_away: how a person does without them.
    """

    one: str
    many: str
    whose: str
    take_away: str


STUDIES = Called("study", "studies", " of the dataset", "take them out of the dataset manifest")
LABEL_MAPS = Called("label map", "label maps", "", "take them away from what --labels names")


class UnusableStudy(NamedTuple):
    """A study, or a label map that studies are made of, and what is wrong with it, in a sentence that names it.

    Attributes:
        id: of the study; a label map's number, for its name may be a patient's.
        problem: with it.
        called: what it is.
    """

    id: str
    problem: OrthoDiffusionError
    called: Called = STUDIES


LeaveOut = Callable[[Sequence[UnusableStudy]], None]
"""Told the studies that are left out, at least one."""


def refuse_or_leave_out(
    unusable: Sequence[UnusableStudy], count: int, folder: Path, leave_out: LeaveOut | None
) -> None:
    """List what cannot be used in a file, and refuse it unless it is to be left out.

    Args:
        unusable: in the dataset's order; all studies, or all label maps.
        count: of all, with those that can be used.
        folder: of the prepared studies; the list lies in it, and is removed where there is nothing to list.
        leave_out: told what is left out; None to refuse it.

    Raises:
        OSError: when the list cannot be written.
        OrthoDiffusionError: its own error for a single one; UNUSABLE_STUDIES for several; EMPTY_STUDY, when
            nothing would be left.
    """
    path = folder / LIST
    if not unusable:
        # On a drive that is for reading only, even removing what is not there fails.
        if path.exists():
            path.unlink(missing_ok=True)
        return
    _write_list(path, unusable)
    if leave_out is None:
        raise _refusal(unusable, count)
    if len(unusable) == count:
        called = unusable[0].called
        raise OrthoDiffusionError(
            ErrorKind.EMPTY_STUDY,
            f"None of the {count} {called.many}{called.whose} can be used; the first: {unusable[0].problem.sentence}",
            f"See {LIST} in the folder of prepared studies for what is wrong with each.",
        )
    leave_out(unusable)


def first_of(unusable: Sequence[UnusableStudy]) -> list[str]:
    """Lines that say what is wrong with the first ones, and how many more there are."""
    lines = [f"- {study.problem.sentence}" for study in unusable[:SHOWN]]
    more = len(unusable) - len(lines)
    return [*lines, f"- and {more} more"] if more else lines


def _refusal(unusable: Sequence[UnusableStudy], count: int) -> OrthoDiffusionError:
    called = unusable[0].called
    if len(unusable) == 1:
        (problem,) = (study.problem for study in unusable)
        action = f"{problem.action.rstrip().removesuffix('.')}, or leave the {called.one} out with --skip-unusable."
        return OrthoDiffusionError(problem.kind, problem.sentence, action, problem.detail)
    return OrthoDiffusionError(
        ErrorKind.UNUSABLE_STUDIES,
        "\n".join([f"{len(unusable)} of {count} {called.many} cannot be used:", *first_of(unusable)]),
        f"Correct them or {called.take_away}, or leave them out with --skip-unusable; {LIST} in the folder of prepared"
        " studies lists them all.",
    )


def _write_list(path: Path, unusable: Sequence[UnusableStudy]) -> None:
    text = io.StringIO()
    table = csv.writer(text, dialect="excel-tab", lineterminator="\n")
    table.writerow([unusable[0].called.one, "problem", "what to do"])
    for study in unusable:
        table.writerow([study.id, study.problem.sentence, study.problem.action])
    write_whole(path, text.getvalue().encode())
