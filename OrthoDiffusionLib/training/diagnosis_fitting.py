"""One diagnosis head, fitted to some of the studies."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from OrthoDiffusionLib.anatomy import Joint, load_joint
from OrthoDiffusionLib.datasets.splits import share_held_out, split
from OrthoDiffusionLib.networks.plane_networks import PlaneDiagnosis, PlaneNetworks
from OrthoDiffusionLib.networks.structure_statistics import statistics_of
from OrthoDiffusionLib.training.bfloat16 import multiply_in_bfloat16
from OrthoDiffusionLib.training.checkpoints import copied_state
from OrthoDiffusionLib.training.diagnosis_views import SeriesViews, StudyViews
from OrthoDiffusionLib.training.divergence import (
    SeenStudy,
    diverged,
    go_on,
    kept_until,
    naming_studies,
    stop_unless_finite,
)
from OrthoDiffusionLib.training.finding_loss import FindingLoss
from OrthoDiffusionLib.training.learning_rate import along_cosine
from OrthoDiffusionLib.training.reading_fit import fit_reading
from OrthoDiffusionLib.training.settings import DiagnosisSettings
from OrthoDiffusionLib.training.stopping import asked_to_stop, stopped_after
from OrthoDiffusionLib.training.trained_plane import TrainedPlane, empty_networks
from OrthoDiffusionLib.training.unfinished_head import HeadProgress, UnfinishedHead

Told = Callable[[int, float, float | None], None]
"""Told each step, counted from 0, with its loss, and with the loss on held-out patients after the last of an epoch."""


class LearntFrom(NamedTuple):
    """Studies that a head is fitted to.

    Attributes:
        rows: their numbers.
        patients: of all studies, by number.
        present: findings of all studies, (studies, findings): 0, 1 or NaN for unknown.
        views: of any study.
        ids: of all studies, by number, to be told when something is wrong with one; empty to leave them untold.
    """

    rows: Sequence[int]
    patients: Sequence[str]
    present: torch.Tensor
    views: StudyViews
    ids: Sequence[str] = ()


class FittedHead(NamedTuple):
    """Networks in evaluation mode, on the device they were fitted on, and for how many epochs."""

    networks: PlaneNetworks
    epochs: int


def fitted(
    start: TrainedPlane,
    source: LearntFrom,
    settings: DiagnosisSettings,
    device: torch.device | str,
    told: Told = lambda step, loss, validation: None,
    kept: UnfinishedHead | None = None,
) -> FittedHead:
    """Fit a new head, and the encoder with it where the settings say so.

    A reading of structures is fitted first, and stays as it is while pooled features learn what they add to it.

    With `settings.patience`, a share of the patients is held out, and the networks of the epoch with the lowest loss on
    them are kept.

    Args:
        start: networks whose encoder training starts from.
        source: studies to learn from.
        settings: of the training.
        device: to train on.
        told: each step's loss, and first those of the steps that an interrupted training had done.
        kept: checkpoints, from which an interrupted training goes on; asked to end (SIGTERM), it saves one first. None
            for none.

    Raises:
        OSError: when a checkpoint cannot be written.
        OrthoDiffusionError: TRAINING_DIVERGED, with the studies that the step saw; BAD_SETTINGS, when the checkpoints
            are of another training; CANCELLED, when it was asked to end and keeps checkpoints.
    """
    rows, waiting = _parts(source, settings)
    networks = _new_networks(start, settings)
    head = networks.diagnosis
    assert head is not None
    if head.reading is not None:
        reads = read_by_findings(load_joint(start.description.joint), around=settings.reads_around)
        loss = _fit_reading(head, source, rows, reads, settings.reading_penalty)
        # What features say begins with nothing.
        torch.nn.init.zeros_(head.head.net.weight)
        if not settings.pools_features:
            told(0, loss, None)
            return FittedHead(networks.to(device).eval(), 0)
    networks.to(device)
    optimiser = _optimiser(networks, settings)
    findings = FindingLoss(source.present[rows].to(device), balanced=settings.balanced)
    if head.reading is not None:
        with torch.no_grad():
            # It is taken off in the end, with what the weights of rare findings have added.
            head.head.net.bias.add_(findings.shift)
    waited_for = FindingLoss(source.present[waiting], balanced=settings.balanced) if waiting else None
    in_epoch = math.ceil(len(rows) / settings.batch)
    steps = settings.epochs * in_epoch
    done = HeadProgress(np.random.Generator(np.random.PCG64([settings.seed, 1])))
    if kept is not None:
        kept.take_up(networks, optimiser, done)
    for step, (loss, validation) in enumerate(done.losses):
        told(step, loss, None if math.isnan(validation) else validation)
    if waited_for is not None and head.reading is not None:
        # Features that only do harm are left out.
        done.lowest, done.best = _waited(networks, source, waiting, waited_for, settings), copied_state(networks)
    saved = done.step
    # Without checkpoints there is nothing to save first.
    heard = nullcontext(lambda: False) if kept is None else asked_to_stop()
    with heard as stopping:
        while done.step < steps and done.step // in_epoch - done.best_epoch < (settings.patience or settings.epochs):
            step = done.step
            networks.train()
            if step % in_epoch == 0:
                done.order = done.generator.permutation(len(rows))
            chosen = done.order[step % in_epoch * settings.batch :][: settings.batch]
            drawn = [_drawn_view(source.views(rows[index]), done.generator) for index in chosen]
            for group in optimiser.param_groups:
                group["lr"] = group["share"] * settings.learning_rate * along_cosine(step, steps)
            optimiser.zero_grad(set_to_none=True)
            last = _learnt(networks, drawn, torch.from_numpy(chosen).to(device), findings, settings)
            seen = partial(_seen, source, [rows[index] for index in chosen], drawn)
            said = () if kept is None else (kept_until(saved), go_on(saved))
            with naming_studies(step, seen, *said):
                stop_unless_finite(last, networks.parameters(), step)
            optimiser.step()
            now = math.nan
            epoch, left = divmod(step + 1, in_epoch)
            if waited_for is not None and not left:
                now = _waited(networks, source, waiting, waited_for, settings)
                if now < done.lowest:
                    done.lowest, done.best, done.best_epoch = now, copied_state(networks), epoch
            done.losses.append((last, now))
            told(step, last, None if math.isnan(now) else now)
            stopped = stopping()
            if kept is not None and (stopped or kept.is_due(done.step)):
                kept.save(networks, optimiser, done)
                saved = done.step
            # After the last step too, for other folds may follow.
            if stopped:
                raise stopped_after(done.step)
    if kept is not None and saved < done.step:
        kept.save(networks, optimiser, done)
    if done.best is not None:
        networks.load_state_dict(done.best)
    with torch.no_grad():
        head.head.net.bias.sub_(findings.shift)
    return FittedHead(networks.eval(), done.best_epoch if done.best is not None else done.step // in_epoch)


def _fit_reading(
    head: PlaneDiagnosis, source: LearntFrom, rows: Sequence[int], reads: torch.Tensor, penalty: float
) -> float:
    """Fit the reading of structures and the head's bias to all series of the studies; their mean cross entropy.

    Raises:
        OrthoDiffusionError: TRAINING_DIVERGED, with the studies whose images are not finite, or without a solution.
    """
    assert head.reading is not None
    series = [(row, one) for row in rows for one in source.views(row)]
    if not all(bool(one.views.isfinite().all()) for _, one in series):
        with naming_studies(0, partial(_seen, source, *zip(*series, strict=True))):
            raise diverged(0, math.nan, math.nan)
    statistics = torch.stack([one.statistics for _, one in series if one.statistics is not None])
    of_study = Counter(row for row, _ in series)
    counts = np.array([1 / of_study[row] for row, _ in series])
    present = source.present[[row for row, _ in series]]
    head.reading.prepare(statistics, reads)
    standardised = head.reading.standardised(statistics)
    fit = fit_reading(standardised.double().numpy(), reads.double().numpy(), present.double().numpy(), counts, penalty)
    with torch.no_grad():
        head.reading.weight.copy_(torch.from_numpy(fit.weight))
        head.head.net.bias.copy_(torch.from_numpy(fit.bias))
        logits = head.reading(statistics) + head.head.net.bias
    head.reading.requires_grad_(False)
    return FindingLoss(present, balanced=False).of(logits, torch.arange(len(present))).item()


def _waited(
    networks: PlaneNetworks,
    source: LearntFrom,
    waiting: Sequence[int],
    findings: FindingLoss,
    settings: DiagnosisSettings,
) -> float:
    """The loss on held-out patients; the networks are in evaluation mode then."""
    networks.eval()
    logits = torch.stack([study_answer(networks, source.views(row), settings)[0] for row in waiting])
    return findings.of(logits, torch.arange(len(waiting))).item()


def _learnt(
    networks: PlaneNetworks,
    drawn: Sequence[SeriesViews],
    chosen: torch.Tensor,
    findings: FindingLoss,
    settings: DiagnosisSettings,
) -> float:
    """Gradients of a step's studies, of `settings.together` at a time; their loss."""
    at_a_time = settings.together or len(drawn)
    loss = 0.0
    for first in range(0, len(drawn), at_a_time):
        part = slice(first, first + at_a_time)
        with multiply_in_bfloat16(networks.encoder, enabled=settings.precision == "bfloat16"):
            view = _features(networks, drawn[part], settings)
        share = findings.of(_logits_and_pooled(networks, view.float(), drawn[part])[0], chosen[part], chosen)
        share.backward()
        loss += share.item()
    return loss


def _optimiser(networks: PlaneNetworks, settings: DiagnosisSettings) -> torch.optim.AdamW:
    """Each of its groups has the `share` of the learning rate at which it is trained."""
    head = networks.diagnosis
    assert head is not None
    groups = [{"params": [*head.pooling.parameters(), *head.head.parameters()], "share": 1.0}]
    if settings.encoder_rate > 0:
        groups.append({"params": list(networks.encoder.parameters()), "share": settings.encoder_rate})
    return torch.optim.AdamW(groups, weight_decay=1e-2)


def _drawn_view(study: Sequence[SeriesViews], generator: np.random.Generator) -> SeriesViews:
    """A view of any of a study's series."""
    return study[int(generator.integers(len(study)))].drawn(generator)


def _seen(source: LearntFrom, rows: Sequence[int], drawn: Sequence[SeriesViews]) -> list[SeenStudy]:
    """The studies of a step's views; none where their names are not known."""
    if not source.ids:
        return []
    return [
        SeenStudy(source.ids[row], bool(series.views.isfinite().all())) for row, series in zip(rows, drawn, strict=True)
    ]


def study_answer(
    networks: PlaneNetworks, study: Sequence[SeriesViews], settings: DiagnosisSettings
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (findings,) and pooled features (channels,) of a study: those of the centre window of the series that a
    run would assess, for temperatures, thresholds and gates are fitted to them."""
    with torch.inference_mode():
        assessed = study[0]._replace(views=study[0].views[0])
        features = _features(networks, [assessed], settings)
        logits, pooled = (values[0].cpu() for values in _logits_and_pooled(networks, features, [assessed]))
        return logits.clone(), pooled.clone()


def read_by_findings(joint: Joint, *, around: bool) -> torch.Tensor:
    """Which statistics each finding reads: those of the structures it shows in, (findings, statistics), 0 or 1."""
    rows = [
        [float(structure.key in joint.shows_in.get(finding.key, ())) for structure in joint.structures]
        for finding in joint.findings
    ]
    return torch.tensor(rows).repeat_interleave(statistics_of(around=around), dim=1)


def _parts(source: LearntFrom, settings: DiagnosisSettings) -> tuple[list[int], list[int]]:
    """Studies to learn from, and those of other patients whose loss says when to stop; none where nothing is stopped
    early, or there is but one patient."""
    rows = list(source.rows)
    patients = [source.patients[row] for row in rows]
    count = len(set(patients))
    if not settings.patience or not settings.pools_features or count < 2:
        return rows, []
    share = share_held_out(settings.validation_share, count)
    parts = split(patients, {"validation": share, "train": 1 - share}, settings.seed)
    return [rows[index] for index in parts["train"]], [rows[index] for index in parts["validation"]]


def _new_networks(start: TrainedPlane, settings: DiagnosisSettings) -> PlaneNetworks:
    torch.manual_seed(settings.seed)
    keeps_decoder = start.networks.segmentation is not None and settings.encoder_rate == 0
    networks = empty_networks(start.description, segmentation=keeps_decoder, diagnosis=True)
    networks.encoder.load_state_dict(start.networks.encoder.state_dict())
    if networks.segmentation is not None and start.networks.segmentation is not None:
        networks.segmentation.load_state_dict(start.networks.segmentation.state_dict())
    networks.requires_grad_(False)
    networks.encoder.requires_grad_(settings.encoder_rate > 0)
    assert networks.diagnosis is not None
    networks.diagnosis.requires_grad_(True)
    return networks


def _features(networks: PlaneNetworks, series: Sequence[SeriesViews], settings: DiagnosisSettings) -> torch.Tensor:
    """The feature map of one view of each series, which a frozen encoder has left in place of the view."""
    view = torch.stack([one.views for one in series]).to(next(networks.parameters()).device)
    if settings.encoder_rate > 0:
        view = networks.features(view, torch.full((len(view),), settings.timestep, device=view.device))
    return view


def _logits_and_pooled(
    networks: PlaneNetworks, features: torch.Tensor, series: Sequence[SeriesViews]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (batch, findings) and pooled features (batch, channels) of the series' feature maps."""
    assert networks.diagnosis is not None
    told = [one.statistics for one in series if one.statistics is not None]
    return networks.diagnosis.logits_and_pooled(features, torch.stack(told).to(features.device) if told else None)
