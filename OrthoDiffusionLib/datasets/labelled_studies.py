"""Studies with label maps on their own grids, for what learns from more detail than prepared stacks have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from OrthoDiffusionLib.datasets.cache import RANDOM_SCAN, entry_key, phantom_key
from OrthoDiffusionLib.datasets.manifest import DatasetManifest
from OrthoDiffusionLib.datasets.stacks import LabelledSeries, named_series_of_entry, series_of_phantom
from OrthoDiffusionLib.phantom import make_anatomy, scan_anatomy


@dataclass(frozen=True)
class LabelledStudy:
    """A study that is read when it is needed.

    Attributes:
        key: that tells it from others, and from the same one with other images or masks.
        id: of the study.
        patient: whose it is.
        series: reads its series one after the other; raises what `named_series_of_entry` raises.
    """

    key: str
    id: str
    patient: str
    series: Callable[[], Iterator[LabelledSeries]]


def labelled_entries(manifest: DatasetManifest) -> list[LabelledStudy]:
    """The studies of a manifest that have a label map, in order."""
    return [
        LabelledStudy(
            entry_key(entry, manifest.joint, 0),
            entry.id,
            entry.patient,
            partial(named_series_of_entry, entry, manifest.joint),
        )
        for entry in manifest.studies
        if any(series.labels is not None for series in entry.series)
    ]


def labelled_phantoms(seeds: Sequence[int], joint: str = "knee", *, random_contrasts: int = 0) -> list[LabelledStudy]:
    """Phantoms of these seeds.

    Args:
        seeds: of the phantoms.
        joint: of the phantoms.
        random_contrasts: how many more studies each is, scanned elsewhere, each in a contrast of chance of its own.
    """
    studies = []
    for seed in seeds:
        name = f"phantom-{seed}"
        studies.append(LabelledStudy(phantom_key(joint, seed, 0), name, name, partial(_scanned, seed, joint)))
        for number in range(1, random_contrasts + 1):
            key = phantom_key(f"{joint}-random-{number}", seed, 0)
            again = partial(_scanned_by_chance, seed, joint, number)
            studies.append(LabelledStudy(key, f"{name}-random-{number}", name, again))
    return studies


def _scanned(seed: int, joint: str) -> Iterator[LabelledSeries]:
    return series_of_phantom(scan_anatomy(make_anatomy(seed, joint), seed))


def _scanned_by_chance(seed: int, joint: str, number: int) -> Iterator[LabelledSeries]:
    return series_of_phantom(scan_anatomy(make_anatomy(seed, joint), seed + number * RANDOM_SCAN, contrast="random"))
