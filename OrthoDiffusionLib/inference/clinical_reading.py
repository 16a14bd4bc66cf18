"""What a bundle can read of the clinical data that a run was given, and what the person is told of it."""

from __future__ import annotations

from typing import NamedTuple

from OrthoDiffusionLib.bundles.clinical_data import ClinicalRecord
from OrthoDiffusionLib.bundles.manifest import ClinicalPart


class ClinicalReading(NamedTuple):
    """What takes part, None for nothing, and a sentence where the person may have expected something else."""

    record: ClinicalRecord | None
    warning: str | None


def clinical_reading(part: ClinicalPart | None, given: ClinicalRecord | None) -> ClinicalReading:
    """Compare what was given with what the bundle's clinical head learnt from; no sentence repeats a value.

    Args:
        part: the bundle's; None where it reads no clinical data.
        given: None for nothing, as is a record in which nothing is known.
    """
    names = given.known() if given is not None else ()
    if given is None or not names:
        return ClinicalReading(None, None if part is None else _alone("No clinical data were given"))
    if part is None:
        return ClinicalReading(None, _alone("This bundle reads no clinical data"))
    record = part.read(given)
    read = record.known() if record is not None else ()
    unread = ", ".join(name.replace("_", " ") for name in names if name not in read)
    if not unread:
        return ClinicalReading(record, None)
    said = f"The bundle did not learn from such values of: {unread}"
    return ClinicalReading(record, f"{said}." if read else _alone(said))


def _alone(reason: str) -> str:
    return f"{reason}; the findings come from the images alone."
