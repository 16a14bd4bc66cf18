"""Parts of a dataset in which no patient occurs twice; they depend on the seed and the patients, not on their order."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence


def _position(patient: str, seed: int) -> float:
    digest = hashlib.sha256(f"{seed}/{patient}".encode()).digest()
    return float(int.from_bytes(digest[:8], "big") / 2**64)


def _shuffled(patients: Sequence[str], seed: int) -> list[str]:
    return sorted(set(patients), key=lambda patient: _position(patient, seed))


def split(patients: Sequence[str], shares: Mapping[str, float], seed: int = 0) -> dict[str, list[int]]:
    """Indices of the studies in each part.

    Args:
        patients: of each study.
        shares: of the patients for each part, such as `{"train": 0.8, "validation": 0.1, "test": 0.1}`; they sum to 1.
        seed: another one, another split.

    Raises:
        ValueError: when the shares do not sum to 1.
    """
    if abs(sum(shares.values()) - 1) > 1e-6:
        raise ValueError(f"shares must sum to 1, not {sum(shares.values())}")
    order = _shuffled(patients, seed)
    parts: dict[str, list[int]] = {}
    reached, before = 0.0, 0
    for name, share in shares.items():
        reached += share
        upto = round(reached * len(order))
        members = set(order[before:upto])
        parts[name] = [index for index, patient in enumerate(patients) if patient in members]
        before = upto
    return parts


def share_held_out(asked: float, patients: int) -> float:
    """The share asked for of two patients or more, or the next that holds one of them out and leaves one."""
    return min(max(asked, 1 / patients), 1 - 1 / patients)


def folds(patients: Sequence[str], count: int, seed: int = 0) -> list[list[int]]:
    """Indices of the studies of each of `count` folds of about the same number of patients.

    Raises:
        ValueError: when there are fewer patients than folds.
    """
    order = _shuffled(patients, seed)
    if len(order) < count:
        raise ValueError(f"{len(order)} patients make no {count} folds")
    fold_of = {patient: position % count for position, patient in enumerate(order)}
    return [[i for i, patient in enumerate(patients) if fold_of[patient] == fold] for fold in range(count)]
