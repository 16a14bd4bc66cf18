"""Phantom studies made and written one by one, in this process or in several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import torch

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.cli.phantom_listing import listed_study
from OrthoDiffusionLib.datasets.manifest import StudyEntry
from OrthoDiffusionLib.inference.result_folder import check_output
from OrthoDiffusionLib.phantom import PhantomStudy, make_study, scan_anatomy
from OrthoDiffusionLib.phantom.label_map_turns import LabelMapTurns
from OrthoDiffusionLib.phantom.writing import write_study
from OrthoDiffusionLib.volumes.volume import Volume
from OrthoDiffusionLib.worker.processes import working_processes


@dataclass(frozen=True)
class PhantomOrder:
    """What all studies of a command have in common.

    Attributes:
        joint: that is scanned.
        prevalence: how often findings occur.
        centre: where, or None for each one's own of those for training; a contrast of chance has none.
        contrast: the centre's, or one of chance.
        maps: whose anatomy is scanned; None for the phantom's own.
        montage: whether each study gets a picture.
        beside: real stacks that the picture shows beside the phantom's.
        findings: severity of those that every study has, the others absent; None draws them.
    """

    joint: str
    prevalence: Literal["balanced", "clinical"]
    centre: str | None
    contrast: Literal["physical", "random"]
    maps: LabelMapTurns | None = None
    montage: bool = False
    beside: Mapping[Plane, Volume] = field(default_factory=dict)
    findings: Mapping[str, float] | None = None

    def study(self, seed: int) -> PhantomStudy:
        """The study of a seed; the same wherever it is made."""
        if self.maps is not None:
            return scan_anatomy(self.maps.anatomy(seed), seed, self.centre, self.contrast)
        return make_study(seed, self.joint, self.findings, self.prevalence, self.centre, self.contrast)


def write_phantoms(order: PhantomOrder, folders: Mapping[int, Path], processes: int) -> Iterator[StudyEntry]:
    """Make the study of each seed in its folder, and give its entry of the dataset's manifest as soon as it is there.

    Args:
        order: what is asked for.
        folders: by seed; the entries come in this order.
        processes: that make studies.

    Raises:
        OrthoDiffusionError: as `LabelMapTurns.label_map` and `write_study`; OUTPUT_NOT_WRITABLE, before any is made.
        KeyboardInterrupt: for Ctrl-C; the processes are gone then.
    """
    for parent in {folder.parent for folder in folders.values()}:
        check_output(parent)
    write = partial(_write, order)
    if processes == 1:
        yield from map(write, folders.items())
        return
    with working_processes(min(processes, len(folders)), partial(torch.set_num_threads, 1)) as working:
        yield from working.outcomes(write, folders.items())


def _write(order: PhantomOrder, asked: tuple[int, Path]) -> StudyEntry:
    seed, folder = asked
    study = order.study(seed)
    write_study(study, folder)
    if order.montage:
        from OrthoDiffusionLib.phantom.montage import montage

        montage(study, beside=order.beside).savefig(folder / "montage.png", dpi=80, facecolor="black")
    return listed_study(study, folder.name)
