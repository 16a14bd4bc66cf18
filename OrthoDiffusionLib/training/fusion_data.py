"""What a fusion of planes learns from: studies' pooled features or logits, by networks that never saw the patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.bundles.clinical_data import ClinicalRecord
from OrthoDiffusionLib.datasets.cache import CachedStudy
from OrthoDiffusionLib.datasets.manifest import StudyEntry
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.networks.plane_fusion import reads_logits
from OrthoDiffusionLib.training.pooled_features import load_pooled
from OrthoDiffusionLib.training.trained_plane import load_plane

HELD_OUT = "held_out"
"""Name of the file with logits of studies that a head did not see."""


@dataclass(frozen=True)
class FusionStudy:
    """What a dataset says of a study besides its images.

    Attributes:
        id: of the study.
        patient: whose it is.
        present: (findings,), 0, 1 or NaN for unknown.
        clinical: None when nothing is known.
    """

    id: str
    patient: str
    present: torch.Tensor
    clinical: ClinicalRecord | None = None

    @classmethod
    def of_entry(cls, entry: StudyEntry, findings: Sequence[str]) -> FusionStudy:
        """A manifest's study; `findings` are the joint's keys in order."""
        said = [entry.findings.get(key) for key in findings]
        present = torch.tensor([float("nan") if value is None else float(value) for value in said])
        return cls(entry.id, entry.patient, present, entry.clinical)

    @classmethod
    def of_cached(cls, study: CachedStudy) -> FusionStudy:
        """A study that was prepared before."""
        return cls(study.id, study.patient, torch.from_numpy(np.array(study.present)), study.clinical)


@dataclass(frozen=True)
class FusionData:
    """All studies side by side.

    Attributes:
        studies: of the rows.
        values: (folds + 1, studies, 3, width), zeros for a missing plane; `values[f]` by networks that saw no patient
            of fold f, the last by the final ones. Logits are the same in all: each study's are out of fold anyway.
        assessed: bool (studies, 3), whether the study has the plane; one at least.
        present: (studies, findings), 0, 1 or NaN.
        fold: in which each study is held out, integers (studies,).
        channels: of a plane's pooled features.
    """

    studies: tuple[FusionStudy, ...]
    values: torch.Tensor
    assessed: torch.Tensor
    present: torch.Tensor
    fold: torch.Tensor
    channels: int

    def folds(self) -> list[int]:
        """Numbers of the folds that hold studies."""
        return [int(fold) for fold in self.fold.unique()]

    def rows(self, fold: int | None, *, held_out: bool = False) -> torch.Tensor:
        """Rows that a fold's network learns from, or that it is judged on; all rows for None."""
        if fold is None:
            return torch.arange(len(self.fold))
        return torch.nonzero((self.fold == fold) == held_out)[:, 0]


def fusion_data(kind: str, folders: Mapping[Plane, Path], studies: Sequence[FusionStudy]) -> FusionData:
    """Gather what the planes' trainings left; studies that no plane knows, or without a known finding, are left out.

    Args:
        kind: of fusion; says whether features or logits are read.
        folders: output folders of `orthodiffusion train-diagnosis`, two or three.
        studies: of the dataset.

    Raises:
        OrthoDiffusionError: CHECKPOINT_INVALID for a folder without what is needed; BAD_SETTINGS, when the planes were
            not trained with the same folds or sizes, or without the features that the fusion reads; EMPTY_STUDY, when
            fewer than two folds have studies.
    """
    if not reads_logits(kind):
        _check_pools(folders)
    planes = {plane: load_pooled(folder) for plane, folder in folders.items()}
    if len({(pooled.features.shape[0], pooled.features.shape[2]) for pooled in planes.values()}) != 1:
        raise _differently("folds, or networks of different sizes")
    row_of = {plane: {study: row for row, study in enumerate(pooled.ids)} for plane, pooled in planes.items()}
    usable = tuple(
        study
        for study in studies
        if bool(torch.isfinite(study.present).any()) and any(study.id in rows for rows in row_of.values())
    )
    folds_of = [
        {int(planes[plane].fold[rows[study.id]]) for plane, rows in row_of.items() if study.id in rows}
        for study in usable
    ]
    of_patient: dict[str, set[int]] = {}
    for study, numbers in zip(usable, folds_of, strict=True):
        of_patient.setdefault(study.patient, set()).update(numbers)
    if any(len(numbers) > 1 for numbers in of_patient.values()):
        raise _differently("folds")
    fold = torch.tensor([min(numbers) for numbers in folds_of])
    if len(fold.unique()) < 2:
        raise OrthoDiffusionError(
            ErrorKind.EMPTY_STUDY,
            "The planes' networks know too few of the dataset's studies.",
            "Name the dataset that their diagnosis heads were trained on.",
        )
    logits = {plane: held_out_tensors(folder) for plane, folder in folders.items()} if reads_logits(kind) else {}
    some = next(iter(planes.values())).features
    width = len(usable[0].present) if logits else some.shape[2]
    values = torch.zeros(some.shape[0], len(usable), len(Plane), width)
    assessed = torch.zeros(len(usable), len(Plane), dtype=torch.bool)
    for number, study in enumerate(usable):
        for plane, rows in row_of.items():
            if study.id in rows:
                assessed[number, plane.pose_id] = True
                values[:, number, plane.pose_id] = (
                    logits[plane][f"logits/{study.id}"] if logits else planes[plane].features[:, rows[study.id]]
                )
    present = torch.stack([study.present for study in usable])
    return FusionData(usable, values, assessed, present, fold, some.shape[2])


def _check_pools(folders: Mapping[Plane, Path]) -> None:
    for plane, folder in folders.items():
        if not load_plane(folder).description.pools_features:
            raise OrthoDiffusionError(
                ErrorKind.BAD_SETTINGS,
                f"The {plane.value} diagnosis head was trained without pooled features, which this fusion reads.",
                "Choose the kind gate or gate_stacking, or train the heads with pools_features: true.",
            )


def held_out_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """What `orthodiffusion train-diagnosis` left of held-out studies: `logits/<id>` and `present/<id>`, (findings,).

    Raises:
        OrthoDiffusionError: CHECKPOINT_INVALID for a folder without them.
    """
    try:
        return load_file(folder / f"{HELD_OUT}.safetensors")
    except (OSError, SafetensorError) as error:
        raise OrthoDiffusionError(
            ErrorKind.CHECKPOINT_INVALID,
            "The plane's folder holds no logits of held-out studies.",
            "Train its diagnosis head last, with `orthodiffusion train-diagnosis`, and name that output folder.",
            detail=str(error),
        ) from error


def _differently(what: str) -> OrthoDiffusionError:
    return OrthoDiffusionError(
        ErrorKind.BAD_SETTINGS,
        f"The planes' heads were trained with different {what}.",
        "Train all of them on the same dataset with the same seed, folds and configuration.",
    )
