"""One plane's networks trained on labelled stacks: encoder, segmentation decoder and diagnosis head together."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.diffusion.schedule import cosine_schedule
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.networks.plane_networks import PlaneNetworks, channels_last
from OrthoDiffusionLib.training.augmentation import augment, randomise_contrast
from OrthoDiffusionLib.training.checkpoints import (
    Checkpoint,
    latest_checkpoint,
    optimiser_tensors,
    restore_optimiser,
    save_checkpoint,
)
from OrthoDiffusionLib.training.crops import crop_around_structure
from OrthoDiffusionLib.training.half_precision import multiply_in_bfloat16
from OrthoDiffusionLib.training.losses import diagnosis_loss, segmentation_loss
from OrthoDiffusionLib.training.phantom_stacks import StudyStacks
from OrthoDiffusionLib.volumes.windows import centre_window, normalised


@dataclass(frozen=True)
class PlaneTraining:
    """How a plane is trained.

    Attributes:
        steps: of the optimiser.
        size: pixels of the windows along i and j; a multiple of the encoder's reduction.
        batch: windows a step.
        together: windows that go through the networks at a time; gradients of a step's parts are averaged. Two windows
            of 128 pixels take 1.2 s on one core, four 4.0 s, for their activations no longer fit its cache.
        crop: pixels along i and j of the parts that most steps cut around a structure out of their windows; a multiple
            of the encoder's reduction, or 0 for whole windows alone. Four parts of 80 pixels take 2.5 s on one core,
            four whole windows of 128 pixels 8 s.
        crop_share: share of the steps that see parts, and train the segmentation alone.
        learning_rate: highest, reached after the warm-up; falls to zero along a cosine.
        warm_up: steps.
        timestep: of the noise, 0 to 999.
        centre_share: share of whole windows that are the centre window, shifted by up to `centre_jitter` slices; the
            others lie anywhere in the stack and train the segmentation alone.
        centre_jitter: slices.
        diagnosis_share: weight of the diagnosis loss; 0 leaves the diagnosis head as it is.
        random_share: share of the windows off the centre that come from the scan of random contrast; the centre windows
            keep a centre's contrast, for findings are told by it.
        contrast_share: share of the windows off the centre whose intensities go through a random curve besides.
        encoder_rate: the encoder's learning rate over the heads'; 0 freezes it.
        frozen_blocks: how many of the encoder's blocks, from the image on, stay as they are. Those at full resolution,
            the first two, find edges and take over half of the time.
        half_precision: multiply in bfloat16 (weights and losses stay in float32): a step of four windows of 96 pixels
            takes 1.5 s against 2.8 s on one core with AVX512-BF16; without that two of 128 take 10.5 s against 5.5 s.
        seed: of weights, order, augmentation and noise.
    """

    steps: int
    size: int
    batch: int = 4
    together: int = 2
    crop: int = 0
    crop_share: float = 0.0
    learning_rate: float = 1e-3
    warm_up: int = 30
    timestep: int = 50
    centre_share: float = 0.75
    centre_jitter: int = 1
    diagnosis_share: float = 1.0
    random_share: float = 0.0
    contrast_share: float = 0.0
    encoder_rate: float = 1.0
    frozen_blocks: int = 0
    half_precision: bool = False
    seed: int = 0


Report = Callable[[int, float, float], None]

SAVE_EVERY = 50
"""Steps between checkpoints: two or three minutes."""


def train_plane(
    networks: PlaneNetworks,
    studies: Sequence[StudyStacks],
    plane: Plane,
    settings: PlaneTraining,
    report: Report,
    folder: Path | None = None,
) -> None:
    """Train the networks in place; interrupted and started again with the same folder, it goes on where it was.

    Args:
        networks: with a decoder and a diagnosis head.
        studies: with a stack of this plane each.
        plane: to be trained.
        settings: of the training.
        report: told the step, the segmentation loss and the diagnosis loss.
        folder: of the checkpoints, one every `SAVE_EVERY` steps; None for none.

    Raises:
        FloatingPointError: when a loss is not finite; the weights are those before that step.
        OrthoDiffusionError: CHECKPOINT_INVALID, when the folder holds another training.
    """
    if networks.segmentation is None or networks.diagnosis is None:
        raise ValueError("training needs a decoder and a diagnosis head")
    schedule = cosine_schedule()
    # In bfloat16, channels_last order takes 2.1 s a step against 1.5 s; in float32 it is the faster by 20 %.
    layout = torch.contiguous_format if settings.half_precision else torch.channels_last_3d
    if not settings.half_precision:
        channels_last(networks)
    networks.train()
    networks.encoder.requires_grad_(settings.encoder_rate > 0)
    networks.encoder.input_blocks[: settings.frozen_blocks].requires_grad_(False)
    networks.diagnosis.requires_grad_(settings.diagnosis_share > 0)
    heads = [*networks.segmentation.parameters(), *networks.diagnosis.parameters()]
    optimiser = torch.optim.AdamW(
        [
            {"params": [p for p in heads if p.requires_grad], "share": 1.0},
            {"params": [p for p in networks.encoder.parameters() if p.requires_grad], "share": settings.encoder_rate},
        ],
        weight_decay=1e-4,
    )
    timesteps = torch.full((settings.batch,), settings.timestep)
    start = _taken_up(networks, optimiser, plane, settings, folder) if folder is not None else 0
    for step in range(start, settings.steps):
        generator = np.random.Generator(np.random.PCG64([settings.seed, plane.pose_id, step]))
        for group in optimiser.param_groups:
            group["lr"] = group["share"] * settings.learning_rate * _rate(step, settings)
        windows, labels, present, central = _draw_batch(studies, plane, settings, generator)
        noise = torch.from_numpy(generator.standard_normal(windows.shape, dtype=np.float32))
        noised = schedule.noised(windows, timesteps, noise).to(memory_format=layout)
        optimiser.zero_grad(set_to_none=True)
        told = np.zeros(2)
        for first in range(0, settings.batch, settings.together):
            part = slice(first, first + settings.together)
            share = len(windows[part]) / settings.batch
            with multiply_in_bfloat16(networks, enabled=settings.half_precision):
                scores, features = networks.scores_and_features(noised[part], timesteps[part])
            segmentation = segmentation_loss(scores.float(), labels[part])
            diagnosis, middle = torch.zeros(()), central[part]
            if settings.diagnosis_share > 0 and bool(middle.any()):
                diagnosis = diagnosis_loss(networks.diagnosis(features[middle].float()), present[part][middle])
            loss = segmentation + settings.diagnosis_share * diagnosis
            if not math.isfinite(loss.item()):
                raise FloatingPointError(f"the loss is {loss.item()} at step {step} of the {plane.value} plane")
            (share * loss).backward()
            told += share * np.array([segmentation.item(), diagnosis.item()])
        torch.nn.utils.clip_grad_norm_(networks.parameters(), 1.0)
        optimiser.step()
        report(step, float(told[0]), float(told[1]))
        if folder is not None and (step + 1) % SAVE_EVERY == 0:
            parts = {"networks": networks.state_dict(), "optimiser": optimiser_tensors(optimiser)}
            save_checkpoint(folder, Checkpoint(step + 1, parts, _about(plane, settings)))
    networks.eval()


def _about(plane: Plane, settings: PlaneTraining) -> dict[str, object]:
    return {"plane": plane.value, "settings": asdict(settings)}


def _taken_up(
    networks: PlaneNetworks, optimiser: torch.optim.Optimizer, plane: Plane, settings: PlaneTraining, folder: Path
) -> int:
    """The step to go on from, with the state after the one before."""
    found = latest_checkpoint(folder)
    if found is None:
        return 0
    if any(found.about.get(key) != value for key, value in _about(plane, settings).items()):
        raise OrthoDiffusionError(
            ErrorKind.CHECKPOINT_INVALID,
            "The folder holds a training of another plane or with other settings.",
            "Choose another folder, or remove this one.",
        )
    networks.load_state_dict(found.parts["networks"])
    restore_optimiser(optimiser, found.parts["optimiser"])
    return found.step


def _rate(step: int, settings: PlaneTraining) -> float:
    if step < settings.warm_up:
        return (step + 1) / settings.warm_up
    return 0.5 * (1 + math.cos(math.pi * step / settings.steps))


def _draw_batch(
    studies: Sequence[StudyStacks], plane: Plane, settings: PlaneTraining, generator: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Windows (batch, 1, 16, i, j), labels (batch, 16, i, j), findings (batch, n), and which windows are central."""
    windows, labels, present, central = [], [], [], []
    cut = settings.crop > 0 and bool(generator.random() < settings.crop_share)
    for index in generator.integers(0, len(studies), settings.batch):
        study = studies[index]
        is_central = not cut and bool(generator.random() < settings.centre_share)
        is_random = not is_central and bool(generator.random() < settings.random_share)
        stack = (study.random if is_random else study.planes)[plane]
        last = stack.image.shape[0] - 16
        if is_central:
            jitter = generator.integers(-settings.centre_jitter, settings.centre_jitter + 1)
            start = int(np.clip(centre_window(stack.image.shape[0]) + jitter, 0, last))
        else:
            start = int(generator.integers(0, last + 1))
        window = torch.from_numpy(normalised(stack.image[start : start + 16].astype(np.float32)))
        truth = torch.from_numpy(stack.labels[start : start + 16])
        window, truth = augment(window, truth, settings.size, generator)
        if not is_central and generator.random() < settings.contrast_share:
            window = randomise_contrast(window, generator)
        if cut:
            window, truth = crop_around_structure(window, truth, settings.crop, generator)
        windows.append(window[None])
        labels.append(truth)
        present.append(torch.from_numpy(study.present))
        central.append(is_central)
    return torch.stack(windows), torch.stack(labels), torch.stack(present), torch.tensor(central)
