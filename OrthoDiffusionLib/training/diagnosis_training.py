"""A diagnosis head of one plane: pooling and a linear layer, on an encoder that is frozen or trained with it.

Each study also gets logits from heads that saw no study of its patient, and pooled features by the networks of every
fold. Gate or fusion, temperatures and thresholds come from these when a bundle is exported, never from logits of
studies that were trained on.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from OrthoDiffusionLib.anatomy import Joint, Plane, load_joint
from OrthoDiffusionLib.datasets.cache import CachedStudy
from OrthoDiffusionLib.datasets.splits import folds
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.training.diagnosis_fitting import LearntFrom, fitted, study_answer
from OrthoDiffusionLib.training.diagnosis_views import SeriesViews, StudyViews, drawn_views, feature_maps
from OrthoDiffusionLib.training.held_out_figures import held_out_auroc
from OrthoDiffusionLib.training.kept_feature_maps import KeptFeatureMaps
from OrthoDiffusionLib.training.kept_folds import OF_READING, FoldAnswers, KeptFolds
from OrthoDiffusionLib.training.loss_log import loss_log
from OrthoDiffusionLib.training.pooled_features import PooledFeatures
from OrthoDiffusionLib.training.resuming import check_parts
from OrthoDiffusionLib.training.settings import DiagnosisSettings
from OrthoDiffusionLib.training.stage_report import StageReport
from OrthoDiffusionLib.training.trained_plane import TrainedPlane
from OrthoDiffusionLib.training.unfinished_head import UnfinishedHead

LOSSES = ("loss", "validation")
"""What is logged of a head: loss of each step, and on held-out patients after each epoch."""

FOLD_LOGS = "folds"
"""Folder of the folds' logs, by number from 1."""


class DiagnosisTraining(NamedTuple):
    """What a training of a diagnosis head leaves.

    Attributes:
        trained: the networks, on the CPU, trained on all studies.
        held_out: for each study its logits out of fold and its findings, `logits/<id>` and `present/<id>`, (findings,)
            each; unknown findings are NaN.
        pooled: features of each study, for a fusion of the planes.
    """

    trained: TrainedPlane
    held_out: dict[str, torch.Tensor]
    pooled: PooledFeatures


def train_diagnosis(
    start: TrainedPlane,
    studies: Sequence[CachedStudy],
    settings: DiagnosisSettings,
    report: StageReport,
    device: torch.device | str = "cpu",
    folder: Path | None = None,
    log_folder: Path | None = None,
    checkpoints: Path | None = None,
) -> DiagnosisTraining:
    """Train a head on all studies, after a head for each fold without that fold's patients.

    Interrupted and started again with the same arguments, it goes on with what is kept and ends with the same weights.

    With a frozen encoder its feature maps are computed once; else the encoder is trained anew for every fold. A
    segmentation decoder of `start` is kept when the encoder is frozen, and dropped when it changes. A patient is in the
    same fold for every plane that is trained on the same dataset with the same seed and folds.

    Args:
        start: networks whose encoder training starts from.
        studies: prepared; those without a series of the plane or without any known finding are left out.
        settings: of the training.
        report: told how far it is.
        device: to train on.
        folder: where a frozen encoder's feature maps and the folds' answers are kept, for a training that is
            interrupted or made again with other settings of the head; or None, to keep them in memory.
        log_folder: of `losses.csv` and the same for TensorBoard, of the head of all studies and, once it is trained, of
            each fold's in `folds/`: each step's loss, and with `patience` the loss on held-out patients after each
            epoch; None for none.
        checkpoints: folder of what is kept of an encoder that is being trained, which takes long; to be removed when
            the result is kept. None for none; a frozen encoder's head takes seconds and has none.

    Raises:
        OSError: when feature maps, the folds' answers, checkpoints or losses cannot be kept, or a prepared study cannot
            be read.
        OrthoDiffusionError: EMPTY_STUDY, when there are fewer patients than folds, or all of them came into one;
            BAD_SETTINGS, when structures are to be read and there are no masks, the joint says of no finding where it
            shows, or the checkpoints are of another training; UNREADABLE_FILE, when kept feature maps cannot be read
            again; TRAINING_DIVERGED, with the studies that the step saw; CANCELLED, when it was asked to end and keeps
            checkpoints.
    """
    plane = start.description.plane
    usable = [study for study in studies if plane in study.depths and np.isfinite(study.present).any()]
    fold_of = _fold_of(studies, usable, plane, settings)
    joint = load_joint(start.description.joint)
    _check_can_read(start, joint, settings)
    kind = {
        "pooling": settings.pooling,
        "reads_structures": settings.reads_structures,
        "reads_around": settings.reads_around,
        "pools_features": settings.pools_features,
    }
    start = replace(start, description=start.description.model_copy(update=kind))
    views = _views(usable, start, settings, report, device, folder)
    everyone = range(len(usable))
    present = torch.from_numpy(np.stack([study.present for study in usable]))
    source = LearntFrom(everyone, [study.patient for study in usable], present, views, [study.id for study in usable])
    fold = torch.tensor([fold_of[study.id] for study in usable])
    kept = KeptFolds(folder, start, usable, fold.tolist(), settings)
    # Those of a reading are in the digest, and were not there in earlier versions.
    about = {"training": kept.digest, "settings": settings.model_dump(mode="json", exclude=set(OF_READING))}
    if checkpoints is not None:
        check_parts(checkpoints, about)
    held_out: dict[str, torch.Tensor] = {}
    pooled = []
    if log_folder is not None:
        # Of an earlier training, perhaps with more folds.
        shutil.rmtree(log_folder / FOLD_LOGS, ignore_errors=True)
    for number in range(settings.folds):
        report(f"fold {number + 1} of {settings.folds}", 0.3 + 0.6 * number / settings.folds)
        rest = torch.nonzero(fold != number)[:, 0].tolist()
        unfinished = _unfinished(checkpoints, f"fold-{number + 1}", about, settings)
        train = partial(_fold_answers, start, source._replace(rows=rest), settings, device, unfinished)
        answers = kept.answers(number, train)
        if checkpoints is not None and folder is not None:
            # Of the published size, those of a fold take gigabytes, and its answers are kept.
            shutil.rmtree(checkpoints / f"fold-{number + 1}", ignore_errors=True)
        if log_folder is not None:
            _write_losses(log_folder / FOLD_LOGS / str(number + 1), answers.losses)
        pooled.append(answers.pooled)
        for index in torch.nonzero(fold == number)[:, 0].tolist():
            held_out[f"logits/{usable[index].id}"] = answers.logits[index]
            held_out[f"present/{usable[index].id}"] = present[index]
    report("all studies", 0.9)
    with loss_log(log_folder, 0, LOSSES) as log:
        unfinished = _unfinished(checkpoints, "all", about, settings)
        networks, epochs = fitted(start, source, settings, device, log, unfinished)
    pooled.append(torch.stack([study_answer(networks, views(index), settings)[1] for index in everyone]))
    told = held_out_auroc(held_out, [finding.key for finding in joint.findings])
    figure = f"; out of fold, macro-AUROC {np.mean(list(told.values())):.2f} over {len(told)} findings" if told else ""
    trained = TrainedPlane(start.description, networks.to("cpu").eval().requires_grad_(False)).told(
        f"{_learnt_from(settings, epochs, len(usable))}{figure}.{_doubts(start, settings)}",
        encoder_saw=start.description.after("findings", settings.encoder_rate),
    )
    return DiagnosisTraining(
        trained, held_out, PooledFeatures(tuple(study.id for study in usable), fold, torch.stack(pooled))
    )


def _fold_of(
    studies: Sequence[CachedStudy], usable: Sequence[CachedStudy], plane: Plane, settings: DiagnosisSettings
) -> dict[str, int]:
    """The fold of each study, by its id."""
    patients = {study.patient for study in usable}
    if len(patients) < settings.folds:
        raise OrthoDiffusionError(
            ErrorKind.EMPTY_STUDY,
            f"{settings.folds} folds need as many patients with {plane.value} series and findings, and the dataset has"
            f" {len(patients)}.",
            "Choose fewer folds, or a larger dataset.",
        )
    # Of all patients, with or without this plane: a fusion of planes needs the same folds in each.
    parts = folds([study.patient for study in studies], settings.folds, settings.seed)
    fold_of = {studies[index].id: number for number, part in enumerate(parts) for index in part}
    if len({fold_of[study.id] for study in usable}) < 2:
        raise OrthoDiffusionError(
            ErrorKind.EMPTY_STUDY,
            f"All patients with {plane.value} series and findings came into one fold.",
            "Choose another seed or other folds, for all planes alike, or a larger dataset.",
        )
    return fold_of


def _check_can_read(start: TrainedPlane, joint: Joint, settings: DiagnosisSettings) -> None:
    """Refuse a head that is to read structures where these are not known or not found."""
    if settings.reads_structures and not joint.shows_in:
        raise OrthoDiffusionError(
            ErrorKind.BAD_SETTINGS,
            f"The schema of the {joint.name} does not say which structures a finding shows in.",
            "Name them in its shows_in, or set reads_structures: false.",
        )
    silent = [finding.key for finding in joint.findings if not joint.shows_in.get(finding.key)]
    if not settings.pools_features and silent:
        raise OrthoDiffusionError(
            ErrorKind.BAD_SETTINGS,
            f"The schema of the {joint.name} does not say which structures {', '.join(silent)} shows in.",
            "Name them in its shows_in, or set pools_features: true.",
        )
    if settings.reads_structures and (settings.encoder_rate > 0 or start.networks.segmentation is None):
        raise OrthoDiffusionError(
            ErrorKind.BAD_SETTINGS,
            "A head that reads structures needs masks by a decoder whose encoder stays as it is.",
            "Start from networks of train-segmentation with encoder_rate: 0, or set reads_structures: false.",
        )


def _views(
    studies: Sequence[CachedStudy],
    start: TrainedPlane,
    settings: DiagnosisSettings,
    report: StageReport,
    device: torch.device | str,
    folder: Path | None,
) -> StudyViews:
    """Feature maps of a frozen encoder, computed once; of another one the windows themselves."""
    if settings.encoder_rate > 0:
        return partial(_views_of, studies, start, settings)
    tell = partial(_tell_features, report)
    if folder is None:
        return feature_maps(studies, start, settings, tell, device).__getitem__
    return KeptFeatureMaps(studies, start, settings, folder, tell, device)


def _unfinished(
    checkpoints: Path | None, part: str, about: Mapping[str, Any], settings: DiagnosisSettings
) -> UnfinishedHead | None:
    """The checkpoints of a fold or of all studies."""
    if checkpoints is None or settings.encoder_rate == 0:
        return None
    return UnfinishedHead(checkpoints / part, about, settings.save_every)


def _fold_answers(
    start: TrainedPlane,
    source: LearntFrom,
    settings: DiagnosisSettings,
    device: torch.device | str,
    unfinished: UnfinishedHead | None,
) -> FoldAnswers:
    losses: list[tuple[float, float]] = []

    def keep(step: int, loss: float, validation: float | None) -> None:
        losses.append((loss, math.nan if validation is None else validation))

    networks = fitted(start, source, settings, device, keep, unfinished).networks
    told = [study_answer(networks, source.views(index), settings) for index in range(len(source.patients))]
    logits, pooled = (torch.stack(values) for values in zip(*told, strict=True))
    return FoldAnswers(logits, pooled, torch.tensor(losses, dtype=torch.float64))


def _write_losses(folder: Path, losses: torch.Tensor) -> None:
    """The log of a fold, whether it is trained now or was before: what is kept of it is whole."""
    with loss_log(folder, 0, LOSSES) as log:
        for step, (loss, validation) in enumerate(losses.tolist()):
            log(step, loss, None if math.isnan(validation) else validation)


def _tell_features(report: StageReport, share: float) -> None:
    report("features", 0.3 * share)


def _views_of(
    studies: Sequence[CachedStudy], start: TrainedPlane, settings: DiagnosisSettings, number: int
) -> list[SeriesViews]:
    return drawn_views(studies[number], start, settings)


def _learnt_from(settings: DiagnosisSettings, epochs: int, studies: int) -> str:
    structures = "structures and what lies around them" if settings.reads_around else "structures"
    if not settings.pools_features:
        return f"Diagnosis head fitted to {structures} in {studies} studies"
    read = f", to what {structures} leave unsaid" if settings.reads_structures else ""
    rate = f"the encoder at {settings.encoder_rate:g} of its learning rate"
    return f"Diagnosis head trained for {epochs} epochs on {studies} studies{read}, {rate}"


def _doubts(start: TrainedPlane, settings: DiagnosisSettings) -> str:
    """What else the person must know: a decoder that is lost, and held-out logits that are too good to be true."""
    said = ""
    if settings.encoder_rate > 0 and start.networks.segmentation is not None:
        said += " The segmentation decoder was left, for its encoder changed."
    if seen := " and ".join(start.description.encoder_saw):
        said += (
            f" The encoder had learnt from {seen} before: where these were of the same patients, what is told of"
            " held-out studies flatters."
        )
    return said
