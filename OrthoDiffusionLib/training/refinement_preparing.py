"""Studies with masks made into files for a refinement, once, in this process or in several."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.datasets.labelled_studies import LabelledStudy
from OrthoDiffusionLib.datasets.unusable import OF_THE_DATA, LeaveOut, UnusableStudy, refuse_or_leave_out
from OrthoDiffusionLib.datasets.whole_files import made_folder
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.inference.exactness import compute_exactly
from OrthoDiffusionLib.inference.model import PlaneModel
from OrthoDiffusionLib.training.refinement_files import KeptStudy, kept_study, unreadable, write_study
from OrthoDiffusionLib.training.refinement_stacks import detailed_planes, networks_digest, plane_model
from OrthoDiffusionLib.training.trained_plane import TrainedPlane, load_plane, save_plane, without_diagnosis
from OrthoDiffusionLib.worker.job_folder import JobFolder
from OrthoDiffusionLib.worker.processes import working_processes

FORMAT = 2
"""Of the files; another one makes all of them again."""

LIBRARY = Path(__file__).resolve().parents[1]
CODE = (
    "diffusion/*.py",
    "inference/*.py",
    "networks/*.py",
    "volumes/*.py",
    "training/refinement_files.py",
    "training/refinement_stacks.py",
)
"""Code that decides what the files hold, beside that of phantoms, which the studies' keys tell."""


def kept_studies(
    studies: Sequence[LabelledStudy],
    planes: Mapping[Plane, TrainedPlane],
    folder: Path,
    tell: Callable[[float], None],
    device: torch.device | str,
    processes: int = 1,
    leave_out: LeaveOut | None = None,
) -> list[KeptStudy]:
    """The studies in order, without those that show nothing; those whose files are missing or broken are made.

    Args:
        studies: with label maps.
        planes: their networks, with decoders.
        folder: of the files.
        tell: told the share that is done of what is to be made, after each study.
        device: for the networks.
        processes: that make files, with the networks in each, on the same device; several need a main guard in the
            script that asks for them. They share the threads of this one, and fewer threads may round otherwise.
        leave_out: told the studies that cannot be used, if there are any, which are left out then; None to refuse them.

    Raises:
        OrthoDiffusionError: EMPTY_STUDY for studies of fewer than two patients; what `refuse_or_leave_out` raises for
            studies that cannot be used, once all others are made; UNREADABLE_FILE, when a file cannot be read again;
            OUTPUT_NOT_WRITABLE; with several processes, what `working_processes` and `outcomes` raise.
    """
    if len({study.patient for study in studies}) < 2:
        # Before the networks see any: they take hours for a thousand studies.
        raise too_few_patients()
    made_folder(folder)
    joint = next(iter(planes.values())).description.joint
    one_piece = tuple(structure.label for structure in load_joint(joint).structures if structure.one_piece)
    digest = _digest(planes, one_piece)
    paths = [folder / f"refinement-{study.key}-{digest}.safetensors" for study in studies]
    missing = [
        _Job(path, study) for path, study in zip(paths, studies, strict=True) if kept_study(path, study.patient) is None
    ]
    # Two commands that begin together hardly ever make the same study.
    random.Random().shuffle(missing)
    problems = {}
    outcomes = _made(missing, planes, one_piece, str(device), processes)
    for number, (job, problem) in enumerate(zip(missing, outcomes, strict=True), start=1):
        if problem is not None:
            problems[job.path] = problem
        tell(number / len(missing))
    unusable = [
        UnusableStudy(study.id, problems[path]) for path, study in zip(paths, studies, strict=True) if path in problems
    ]
    refuse_or_leave_out(unusable, len(studies), folder, leave_out)
    kept = [_reopened(path, study.patient) for path, study in zip(paths, studies, strict=True) if path not in problems]
    return [study for study in kept if study.slices]


def too_few_patients() -> OrthoDiffusionError:
    """What to raise where no patient could be held out."""
    return OrthoDiffusionError(
        ErrorKind.EMPTY_STUDY,
        "Fewer than two patients have series with masks that show a structure.",
        "Name label maps in the dataset manifest.",
    )


class _Job(NamedTuple):
    path: Path
    study: LabelledStudy


class _Maker(NamedTuple):
    """The networks as a run asks them, and the labels of the structures that are one piece."""

    models: Mapping[Plane, PlaneModel]
    one_piece: tuple[int, ...]

    def make(self, job: _Job) -> OrthoDiffusionError | None:
        """Make a study's file, or tell what is wrong with the study."""
        if kept_study(job.path, job.study.patient) is not None:
            # Another command made it meanwhile.
            return None
        try:
            series = list(job.study.series())
        except OrthoDiffusionError as error:
            if error.kind not in OF_THE_DATA:
                raise
            return error
        with torch.inference_mode():
            write_study(job.path, detailed_planes(series, self.models, self.one_piece))
        return None


def _made(
    jobs: Sequence[_Job],
    planes: Mapping[Plane, TrainedPlane],
    one_piece: tuple[int, ...],
    device: str,
    processes: int,
) -> Iterator[OrthoDiffusionError | None]:
    """What is wrong with each job's study, in order; None where the file was made."""
    if not jobs:
        return
    if processes == 1:
        maker = _maker(planes, one_piece, device)
        for job in jobs:
            yield maker.make(job)
        return
    # Through files: what is handed to a process otherwise lies in shared memory, of which containers have little.
    weights = JobFolder()
    try:
        folders = {plane: weights.path / plane.value for plane in planes}
        for plane, folder in folders.items():
            save_plane(folder, without_diagnosis(planes[plane]), {})
        threads = max(1, torch.get_num_threads() // processes)
        prepare = partial(_begin, folders, one_piece, device, threads)
        with working_processes(min(processes, len(jobs)), prepare) as working:
            yield from working.outcomes(_make, jobs)
    finally:
        weights.remove()


def _maker(planes: Mapping[Plane, TrainedPlane], one_piece: tuple[int, ...], device: str) -> _Maker:
    compute_exactly(torch.device(device))
    return _Maker({plane: plane_model(trained, device) for plane, trained in planes.items()}, one_piece)


_makers: list[_Maker] = []
"""Of a process that makes files: the one that it was prepared with."""


def _begin(folders: Mapping[Plane, Path], one_piece: tuple[int, ...], device: str, threads: int) -> None:
    torch.set_num_threads(threads)
    _makers.append(_maker({plane: load_plane(folder) for plane, folder in folders.items()}, one_piece, device))


def _make(job: _Job) -> OrthoDiffusionError | None:
    return _makers[0].make(job)


def _reopened(path: Path, patient: str) -> KeptStudy:
    found = kept_study(path, patient)
    if found is None:
        raise unreadable(path)
    return found


def _digest(planes: Mapping[Plane, TrainedPlane], one_piece: Sequence[int]) -> str:
    files = sorted(path for pattern in CODE for path in LIBRARY.glob(pattern))
    code = b"".join(path.read_bytes() for path in files)
    return hashlib.sha256(f"{FORMAT} {networks_digest(planes)} {list(one_piece)} ".encode() + code).hexdigest()[:16]
