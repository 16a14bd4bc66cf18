"""A segmentation decoder trained on masks, on an encoder that is frozen, nearly frozen or trained with it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from OrthoDiffusionLib.bundles.weights import weights_bytes
from OrthoDiffusionLib.datasets.cache import CachedStudy, studies_digest
from OrthoDiffusionLib.datasets.splits import share_held_out, split
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.networks.plane_networks import PlaneNetworks, channels_last
from OrthoDiffusionLib.training.bfloat16 import multiply_in_bfloat16
from OrthoDiffusionLib.training.checkpoints import (
    Checkpoint,
    Tensors,
    copied_state,
    optimiser_tensors,
    restore_optimiser,
    save_checkpoint,
)
from OrthoDiffusionLib.training.divergence import go_on, kept_until, naming_studies, stop_unless_finite
from OrthoDiffusionLib.training.learning_rate import along_cosine
from OrthoDiffusionLib.training.loss_log import loss_log
from OrthoDiffusionLib.training.losses import segmentation_loss
from OrthoDiffusionLib.training.optimisers import optimisers
from OrthoDiffusionLib.training.prefetch import PREFETCHERS, SCANNERS, prefetched
from OrthoDiffusionLib.training.resuming import taken_up
from OrthoDiffusionLib.training.segmentation_batches import NoisedWindows, segmentation_batch, segmentation_studies
from OrthoDiffusionLib.training.segmentation_validation import VALIDATION_SIZE, mean_dice, structure_dice
from OrthoDiffusionLib.training.settings import SegmentationSettings
from OrthoDiffusionLib.training.shown_structures import named, never_shown
from OrthoDiffusionLib.training.stopping import asked_to_stop, stopped_after
from OrthoDiffusionLib.training.trained_plane import NO_READING, PlaneDescription, TrainedPlane, empty_networks

Report = Callable[[int, float, float | None], None]
"""Told the step (counted from 0), its loss, and the validation's mean Dice where there was one."""

SETTINGS_BEFORE = {
    "balanced": False,
    "crop_length": 0,
    "elastic": 0.0,
    "optimiser": "adam",
    "scanned_share": 0.0,
    "split_seed": None,
}
"""What a checkpoint does not tell that is older than these settings."""

PUBLISHED_REDUCTION = 16
"""By which the encoder must make a window smaller for the published decoder, which doubles four times."""


def train_segmentation(
    start: TrainedPlane,
    studies: Sequence[CachedStudy],
    settings: SegmentationSettings,
    report: Report,
    device: torch.device | str = "cpu",
    folder: Path | None = None,
    log_folder: Path | None = None,
) -> TrainedPlane:
    """Train a decoder, and keep the weights of the best validation.

    Interrupted and started again with the same arguments, it goes on from its last checkpoint and ends with the same
    weights. Asked to end (SIGTERM), it saves one first.

    A diagnosis head of `start` is kept when the encoder is frozen, and dropped when it changes, or when the head reads
    masks, which change.

    Args:
        start: networks whose encoder, and decoder if it has the same form, training starts from.
        studies: prepared at five quarters of the window's size, or at its size where none is scanned anew; those
            without masks are left out.
        settings: of the training.
        report: told each step.
        device: to train on.
        folder: of the checkpoints; None for none.
        log_folder: of `losses.csv` and the same for TensorBoard: each step's loss, and the mean Dice of those with a
            validation; None for none.

    Returns:
        the networks, on the CPU.

    Raises:
        OSError: when a checkpoint cannot be written, or a prepared study cannot be read again.
        OrthoDiffusionError: EMPTY_STUDY, when fewer than two patients have masks; BAD_SETTINGS, when the folder holds
            another training, the start takes its features at another block or timestep, its encoder does not fit the
            published decoder, it has no decoder whose weights could be kept, parts cannot be cut, a study to be scanned
            anew has no anatomy, or this PyTorch has no Muon; UNREADABLE_FILE, when an anatomy cannot be read again;
            TRAINING_DIVERGED, when the loss or a gradient is not finite, with the studies that the step saw; CANCELLED,
            when it was asked to end and keeps checkpoints.
    """
    plane = start.description.plane
    usable = [study for study in studies if any(study.masked.get(plane, ()))]
    patients = [study.patient for study in usable]
    if len(set(patients)) < 2:
        raise OrthoDiffusionError(
            ErrorKind.EMPTY_STUDY,
            f"Fewer than two patients have {plane.value} series with masks.",
            "Name label maps of more patients, in the dataset manifest or, for phantoms, with --labels.",
        )
    parts = training_split(patients, settings)
    train, validation = ([usable[index] for index in parts[name]] for name in ("train", "validation"))
    networks, description = _networks(start, settings)
    missing = never_shown(train, plane, description.joint)
    networks.to(device)
    layout = _fastest_layout(networks, settings, device)
    size = description.window_size
    _check_settings(settings, start, TrainedPlane(description, networks), train)
    updating = _optimisers(networks, settings)
    begun = copied_state(networks)
    about = _about(start, usable, settings)
    reached = _taken_up(folder, about, networks, updating) or _Reached(0, -1.0, begun, 0)
    first, best, best_state, waited = reached
    step = first - 1

    def batches(step: int) -> list[NoisedWindows]:
        return segmentation_batch(train, plane, size, settings, step)

    workers = PREFETCHERS
    if torch.device(device).type == "cpu":
        workers = SCANNERS if settings.scanned_share else 0
    last = settings.steps if waited < settings.patience else first
    saved = first
    # Without checkpoints there is nothing to save first.
    heard = nullcontext(lambda: False) if folder is None else asked_to_stop()
    with loss_log(log_folder, first, ("loss", "dice")) as log, heard as stopping:
        for step, drawn in prefetched(batches, first, last, workers):
            for group in (group for one in updating.values() for group in one.param_groups):
                group["lr"] = group["share"] * settings.learning_rate * _rate(step, settings)
            seen = partial(segmentation_studies, train, plane, settings, step, drawn)
            with naming_studies(step, seen, kept_until(saved), go_on(saved)):
                loss = _step(networks, updating.values(), drawn, settings, layout, step)
            score, done = None, step + 1
            if done % settings.validate_every == 0 or done == settings.steps:
                score = mean_dice(structure_dice(TrainedPlane(description, networks), validation, device))
                waited = 0 if score > best else waited + 1
                if score > best:
                    best, best_state = score, copied_state(networks)
            # Before the checkpoint: a training that goes on from it does not write this step again.
            log(step, loss, score)
            stopped = stopping()
            if folder is not None and (score is not None or done % settings.save_every == 0 or stopped):
                parts_now = {
                    "networks": copied_state(networks),
                    "best": best_state,
                    **{name: optimiser_tensors(one) for name, one in updating.items()},
                }
                save_checkpoint(folder, Checkpoint(done, parts_now, {**about, "dice": best, "waited": waited}))
                saved = done
            report(step, loss, score)
            if stopped and done < settings.steps:
                raise stopped_after(done)
            if waited >= settings.patience:
                break
    if settings.start_share > 0:
        best_state = mixed_weights(begun, best_state, settings.start_share)
        networks.load_state_dict(best_state)
        best = mean_dice(structure_dice(TrainedPlane(description, networks), validation, device))
    networks.to("cpu")
    networks.load_state_dict(best_state)
    trained = TrainedPlane(description, networks.eval().requires_grad_(False))
    lost = start.networks.diagnosis is not None and networks.diagnosis is None
    left = " The diagnosis head was left, for what it reads changed." if lost else ""
    lacking = f" No mask that it learnt from shows: {named(missing)}." if missing else ""
    return trained.told(
        f"{_history(settings, step + 1, len(train))}; mean Dice {best:.3f} over all slices of"
        f" {min(len(validation), VALIDATION_SIZE)} studies of other patients.{lacking}{left}",
        encoder_saw=description.after("masks", settings.encoder_rate),
    )


def training_split(patients: Sequence[str], settings: SegmentationSettings) -> dict[str, list[int]]:
    """Numbers of the studies that are trained on, `train`, and of those that choose the weights, `validation`.

    Args:
        patients: whose study each is; at least two.
        settings: whose share and seed split them.
    """
    held_out = share_held_out(settings.validation_share, len(set(patients)))
    seed = settings.seed if settings.split_seed is None else settings.split_seed
    return split(patients, {"validation": held_out, "train": 1 - held_out}, seed)


def mixed_weights(start: Tensors, trained: Tensors, start_share: float) -> dict[str, torch.Tensor]:
    """The weighted mean of two networks' weights, of which one was trained from the other; names as in both."""
    return {name: start_share * start[name] + (1 - start_share) * tensor for name, tensor in trained.items()}


def _check_settings(
    settings: SegmentationSettings, start: TrainedPlane, made: TrainedPlane, studies: Sequence[CachedStudy]
) -> None:
    """Refuse settings that do not go with the start, with the networks made of it or with the studies."""
    size, reduction = made.description.window_size, made.networks.encoder.config.reduction
    if any(edge > size or edge % reduction for edge in settings.part):
        raise OrthoDiffusionError(
            ErrorKind.BAD_SETTINGS,
            f"Parts of {' x '.join(map(str, settings.part))} pixels cannot be cut out of windows of {size}.",
            f"Choose multiples of {reduction} up to {size} for crop and crop_length.",
        )
    if settings.start_share > 0 and (
        start.networks.segmentation is None or start.description.skips != made.description.skips
    ):
        raise OrthoDiffusionError(
            ErrorKind.BAD_SETTINGS,
            "There is no decoder of the same form whose weights could be kept.",
            "Set start_share: 0, or start from networks with such a decoder.",
        )
    if settings.scanned_share > 0 and any(study.anatomy is None for study in studies):
        raise OrthoDiffusionError(
            ErrorKind.BAD_SETTINGS,
            "Only phantoms whose anatomy was kept can be scanned anew.",
            "Set scanned_share: 0, or train on phantoms.",
        )


def _history(settings: SegmentationSettings, steps: int, studies: int) -> str:
    """How a decoder was trained, without the end of the sentence."""
    anew = f", {settings.scanned_share:.0%} of them scanned anew," if settings.scanned_share else ""
    mixed = f", mixed with {settings.start_share:g} of the weights before" if settings.start_share else ""
    return (
        f"Segmentation decoder ({settings.decoder}) trained for {steps} steps of {settings.batch} windows{anew} on"
        f" {studies} studies, the encoder at {settings.encoder_rate:g} of its learning rate{mixed}"
    )


class _Reached(NamedTuple):
    """How far a training is: its next step, its best Dice with those weights, and validations waited since."""

    step: int
    best: float
    best_state: Mapping[str, torch.Tensor]
    waited: int


def _about(start: TrainedPlane, studies: Sequence[CachedStudy], settings: SegmentationSettings) -> dict[str, object]:
    """What tells a training from another one."""
    return {
        "start": start.description.told_apart(),
        # A pre-training that was done again, with another seed or on other studies, is described alike.
        "start_weights": hashlib.sha256(weights_bytes(start.networks.state_dict())).hexdigest(),
        "studies": studies_digest(studies),
        "settings": settings.model_dump(mode="json"),
        # Checkpoints from before, whose Dice was the centre windows', are not comparable.
        "validation": "all slices",
    }


def _taken_up(
    folder: Path | None,
    about: Mapping[str, object],
    networks: PlaneNetworks,
    updating: Mapping[str, torch.optim.Optimizer],
) -> _Reached | None:
    """Put networks and optimisers where an interrupted training left them; None when there was none."""
    # Older ones did not look at what weights a training starts from.
    earlier = {"start_weights": about["start_weights"], "settings": SETTINGS_BEFORE}
    found = taken_up(folder, about, earlier)
    if found is None:
        return None
    networks.load_state_dict(found.parts["networks"])
    for name, one in updating.items():
        restore_optimiser(one, found.parts[name])
    return _Reached(found.step, found.about["dice"], found.parts["best"], found.about["waited"])


def _networks(start: TrainedPlane, settings: SegmentationSettings) -> tuple[PlaneNetworks, PlaneDescription]:
    """Networks to train: the start's encoder, its decoder when it has the form asked for, its head when that stays."""
    if (start.description.block, start.description.timestep) != (settings.block, settings.timestep):
        raise OrthoDiffusionError(
            ErrorKind.BAD_SETTINGS,
            f"The networks are made for {start.description.block} at timestep {start.description.timestep}.",
            "Set the same block and timestep.",
        )
    torch.manual_seed(settings.seed)
    skips = settings.decoder == "skips"
    if not skips and start.networks.encoder.config.reduction != PUBLISHED_REDUCTION:
        raise OrthoDiffusionError(
            ErrorKind.BAD_SETTINGS,
            "The published decoder does not fit an encoder of this depth.",
            "Choose decoder: skips, which fits any.",
        )
    before = start.networks.diagnosis
    keeps_diagnosis = before is not None and settings.encoder_rate == 0 and before.reading is None
    # A head that reads masks is dropped with the decoder that it knew.
    description = start.description.model_copy(update={"skips": skips, **NO_READING})
    networks = empty_networks(description, segmentation=True, diagnosis=keeps_diagnosis)
    networks.encoder.load_state_dict(start.networks.encoder.state_dict())
    if networks.diagnosis is not None and before is not None:
        networks.diagnosis.load_state_dict(before.state_dict())
        networks.diagnosis.requires_grad_(False)
    if start.networks.segmentation is not None and start.description.skips == skips:
        assert networks.segmentation is not None
        networks.segmentation.load_state_dict(start.networks.segmentation.state_dict())
    networks.encoder.requires_grad_(settings.encoder_rate > 0)
    networks.encoder.input_blocks[: settings.frozen_blocks].requires_grad_(False)
    return networks, description


def _rate(step: int, settings: SegmentationSettings) -> float:
    if step < settings.warm_up:
        return (step + 1) / settings.warm_up
    return along_cosine(step, settings.steps)


def _optimisers(networks: PlaneNetworks, settings: SegmentationSettings) -> dict[str, torch.optim.Optimizer]:
    """By the name of a checkpoint's part that holds what it knows."""
    assert networks.segmentation is not None
    shares = [(networks.segmentation, 1.0), (networks.encoder, settings.encoder_rate)]
    groups = [
        {"params": [weight for weight in network.parameters() if weight.requires_grad], "share": share}
        for network, share in shares
        if share > 0
    ]
    return optimisers(settings.optimiser, networks, groups, torch.optim.Adam)


def _fastest_layout(
    networks: PlaneNetworks, settings: SegmentationSettings, device: torch.device | str
) -> torch.memory_format:
    """The memory format in which windows go in: on a processor channels last is the faster by a fifth in float32, and
    by two fifths the slower in bfloat16."""
    if torch.device(device).type != "cpu" or settings.precision == "bfloat16":
        return torch.contiguous_format
    channels_last(networks)
    return torch.channels_last_3d


def _step(
    networks: PlaneNetworks,
    updating: Collection[torch.optim.Optimizer],
    parts: Sequence[NoisedWindows],
    settings: SegmentationSettings,
    layout: torch.memory_format,
    step: int,
) -> float:
    """One step of the optimisers; the mean loss. Weights stay as they were when loss or gradients are no numbers."""
    networks.train()
    networks.zero_grad(set_to_none=True)
    device = next(networks.parameters()).device
    total = 0.0
    for part in parts:
        noised, labels = part.noised.to(device=device, memory_format=layout), part.labels.to(device)
        times = torch.full((len(noised),), settings.timestep, device=device)
        with multiply_in_bfloat16(networks, enabled=settings.precision == "bfloat16"):
            scores, _ = networks.scores_and_features(noised, times)
        loss = segmentation_loss(scores.float(), labels, balanced=settings.balanced) * (len(noised) / settings.batch)
        loss.backward()
        total += loss.item()
    trained = [parameter for parameter in networks.parameters() if parameter.requires_grad]
    stop_unless_finite(total, trained, step)
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    for optimiser in updating:
        optimiser.step()
    return total
