"""What the DICOM files of series say of the person; read when they ask for it, and never otherwise.

The files are read themselves, not through the DICOM database, which would keep a copy of what it was asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import slicer

from OrthoDiffusionSlicer.clinical_data import is_possible

INSTANCES = "DICOM.instanceUIDs"
"""Attribute in which Slicer keeps which files a volume was loaded from."""

TAGS = {"age": "PatientAge", "height": "PatientSize", "weight": "PatientWeight", "sex": "PatientSex"}
YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
SEXES = ("F", "M", "O")


@dataclass(frozen=True)
class Person:
    """What all series agree on: `values` in years, cm and kg by their names, and DICOM's letter for the sex, or ""."""

    values: dict[str, float]
    sex: str


def come_from_dicom(volumes: Iterable[Any]) -> bool:
    """Whether any of the volume nodes was loaded from DICOM."""
    return any(node.GetAttribute(INSTANCES) for node in volumes)


def read_person(volumes: Iterable[Any], names: Collection[str]) -> Person:
    """Read what is wanted, and no more, from the first file of each series; what series disagree on is left out.

    Args:
        volumes: volume nodes; those that did not come from DICOM are passed over.
        names: of `TAGS`.

    Raises:
        ValueError: with a sentence for the person, when a file cannot be read.
    """
    wanted = {name: tag for name, tag in TAGS.items() if name in names}
    texts = [_texts(node.GetAttribute(INSTANCES), wanted) for node in volumes if node.GetAttribute(INSTANCES)]
    found = {name: {text[name] for text in texts if text[name]} for name in wanted}
    agreed = {name: said.pop() for name, said in found.items() if len(said) == 1}
    sex = agreed.pop("sex", "")
    numbers = {name: _number(name, text) for name, text in agreed.items()}
    values = {name: value for name, value in numbers.items() if value and is_possible(name, value)}
    return Person(values, sex if sex in SEXES else "")


def _texts(instances: str, wanted: dict[str, str]) -> dict[str, str]:
    # Not before the installation was found, which makes the library importable; needs the standard library alone.
    from OrthoDiffusionLib.volumes.dicom_privacy import private_pydicom

    try:
        import pydicom

        path = slicer.dicomDatabase.fileForInstance(instances.split()[0])
        with private_pydicom():
            dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(wanted.values()))
            return {name: str(dataset.get(tag) or "").strip().upper() for name, tag in wanted.items()}
    except Exception as error:
        # Its text may quote what stands in the file.
        logging.error(f"a DICOM file could not be read: {type(error).__name__}")
        raise ValueError(
            "The DICOM files of the chosen series cannot be read. Import them again, or type the values in."
        ) from None


def _number(name: str, text: str) -> float | None:
    """Years, cm or kg; None for what does not follow the standard. Zero stands for unknown in many files."""
    try:
        if name == "age":
            return int(text[:-1]) * YEARS[text[-1]]
        return float(text) * (100 if name == "height" else 1)
    except (ValueError, KeyError, IndexError):
        return None
