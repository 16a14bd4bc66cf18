"""What the panel says of clinical data, and how it takes what is typed; no sentence repeats a number."""

from __future__ import annotations

from collections.abc import Collection

from slicer.i18n import tr as _

from OrthoDiffusionSlicer.clinical_data import LIMITS, is_possible


def number(name: str, text: str) -> float | None:
    """What was typed as age (years), height (cm) or weight (kg), with a point or a comma; None for nothing.

    Raises:
        ValueError: with a sentence for the person that does not repeat what was typed.
    """
    if not text.strip():
        return None
    low, high = LIMITS[name]
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        value = float("nan")
    if not is_possible(name, value):
        sentence = _("Correct the {name}: a number from {low} to {high}, or nothing.")
        raise ValueError(sentence.format(name=title(name), low=low, high=high))
    return value


def title(name: str) -> str:
    """A value's name as people write it."""
    titles = {
        "age": _("age"),
        "height": _("height"),
        "weight": _("weight"),
        "sex": _("sex"),
        "patient_type": _("patient type"),
        "event": _("event"),
    }
    return titles.get(name, name)


def filled_in(wanted: Collection[str], values: Collection[str], sex: str) -> str:
    """What was taken from DICOM and what was not, for the person.

    Args:
        wanted: names of what the model reads.
        values: names of what was found.
        sex: the letter that DICOM has; empty where it has none.
    """
    lacking = [title(name) for name in ("age", "height", "weight") if name in wanted and name not in values]
    sentences = [
        _("Filled in from DICOM: {names}.").format(names=", ".join(map(title, values)))
        if values
        else _("Nothing was filled in from DICOM.")
    ]
    if lacking:
        sentences.append(_("Not there, or not the same in all series: {names}.").format(names=", ".join(lacking)))
    if "sex" in wanted and sex:
        # What its codes mean is a sentence of the model's maker, not for a program to interpret.
        sentences.append(_("DICOM has the sex {sex}: choose its code yourself.").format(sex=sex))
    return " ".join(sentences)
