"""A segmentation decoder trained on masks, on an encoder that is frozen, nearly frozen or trained with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.datasets.cache import CachedStudy
from OrthoDiffusionLib.datasets.splits import split
from OrthoDiffusionLib.diffusion.noise import noise_for
from OrthoDiffusionLib.diffusion.schedule import cosine_schedule
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.evaluation.metrics import dice
from OrthoDiffusionLib.networks.plane_networks import PlaneNetworks
from OrthoDiffusionLib.training.augmentation import augment, randomise_contrast
from OrthoDiffusionLib.training.half_precision import multiply_in_bfloat16
from OrthoDiffusionLib.training.losses import segmentation_loss
from OrthoDiffusionLib.training.prefetch import PREFETCHERS, prefetched
from OrthoDiffusionLib.training.settings import SegmentationSettings
from OrthoDiffusionLib.training.trained_plane import PlaneDescription, TrainedPlane, empty_networks
from OrthoDiffusionLib.volumes.windows import centre_window, normalised

Report = Callable[[int, float, float | None], None]
"""Told the step (counted from 0), its loss, and the validation's mean Dice where there was one."""

VALIDATION_SIZE = 40
"""Studies at most that a validation looks at; each by its centre window."""


def train_segmentation(
    start: TrainedPlane,
    studies: Sequence[CachedStudy],
    settings: SegmentationSettings,
    report: Report,
    device: torch.device | str = "cpu",
) -> TrainedPlane:
    """Train a decoder, and keep the weights of the best validation.

    A diagnosis head of `start` is kept when the encoder is frozen, and dropped when it changes.

    Args:
        start: networks whose encoder, and decoder if it has the same form, training starts from.
        studies: prepared at five quarters of the window's size or at its size; those without masks are left out.
        settings: of the training.
        report: told each step.
        device: to train on.

    Returns:
        the networks, on the CPU.

    Raises:
        OrthoDiffusionError: EMPTY_STUDY, when fewer than two patients have masks; TRAINING_DIVERGED, when the loss is
            no number any more.
    """
    plane = start.description.plane
    usable = [study for study in studies if any(study.masked.get(plane, ()))]
    patients = [study.patient for study in usable]
    if len(set(patients)) < 2:
        raise OrthoDiffusionError(
            ErrorKind.EMPTY_STUDY,
            f"Fewer than two patients have {plane.value} series with masks.",
            "Name label maps in the dataset manifest.",
        )
    held_out = max(settings.validation_share, 1 / len(set(patients)))
    parts = split(patients, {"validation": held_out, "train": 1 - held_out}, settings.seed)
    train, validation = ([usable[index] for index in parts[name]] for name in ("train", "validation"))
    networks, description = _networks(start, settings)
    networks.to(device)
    size = description.window_size
    optimiser = _optimiser(networks, settings)
    best, best_state, waited, step = -1.0, _copied(networks), 0, 0

    def batches(step: int) -> list[_Windows]:
        return _drawn(train, plane, size, settings, step)

    workers = 0 if torch.device(device).type == "cpu" else PREFETCHERS
    for step, drawn in prefetched(batches, 0, settings.steps, workers):
        for group in optimiser.param_groups:
            decay = 0.5 * (1 + math.cos(math.pi * step / settings.steps))
            group["lr"] = group["share"] * settings.learning_rate * decay
        loss = _step(networks, optimiser, drawn, settings)
        if not math.isfinite(loss):
            raise OrthoDiffusionError(
                ErrorKind.TRAINING_DIVERGED,
                f"The loss is not a number any more at step {step}.",
                "Look for a broken image in the dataset, or lower the learning rate.",
            )
        score = None
        if (step + 1) % settings.validate_every == 0 or step + 1 == settings.steps:
            score = validation_dice(networks, validation, plane, size, settings.timestep)
            waited = 0 if score > best else waited + 1
            if score > best:
                best, best_state = score, _copied(networks)
        report(step, loss, score)
        if waited >= settings.patience:
            break
    networks.to("cpu")
    networks.load_state_dict(best_state)
    trained = TrainedPlane(description, networks.eval().requires_grad_(False))
    return trained.told(
        f"Segmentation decoder ({settings.decoder}) trained for {step + 1} steps of {settings.batch} windows on"
        f" {len(train)} studies, the encoder at {settings.encoder_rate:g} of its learning rate; mean Dice {best:.3f} in"
        f" the centre windows of {len(validation)} studies of other patients."
    )


def validation_dice(
    networks: PlaneNetworks, studies: Sequence[CachedStudy], plane: Plane, size: int, timestep: int
) -> float:
    """Mean Dice over the structures, of the centre windows of the first `VALIDATION_SIZE` studies; 0 to 1."""
    networks.eval()
    device = next(networks.parameters()).device
    overlaps: list[list[float]] = []
    for study in studies[:VALIDATION_SIZE]:
        series = study.masked[plane].index(True)
        start = centre_window(study.depths[plane][series])
        image, labels = study.window(plane, series, start)
        assert labels is not None
        window, truth = _resized(torch.from_numpy(normalised(image)), torch.from_numpy(labels), size)
        noise = noise_for(0, f"{plane.value}/{start}", (1, 1, *window.shape))
        times = torch.tensor([timestep])
        with torch.inference_mode():
            noised = cosine_schedule().noised(window[None, None], times, noise).to(device)
            found = networks.scores_and_features(noised, times.to(device))[0][0].argmax(dim=0).cpu().numpy()
        reference = truth.numpy()
        overlaps.append([dice(found, reference, label) for label in np.unique(reference[reference > 0])])
    values = [value for row in overlaps for value in row if not math.isnan(value)]
    return float(np.mean(values)) if values else 0.0


def _resized(window: torch.Tensor, labels: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    if window.shape[-1] == size:
        return window, labels
    grow = {"size": (size, size), "antialias": False}
    image = torch.nn.functional.interpolate(window[None], mode="bilinear", **grow)[0]  # type: ignore[arg-type]
    truth = torch.nn.functional.interpolate(labels[None].float(), size=(size, size), mode="nearest-exact")[0]
    return image, truth.to(labels.dtype)


def _networks(start: TrainedPlane, settings: SegmentationSettings) -> tuple[PlaneNetworks, PlaneDescription]:
    """Networks to train: the start's encoder, its decoder when it has the form asked for, its head when that stays."""
    torch.manual_seed(settings.seed)
    skips = settings.decoder == "skips"
    description = start.description.model_copy(update={"skips": skips})
    keeps_diagnosis = start.networks.diagnosis is not None and settings.encoder_rate == 0
    networks = empty_networks(description, segmentation=True, diagnosis=keeps_diagnosis)
    networks.encoder.load_state_dict(start.networks.encoder.state_dict())
    if networks.diagnosis is not None and start.networks.diagnosis is not None:
        networks.diagnosis.load_state_dict(start.networks.diagnosis.state_dict())
        networks.diagnosis.requires_grad_(False)
    if start.networks.segmentation is not None and start.description.skips == skips:
        assert networks.segmentation is not None
        networks.segmentation.load_state_dict(start.networks.segmentation.state_dict())
    networks.encoder.requires_grad_(settings.encoder_rate > 0)
    return networks, description


def _optimiser(networks: PlaneNetworks, settings: SegmentationSettings) -> torch.optim.Optimizer:
    assert networks.segmentation is not None
    groups = [{"params": list(networks.segmentation.parameters()), "share": 1.0}]
    if settings.encoder_rate > 0:
        groups.append({"params": list(networks.encoder.parameters()), "share": settings.encoder_rate})
    return torch.optim.Adam(groups)


def _copied(networks: PlaneNetworks) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in networks.state_dict().items()}


class _Windows(NamedTuple):
    """Noised windows (n, 1, 16, size, size) and their labels (n, 16, size, size)."""

    noised: torch.Tensor
    labels: torch.Tensor


def _step(
    networks: PlaneNetworks, optimiser: torch.optim.Optimizer, parts: Sequence[_Windows], settings: SegmentationSettings
) -> float:
    """One step of the optimiser; the mean loss."""
    networks.train()
    optimiser.zero_grad(set_to_none=True)
    device = next(networks.parameters()).device
    total = 0.0
    for part in parts:
        noised, labels = part.noised.to(device), part.labels.to(device)
        times = torch.full((len(noised),), settings.timestep, device=device)
        with multiply_in_bfloat16(networks, enabled=settings.precision == "bfloat16"):
            scores, _ = networks.scores_and_features(noised, times)
        loss = segmentation_loss(scores.float(), labels) * (len(noised) / settings.batch)
        loss.backward()
        total += loss.item()
    torch.nn.utils.clip_grad_norm_([p for p in networks.parameters() if p.requires_grad], 1.0)
    optimiser.step()
    return total


def _drawn(
    studies: Sequence[CachedStudy], plane: Plane, size: int, settings: SegmentationSettings, step: int
) -> list[_Windows]:
    """The windows of a step in parts; they depend on the seed, the step and their number alone."""
    parts = []
    for first in range(0, settings.batch, settings.together):
        windows, labels = [], []
        for number in range(first, min(first + settings.together, settings.batch)):
            generator = np.random.Generator(np.random.PCG64([settings.seed, plane.pose_id, step, number]))
            window, truth = _draw(studies, plane, size, settings, generator)
            noise = torch.from_numpy(generator.standard_normal((1, 1, *window.shape), dtype=np.float32))
            windows.append(cosine_schedule().noised(window[None, None], torch.tensor([settings.timestep]), noise)[0])
            labels.append(truth)
        parts.append(_Windows(torch.stack(windows), torch.stack(labels)))
    return parts


def _draw(
    studies: Sequence[CachedStudy],
    plane: Plane,
    size: int,
    settings: SegmentationSettings,
    generator: np.random.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """A window with a mask, (16, size, size) each, anywhere in a stack."""
    study = studies[int(generator.integers(len(studies)))]
    series = int(generator.choice([index for index, masked in enumerate(study.masked[plane]) if masked]))
    start = int(generator.integers(max(study.depths[plane][series] - 16, 0) + 1))
    image, labels = study.window(plane, series, start)
    assert labels is not None
    window, truth = augment(torch.from_numpy(normalised(image)), torch.from_numpy(labels), size, generator)
    if generator.random() < settings.contrast_share:
        window = randomise_contrast(window, generator)
    return window, truth
