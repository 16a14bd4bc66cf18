"""A diagnosis head of one plane: pooling and a linear layer, on an encoder that is frozen or trained with it.

Each study also gets logits from heads that saw no study of its patient, and pooled features by the networks of every
fold. Gate or fusion, temperatures and thresholds come from these when a bundle is exported, never from logits of
studies that were trained on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from OrthoDiffusionLib.anatomy import Joint, load_joint
from OrthoDiffusionLib.datasets.cache import CachedStudy
from OrthoDiffusionLib.datasets.splits import folds
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.inference.plane_pass import noised_window
from OrthoDiffusionLib.networks.plane_networks import PlaneNetworks
from OrthoDiffusionLib.networks.structure_statistics import STATISTICS
from OrthoDiffusionLib.training.augmentation import augment
from OrthoDiffusionLib.training.finding_loss import FindingLoss
from OrthoDiffusionLib.training.pooled_features import PooledFeatures
from OrthoDiffusionLib.training.prepared_stacks import at_size
from OrthoDiffusionLib.training.settings import DiagnosisSettings
from OrthoDiffusionLib.training.structure_reading import read_structures
from OrthoDiffusionLib.training.trained_plane import TrainedPlane, empty_networks
from OrthoDiffusionLib.volumes.windows import centre_window, normalised

READING_RATE = 20.0
"""Learning rate of the reading of structures, over that of pooling and head: it is a regression on a dozen standardised
numbers for each finding, and starts from zero."""

Report = Callable[[str, float], None]
"""Told what is being done, and the share of all work that is done, 0 to 1."""


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
    report: Report,
    device: torch.device | str = "cpu",
) -> DiagnosisTraining:
    """Train a head on all studies, after a head for each fold without that fold's patients.

    With a frozen encoder its feature maps are computed once; else the encoder is trained anew for every fold. A
    segmentation decoder of `start` is kept when the encoder is frozen, and dropped when it changes. A patient is in the
    same fold for every plane that is trained on the same dataset with the same seed and folds.

    Args:
        start: networks whose encoder training starts from.
        studies: prepared; those without a series of the plane or without any known finding are left out.
        settings: of the training.
        report: told how far it is.
        device: to train on.

    Raises:
        OrthoDiffusionError: EMPTY_STUDY, when there are fewer patients than folds; BAD_SETTINGS, when structures are to
            be read and there are no masks, or the joint says of no finding where it shows; TRAINING_DIVERGED.
    """
    plane = start.description.plane
    usable = [study for study in studies if plane in study.depths and np.isfinite(study.present).any()]
    patients = {study.patient for study in usable}
    fold_of: dict[str, int] = {}
    if len(patients) >= settings.folds:
        # Of all patients, with or without this plane: a fusion of planes needs the same folds in each.
        parts = folds([study.patient for study in studies], settings.folds, settings.seed)
        fold_of = {studies[index].id: number for number, part in enumerate(parts) for index in part}
    if len({fold_of.get(study.id) for study in usable}) < 2:
        raise OrthoDiffusionError(
            ErrorKind.EMPTY_STUDY,
            f"{len(patients)} patients with findings make no {settings.folds} folds.",
            "Choose fewer folds, or a larger dataset.",
        )
    joint = load_joint(start.description.joint)
    if settings.reads_structures and not joint.shows_in:
        raise OrthoDiffusionError(
            ErrorKind.BAD_SETTINGS,
            f"The schema of the {joint.name} does not say which structures a finding shows in.",
            "Name them in its shows_in, or set reads_structures: false.",
        )
    if settings.reads_structures and (settings.encoder_rate > 0 or start.networks.segmentation is None):
        raise OrthoDiffusionError(
            ErrorKind.BAD_SETTINGS,
            "A head that reads structures needs masks by a decoder whose encoder stays as it is.",
            "Start from networks of train-segmentation with encoder_rate: 0, or set reads_structures: false.",
        )
    kind = {"pooling": settings.pooling, "reads_structures": settings.reads_structures}
    start = replace(start, description=start.description.model_copy(update=kind))
    views = [[SeriesViews(stack, None) for stack in _views(study, start, settings)] for study in usable]
    if settings.encoder_rate == 0:
        views = _features(views, usable if settings.reads_structures else (), start, report, device)
    present = torch.from_numpy(np.stack([study.present for study in usable]))
    fold = torch.tensor([fold_of[study.id] for study in usable])
    held_out: dict[str, torch.Tensor] = {}
    pooled = []
    for number in range(settings.folds):
        report(f"fold {number + 1} of {settings.folds}", 0.3 + 0.6 * number / settings.folds)
        rest = torch.nonzero(fold != number)[:, 0].tolist()
        networks = _fitted(start, [views[index] for index in rest], present[rest], settings, device)
        answers = [_study_answer(networks, study, settings) for study in views]
        pooled.append(torch.stack([features for _, features in answers]))
        for index in torch.nonzero(fold == number)[:, 0].tolist():
            held_out[f"logits/{usable[index].id}"] = answers[index][0]
            held_out[f"present/{usable[index].id}"] = present[index]
    report("all studies", 0.9)
    networks = _fitted(start, views, present, settings, device)
    pooled.append(torch.stack([_study_answer(networks, study, settings)[1] for study in views]))
    trained = TrainedPlane(start.description, networks.to("cpu").eval().requires_grad_(False)).told(
        f"Diagnosis head trained for {settings.epochs} epochs on {len(usable)} studies, the encoder at"
        f" {settings.encoder_rate:g} of its learning rate."
    )
    return DiagnosisTraining(
        trained, held_out, PooledFeatures(tuple(study.id for study in usable), fold, torch.stack(pooled))
    )


def _views(study: CachedStudy, start: TrainedPlane, settings: DiagnosisSettings) -> list[torch.Tensor]:
    """Of each series, the centre window first and then changed ones: noised, (views, 1, 16, size, size) each."""
    plane, size = start.description.plane, start.description.window_size
    generator = np.random.Generator(np.random.PCG64([settings.seed, plane.pose_id, *study.id.encode()]))
    stacks = []
    for series, depth in enumerate(study.depths[plane]):
        centre = centre_window(depth)
        windows = []
        for view in range(settings.views):
            shift = int(generator.integers(-1, 2)) if view else 0
            first = int(np.clip(centre + shift, 0, max(depth - 16, 0)))
            image, _ = study.window(plane, series, first)
            if view:
                whole = torch.from_numpy(normalised(image))
                changed, _ = augment(whole, torch.zeros(whole.shape, dtype=torch.int8), size, generator)
                window = changed.numpy()
            else:
                window = normalised(at_size(image, None, size)[0])
            windows.append(noised_window(window, plane, centre, settings.timestep, view, "cpu")[0][0])
        stacks.append(torch.stack(windows))
    return stacks


class SeriesViews(NamedTuple):
    """A series' views, or their feature maps, and the statistics of its structures, where the head reads them."""

    views: torch.Tensor
    statistics: torch.Tensor | None

    def drawn(self, generator: np.random.Generator) -> SeriesViews:
        """One of the views, alone."""
        return self._replace(views=self.views[int(generator.integers(len(self.views)))])


def _features(
    views: list[list[SeriesViews]],
    studies: Sequence[CachedStudy],
    start: TrainedPlane,
    report: Report,
    device: torch.device | str,
) -> list[list[SeriesViews]]:
    """The encoder's feature map of each view, in place of the view, and the structures' statistics.

    `studies` are those of the views, or empty where statistics are not wanted.
    """
    timestep = torch.tensor([start.description.timestep], device=device)
    networks = start.networks.to(device)
    mapped = []
    for number, study in enumerate(views):
        report("features", 0.3 * number / len(views))
        with torch.inference_mode():
            maps = [torch.cat([networks.features(view[None].to(device), timestep) for view in s.views]) for s in study]
        told = [
            read_structures(start, studies[number], s, device).clone() if studies else None for s in range(len(study))
        ]
        mapped.append([SeriesViews(stack.cpu().clone(), one) for stack, one in zip(maps, told, strict=True)])
    networks.to("cpu")
    return mapped


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


def read_by_findings(joint: Joint) -> torch.Tensor:
    """Which statistics each finding reads: those of the structures it shows in, (findings, statistics), 0 or 1."""
    rows = [
        [float(structure.key in joint.shows_in.get(finding.key, ())) for structure in joint.structures]
        for finding in joint.findings
    ]
    return torch.tensor(rows).repeat_interleave(len(STATISTICS), dim=1)


def _answer(
    networks: PlaneNetworks, series: Sequence[SeriesViews], settings: DiagnosisSettings
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (batch, findings) and pooled features (batch, channels) of one view, or its feature map when frozen, of
    each series."""
    assert networks.diagnosis is not None
    device = next(networks.parameters()).device
    view = torch.stack([one.views for one in series]).to(device)
    told = [one.statistics for one in series if one.statistics is not None]
    if settings.encoder_rate > 0:
        view = networks.features(view, torch.full((len(view),), settings.timestep, device=view.device))
    return networks.diagnosis.logits_and_pooled(view, torch.stack(told).to(device) if told else None)


def _fitted(
    start: TrainedPlane,
    views: Sequence[Sequence[SeriesViews]],
    present: torch.Tensor,
    settings: DiagnosisSettings,
    device: torch.device | str,
) -> PlaneNetworks:
    networks = _new_networks(start, settings)
    told = [series.statistics for study in views for series in study if series.statistics is not None]
    assert networks.diagnosis is not None
    if networks.diagnosis.reading is not None:
        networks.diagnosis.reading.prepare(torch.stack(told), read_by_findings(load_joint(start.description.joint)))
    networks.to(device)
    present = present.to(device)
    head = networks.diagnosis
    groups = [{"params": [*head.pooling.parameters(), *head.head.parameters()], "share": 1.0}]
    if head.reading is not None:
        groups.append({"params": list(head.reading.parameters()), "share": READING_RATE})
    if settings.encoder_rate > 0:
        groups.append({"params": list(networks.encoder.parameters()), "share": settings.encoder_rate})
    optimiser = torch.optim.AdamW(groups, weight_decay=1e-2)
    generator = np.random.Generator(np.random.PCG64([settings.seed, 1]))
    findings = FindingLoss(present, balanced=settings.balanced)
    steps = settings.epochs * math.ceil(len(views) / settings.batch)
    networks.train()
    step = 0
    for _ in range(settings.epochs):
        order = generator.permutation(len(views))
        for first in range(0, len(order), settings.batch):
            chosen = order[first : first + settings.batch]
            drawn = [views[index][int(generator.integers(len(views[index])))].drawn(generator) for index in chosen]
            for group in optimiser.param_groups:
                rate = 0.5 * (1 + math.cos(math.pi * step / steps))
                group["lr"] = group["share"] * settings.learning_rate * rate
            loss = findings.of(_answer(networks, drawn, settings)[0], torch.from_numpy(chosen))
            if not math.isfinite(loss.item()):
                raise OrthoDiffusionError(
                    ErrorKind.TRAINING_DIVERGED,
                    f"The loss is not a number any more at step {step}.",
                    "Look for a broken image in the dataset, or lower the learning rate.",
                )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            step += 1
    with torch.no_grad():
        networks.diagnosis.head.net.bias.sub_(findings.shift)
    return networks.eval()


def _study_answer(
    networks: PlaneNetworks, study: Sequence[SeriesViews], settings: DiagnosisSettings
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (findings,) and pooled features (channels,) of a study: the mean over its series' centre windows."""
    with torch.inference_mode():
        rows = [_answer(networks, [series._replace(views=series.views[0])], settings) for series in study]
        logits, pooled = (torch.cat(values).mean(dim=0).cpu() for values in zip(*rows, strict=True))
        return logits.clone(), pooled.clone()
