"""A refinement trained on what the planes' networks find in studies with masks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.datasets.splits import share_held_out, split
from OrthoDiffusionLib.evaluation.metrics import dice
from OrthoDiffusionLib.inference.exactness import compute_exactly
from OrthoDiffusionLib.inference.refining import SLICES
from OrthoDiffusionLib.networks.refinement import FACTOR, RefinementNetwork, fastest_layout
from OrthoDiffusionLib.training.divergence import stop_unless_finite
from OrthoDiffusionLib.training.losses import NOT_ANNOTATED, segmentation_loss
from OrthoDiffusionLib.training.refinement_stacks import KeptStudy, RefinementSlices, too_few_patients
from OrthoDiffusionLib.training.settings import RefinementSettings

Report = Callable[[int, float], None]
"""Told the step, counted from 0, and its loss."""

VALIDATION_SIZE = 10
"""Studies at most that a validation looks at, all slices of all planes."""


class TrainedNetwork(NamedTuple):
    """A refinement, and how it did on studies of other patients than those that it learnt from.

    Attributes:
        network: in evaluation mode, on the CPU.
        studies: that it learnt from.
        held_out: studies that it was validated on.
        before: mean Dice of the planes' mean on each plane's fine grid; None where those studies show no structure.
        after: mean Dice of the refined planes, each by itself.
    """

    network: RefinementNetwork
    studies: int
    held_out: int
    before: float | None
    after: float | None


def train_refinement(
    studies: Sequence[KeptStudy],
    joint: str,
    settings: RefinementSettings,
    report: Report,
    device: torch.device | str = "cpu",
) -> TrainedNetwork:
    """Train a refinement for all planes.

    Args:
        studies: with what the planes' networks found.
        joint: whose structures there are.
        settings: of the training.
        report: told each step.
        device: to train on.

    Raises:
        OrthoDiffusionError: EMPTY_STUDY for studies of fewer than two patients; TRAINING_DIVERGED, when the loss is no
            number any more.
    """
    patients = [study.patient for study in studies]
    if len(set(patients)) < 2:
        raise too_few_patients()
    held_out = share_held_out(settings.validation_share, len(set(patients)))
    parts = split(patients, {"validation": held_out, "train": 1 - held_out}, settings.seed)
    train, validation = ([studies[index] for index in parts[name]] for name in ("train", "validation"))
    compute_exactly(torch.device(device))
    torch.manual_seed(settings.seed)
    structures = len(load_joint(joint).structures)
    network = fastest_layout(RefinementNetwork(structures + 1).to(device)).train()
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=settings.weight_decay)
    for step in range(settings.steps):
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * _rate(step, settings)
        drawn = refinement_batch(train, settings, step)
        optimiser.zero_grad(set_to_none=True)
        images = drawn.images.to(device=device, memory_format=torch.channels_last)
        scores = network(images, drawn.own.to(device), drawn.mean.to(device))
        loss = segmentation_loss(scores[:, :, None], drawn.labels[:, None].to(device))
        loss.backward()
        stop_unless_finite(loss.item(), network.parameters(), step)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        report(step, loss.item())
    network.eval().requires_grad_(False)
    looked_at = validation[:VALIDATION_SIZE]
    gained = refinement_dice(network, looked_at, structures, device) or (None, None)
    return TrainedNetwork(network.to("cpu"), len(train), len(looked_at), *gained)


def refinement_batch(studies: Sequence[KeptStudy], settings: RefinementSettings, step: int) -> RefinementSlices:
    """The parts of slices of a step; they depend on the seed, the step and the part's number alone."""
    parts = [
        _draw(studies, settings, np.random.Generator(np.random.PCG64([settings.seed, step, number])))
        for number in range(settings.batch)
    ]
    return RefinementSlices(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


def refinement_dice(
    network: RefinementNetwork, studies: Sequence[KeptStudy], structures: int, device: torch.device | str
) -> tuple[float, float] | None:
    """Mean Dice over structures before and after refinement, on the fine grid, over all planes of the studies; None
    where they show no structure.

    Args:
        network: on `device`.
        studies: to look at.
        structures: how many there are.
        device: of the network.
    """
    overlaps: dict[tuple[int, bool], list[float]] = {}
    for study in studies:
        for plane in study.slices:
            found, truth = _labelled(network, study, plane, device)
            for label in range(1, structures + 1):
                if (truth == label).any():
                    for refined, labels in enumerate(found):
                        overlaps.setdefault((label, bool(refined)), []).append(dice(labels, truth, label))
    if not overlaps:
        return None
    means = [
        [np.mean(values) for (_, kind), values in overlaps.items() if kind is refined] for refined in (False, True)
    ]
    return float(np.mean(means[0])), float(np.mean(means[1]))


def _labelled(
    network: RefinementNetwork, study: KeptStudy, plane: Plane, device: torch.device | str
) -> tuple[list[np.ndarray], np.ndarray]:
    """Labels of a plane's slices before and after refinement, and the truth; what is not annotated is background."""
    found: list[list[torch.Tensor]] = [[], []]
    truth = []
    for first in range(0, study.slices[plane], SLICES):
        part = study.read(plane, first, min(first + SLICES, study.slices[plane]))
        before = torch.nn.functional.interpolate(part.mean, scale_factor=FACTOR, mode="bilinear", align_corners=False)
        with torch.inference_mode():
            after = network(part.images.to(device), part.own.to(device), part.mean.to(device)).cpu()
        for labels, scores in zip(found, (before, after), strict=True):
            labels.append(scores.argmax(dim=1) * (part.labels != NOT_ANNOTATED))
        truth.append(part.labels)
    return [torch.cat(labels).numpy() for labels in found], torch.cat(truth).numpy()


def _rate(step: int, settings: RefinementSettings) -> float:
    """Rises over the first steps, and falls along a cosine that ends with the last."""
    return min(1.0, (step + 1) / settings.warm_up) * 0.5 * (1 + math.cos(math.pi * step / settings.steps))


def _draw(
    studies: Sequence[KeptStudy], settings: RefinementSettings, generator: np.random.Generator
) -> RefinementSlices:
    """A part of one slice, turned over at random, its image brighter or of more contrast."""
    study = studies[int(generator.integers(len(studies)))]
    plane = list(study.slices)[int(generator.integers(len(study.slices)))]
    number = int(generator.integers(study.slices[plane]))
    whole = study.read(plane, number, number + 1)
    edge = min(settings.crop, *whole.own.shape[2:])
    row, column = (int(generator.integers(length - edge + 1)) for length in whole.own.shape[2:])
    rows, columns = (slice(start, start + edge) for start in (row, column))
    fine_rows, fine_columns = (slice(FACTOR * start, FACTOR * (start + edge)) for start in (row, column))
    images, labels = (tensor[..., fine_rows, fine_columns] for tensor in (whole.images, whole.labels))
    own, mean = (tensor[..., rows, columns] for tensor in (whole.own, whole.mean))
    if generator.random() < settings.alone_share:
        mean = own
    flipped = [axis for axis in (-2, -1) if generator.random() < 0.5]
    images = images * generator.uniform(0.8, 1.25) + generator.uniform(-0.2, 0.2)
    parts = (images.float(), own, mean, labels)
    return RefinementSlices(*(tensor.flip(flipped) for tensor in parts))
