"""Prepared stacks on disk: made once, read window by window."""

from __future__ import annotations

import hashlib
import json
import os
import random
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.bundles.clinical_data import ClinicalRecord
from OrthoDiffusionLib.datasets.manifest import DatasetManifest, StudyEntry
from OrthoDiffusionLib.datasets.stacks import StudyStacks, stacks_of_entry, stacks_of_phantom
from OrthoDiffusionLib.datasets.unusable import OF_THE_DATA, LeaveOut, UnusableStudy, refuse_or_leave_out
from OrthoDiffusionLib.datasets.whole_files import made_folder, write_whole
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.volumes.windows import WINDOW_SLICES
from OrthoDiffusionLib.worker.processes import working_processes

if TYPE_CHECKING:
    from OrthoDiffusionLib.phantom.label_map_turns import LabelMapTurns

FORMAT = 2
"""Of the files; another one makes all of them again."""

RANDOM_SCAN = 1_000_000
"""Added to a phantom's seed for each of its scans of random contrast: none lies where another one does."""

LIBRARY = Path(__file__).resolve().parents[1]
IMAGE_CODE = ("datasets/stacks.py", "volumes/orientation.py", "volumes/windows.py")
READING_CODE = tuple(
    f"volumes/{name}.py"
    for name in (
        "archives",
        "dicom*",
        "folder_walk",
        "itk_formats",
        "label_values",
        "nifti",
        "reading",
        "segment_names",
        "text_headers",
        "volume",
    )
)
ENTRY_CODE = (*IMAGE_CODE, *READING_CODE)
PHANTOM_CODE = (*IMAGE_CODE, "phantom/*.py")
"""Code that decides what a prepared study holds: when it changes, studies are made again."""


@dataclass(frozen=True)
class CachedStudy:
    """A study whose stacks lie in a file.

    Attributes:
        path: of the file.
        id: of the study.
        patient: whose it is.
        depths: slices of each series of each plane.
        masked: for each of them, whether it has labels.
        present: findings, float32 (findings,), NaN for unknown.
        clinical: None when nothing is known.
        joint: whose findings `present` holds, in that joint's order.
        anatomy: file of the phantom that can be scanned anew; None where there is none, or none was kept.
    """

    path: Path
    id: str
    patient: str
    depths: dict[Plane, tuple[int, ...]]
    masked: dict[Plane, tuple[bool, ...]]
    present: npt.NDArray[np.float32]
    clinical: ClinicalRecord | None
    joint: str = "knee"
    anatomy: Path | None = None

    def window(
        self, plane: Plane, series: int, start: int, slices: int = WINDOW_SLICES
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int8] | None]:
        """Intensities and labels of a window, (slices, size, size); a stack that is shorter repeats its last slice."""
        stop = min(start + slices, self.depths[plane][series])
        with safe_open(self.path, framework="np") as file:
            image = file.get_slice(f"{plane.value}/{series}/image")[start:stop].astype(np.float32)
            labels = (
                file.get_slice(f"{plane.value}/{series}/labels")[start:stop] if self.masked[plane][series] else None
            )
        padding = [(0, slices - len(image)), (0, 0), (0, 0)]
        return np.pad(image, padding, "edge"), None if labels is None else np.pad(labels, padding, "edge")

    def labels_shown(self, plane: Plane) -> set[int]:
        """Values of all labels of a plane's masked series, 0 and what is not annotated among them."""
        shown: set[int] = set()
        with safe_open(self.path, framework="np") as file:
            for series, masked in enumerate(self.masked.get(plane, ())):
                if masked:
                    shown.update(np.unique(file.get_tensor(f"{plane.value}/{series}/labels")).tolist())
        return shown


def studies_digest(studies: Sequence[CachedStudy]) -> str:
    """SHA-256 that tells these studies, in this order, from others and from the same ones with other images or masks:
    the names of prepared files come from what they were made of."""
    return hashlib.sha256("\n".join(study.path.name for study in studies).encode()).hexdigest()


def prepare_manifest(
    manifest: DatasetManifest, folder: Path, size: int, processes: int = 1, leave_out: LeaveOut | None = None
) -> list[CachedStudy]:
    """The studies of a manifest, in order; those whose files are missing or broken are made.

    All are tried before any is refused, and nothing is kept of those that cannot be used: each process finds them
    alike, for it reads them itself.

    Args:
        manifest: of the studies.
        folder: of the files.
        size: pixels.
        processes: that make studies; several need a main guard in the script that asks for them.
        leave_out: told the studies that cannot be used, if there are any, which are left out then; None to refuse them.

    Raises:
        OrthoDiffusionError: what `refuse_or_leave_out` raises for studies that cannot be used; UNREADABLE_FILE, when a
            file cannot be read again; OUTPUT_NOT_WRITABLE; with several processes, what `working_processes` and
            `outcomes` raise.
    """
    joint = manifest.joint
    jobs = [
        _Job(entry.id, folder / _file(entry_key(entry, joint, size)), partial(stacks_of_entry, entry, joint, size))
        for entry in manifest.studies
    ]
    return _prepare(jobs, folder, processes, leave_out)


def prepare_phantoms(
    seeds: Sequence[int],
    folder: Path,
    size: int,
    processes: int = 1,
    joint: str = "knee",
    *,
    random_contrasts: int = 0,
    keep_anatomies: bool = False,
    maps: LabelMapTurns | None = None,
    leave_out: LeaveOut | None = None,
) -> list[CachedStudy]:
    """Phantom studies of these seeds, in order; those whose files are missing or broken are made.

    All label maps of studies that are to be made are looked at before any is made, and those that cannot be used are
    refused or left out with their studies; a seed takes the same one all the same.

    Args:
        seeds: of the studies.
        folder: of the files.
        size: pixels.
        processes: that make studies; several need a main guard in the script that asks for them.
        joint: of the phantoms.
        random_contrasts: how many more series each plane has, the same joint scanned elsewhere, each in a contrast of
            chance of its own.
        keep_anatomies: whether the joints lie in files too, to be scanned anew; a study whose joint does not is made
            again.
        maps: label maps of knees, whose anatomies the studies have in place of drawn ones.
        leave_out: told the label maps that cannot be used, if there are any; None to refuse them.

    Raises:
        OrthoDiffusionError: what `refuse_or_leave_out` raises for label maps that cannot be used; FILE_NOT_FOUND, when
            one is gone; UNREADABLE_FILE, when a file cannot be read again; OUTPUT_NOT_WRITABLE; with several processes,
            what `working_processes` and `outcomes` raise.
    """

    def job(seed: int, map_key: str | None = None) -> _Job:
        anatomy = joint if map_key is None else f"{joint}-map-{map_key}-{_code_hash(READING_CODE)[:12]}"
        kind = anatomy + (f"-random{random_contrasts}" if random_contrasts else "")
        kept = folder / f"{phantom_key(f'{anatomy}-anatomy', seed, 0)}.npz" if keep_anatomies else None
        make = partial(_phantom, seed, size, joint, random_contrasts, kept, maps)
        return _Job(f"phantom-{seed}", folder / _file(phantom_key(kind, seed, size)), make, kept)

    if maps is None:
        return _prepare([job(seed) for seed in seeds], folder, processes)
    from OrthoDiffusionLib.datasets.label_map_use import used_maps

    made_folder(folder)
    used = used_maps(maps, seeds, lambda seed, key: _prepared(job(seed, key)) is not None)
    refuse_or_leave_out(used.unusable, used.number, folder, leave_out)
    jobs = [job(seed, used.keys[seed]) for seed in seeds if seed in used.keys]
    # Nothing is wrong with any of the maps, unless one was changed just now.
    for problem in _made(jobs, folder, processes).values():
        raise problem
    return [_reopened(job) for job in jobs]


def _phantom(
    seed: int, size: int, joint: str, random_contrasts: int, kept: Path | None, maps: LabelMapTurns | None
) -> StudyStacks:
    from OrthoDiffusionLib.phantom import make_anatomy, scan_anatomy
    from OrthoDiffusionLib.phantom.kept_anatomy import packed

    anatomy = make_anatomy(seed, joint) if maps is None else maps.anatomy(seed)
    if kept is not None:
        write_whole(kept, packed(anatomy))
    scans = [scan_anatomy(anatomy, seed)]
    for number in range(1, random_contrasts + 1):
        scans.append(scan_anatomy(anatomy, seed + number * RANDOM_SCAN, contrast="random"))
    return stacks_of_phantom(scans, size)


def phantom_key(kind: str, seed: int, size: int) -> str:
    """Changes with the phantom and with the code that makes it."""
    return f"phantom-{kind}-{seed}-{size}-{FORMAT}-{_code_hash(PHANTOM_CODE)[:12]}"


def entry_key(entry: StudyEntry, joint: str, size: int) -> str:
    """Changes with the entry and with the files that it names: their sizes and times, for hashing terabytes would
    take as long as the training."""
    files = [path for series in entry.series for path in (series.image, series.labels) if path is not None]
    stamps = [(path, os.stat(path).st_size, os.stat(path).st_mtime_ns) for path in files]
    # Findings are kept in the joint's order, which a schema can change.
    findings = [finding.key for finding in load_joint(joint).findings]
    about = [entry.model_dump(mode="json"), joint, findings, stamps, size, FORMAT, _code_hash(ENTRY_CODE)]
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:24]


@cache
def _code_hash(patterns: tuple[str, ...]) -> str:
    files = sorted(path for pattern in patterns for path in LIBRARY.glob(pattern))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


class _Job(NamedTuple):
    """A study to prepare: its name, its file and what makes it; and the file of its anatomy, if that is kept, which is
    written by what makes the study."""

    id: str
    path: Path
    make: Callable[[], StudyStacks]
    anatomy: Path | None = None


def _file(key: str) -> str:
    return f"{key}.safetensors"


def _prepare(
    jobs: Sequence[_Job], folder: Path, processes: int, leave_out: LeaveOut | None = None
) -> list[CachedStudy]:
    problems = _made(jobs, folder, processes)
    unusable = [UnusableStudy(job.id, problems[job.path]) for job in jobs if job.path in problems]
    refuse_or_leave_out(unusable, len(jobs), folder, leave_out)
    return [_reopened(job) for job in jobs if job.path not in problems]


def _made(jobs: Sequence[_Job], folder: Path, processes: int) -> dict[Path, OrthoDiffusionError]:
    """Make the studies that are not prepared; what is wrong with those that cannot be, by their files."""
    made_folder(folder)
    missing = [job for job in jobs if _prepared(job) is None]
    # Processes that begin together hardly ever make the same study, each in an order of its own; not from the process's
    # number, which is the same in the containers of several machines.
    random.Random().shuffle(missing)
    if processes > 1 and len(missing) > 1:
        with working_processes(processes, partial(torch.set_num_threads, 1)) as working:
            outcomes = list(working.outcomes(_write_job, missing))
    else:
        outcomes = [_write_job(job) for job in missing]
    # What another process could read after all is used: all must train on the same studies.
    return {
        job.path: problem
        for job, problem in zip(missing, outcomes, strict=True)
        if problem is not None and _prepared(job) is None
    }


def _reopened(job: _Job) -> CachedStudy:
    study = _prepared(job)
    if study is None:
        # Without the study, other processes would train on others than this one.
        raise OrthoDiffusionError(
            ErrorKind.UNREADABLE_FILE,
            "A study that was prepared cannot be read again.",
            "Check that the folder of prepared studies may be read, and that its drive is connected; or choose another"
            " one with --cache.",
            detail=str(job.path),
        )
    return study


def _write_job(job: _Job) -> OrthoDiffusionError | None:
    """Make a study's file, or tell what is wrong with the study."""
    if _prepared(job) is not None:
        # Another process made it meanwhile.
        return None
    try:
        study = job.make()
    except OrthoDiffusionError as error:
        if error.kind not in OF_THE_DATA:
            raise
        return error
    arrays: dict[str, npt.NDArray[np.generic]] = {"present": study.present}
    for plane, stacks in study.planes.items():
        for number, stack in enumerate(stacks):
            arrays[f"{plane.value}/{number}/image"] = np.ascontiguousarray(stack.image)
            if stack.labels is not None:
                arrays[f"{plane.value}/{number}/labels"] = np.ascontiguousarray(stack.labels)
    clinical = "" if study.clinical is None else study.clinical.model_dump_json()
    about = {"id": study.id, "patient": study.patient, "joint": study.joint}
    write_whole(job.path, save(arrays, metadata={**about, "clinical": clinical}))
    return None


def _prepared(job: _Job) -> CachedStudy | None:
    """A study that is prepared, with its anatomy if that is asked for; None when a file is not there or not whole."""
    study = _opened(job.path)
    if study is None or (job.anatomy is not None and not zipfile.is_zipfile(job.anatomy)):
        return None
    return replace(study, anatomy=job.anatomy)


def _opened(path: Path) -> CachedStudy | None:
    """What a file holds; None when it is not there or not whole."""
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="np") as file:
            about = file.metadata()
            names = set(file.keys())
            depths, masked = {}, {}
            for plane in Plane:
                numbers = sorted(
                    int(n.split("/")[1]) for n in names if n.startswith(f"{plane.value}/") and "image" in n
                )
                if numbers:
                    prefix = [f"{plane.value}/{number}" for number in numbers]
                    depths[plane] = tuple(file.get_slice(f"{p}/image").get_shape()[0] for p in prefix)
                    masked[plane] = tuple(f"{p}/labels" in names for p in prefix)
            present = file.get_tensor("present")
    except (SafetensorError, OSError, KeyError, TypeError):
        return None
    clinical = ClinicalRecord.model_validate_json(about["clinical"]) if about["clinical"] else None
    return CachedStudy(path, about["id"], about["patient"], depths, masked, present, clinical, about["joint"])
