"""A refinement trained on what the planes' networks find in studies with masks."""

from __future__ import annotations

import copy
import hashlib
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from OrthoDiffusionLib.anatomy import load_joint
from OrthoDiffusionLib.bundles.weights import weights_bytes
from OrthoDiffusionLib.datasets.splits import share_held_out, split
from OrthoDiffusionLib.evaluation.metrics import dice
from OrthoDiffusionLib.inference.exactness import compute_exactly
from OrthoDiffusionLib.inference.grids import label_grid
from OrthoDiffusionLib.networks.refinement import FACTOR, RefinementNetwork, fastest_layout
from OrthoDiffusionLib.training.checkpoints import (
    Checkpoint,
    Tensors,
    copied_state,
    optimiser_tensors,
    restore_optimiser,
    save_checkpoint,
)
from OrthoDiffusionLib.training.divergence import SeenStudy, go_on, kept_until, naming_studies, stop_unless_finite
from OrthoDiffusionLib.training.draws import drawn_study
from OrthoDiffusionLib.training.learning_rate import along_cosine
from OrthoDiffusionLib.training.loss_log import loss_log
from OrthoDiffusionLib.training.losses import NOT_ANNOTATED, segmentation_loss
from OrthoDiffusionLib.training.optimisers import optimisers
from OrthoDiffusionLib.training.refinement_files import KeptStudy, RefinementSlices
from OrthoDiffusionLib.training.refinement_passes import mean_of, refined_by_views, with_first_pass
from OrthoDiffusionLib.training.refinement_preparing import too_few_patients
from OrthoDiffusionLib.training.resuming import taken_up
from OrthoDiffusionLib.training.settings import RefinementSettings
from OrthoDiffusionLib.training.stopping import asked_to_stop, stopped_after

Report = Callable[[int, float], None]
"""Told the step, counted from 0, and its loss."""

FIRST_PASS = "first-pass"
"""Folder of what the first pass finds."""

VALIDATION_SIZE = 10
"""Studies at most that a validation looks at, all slices of all planes: half a minute each on one core."""


class TrainedNetwork(NamedTuple):
    """A refinement, and how it did on studies of other patients than those that it learnt from.

    Attributes:
        network: in evaluation mode, on the CPU.
        studies: that it learnt from.
        held_out: studies that it was validated on.
        before: mean Dice of the planes' mean on each plane's fine grid, or of what the refinement that training began
            with makes of it; None where those studies show no structure.
        after: mean Dice of the mean of the refined planes there.
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
    folder: Path,
    tell: Callable[[str, float], None] = lambda _, __: None,
    device: torch.device | str = "cpu",
    log_folder: Path | None = None,
    start: RefinementNetwork | None = None,
) -> TrainedNetwork:
    """Train a refinement for all planes.

    The first steps are of a first pass alone. What the network then finds in the studies that it learns from is
    averaged over the planes, and stands for the mean in half of the parts that have one from there on. One that was
    trained before has a first pass from the beginning.

    Interrupted and started again with the same arguments, it goes on from its last checkpoint and ends with the same
    weights. Asked to end (SIGTERM), it saves one first.

    Args:
        studies: with what the planes' networks found.
        joint: whose structures there are.
        settings: of the training.
        report: told each step.
        folder: of the checkpoints, and of what the first pass finds, two fifths of the studies' own size; to be
            removed when the result is kept.
        tell: told what is done between the steps, "Second pass" or "Validation", and how much of it, 0 to 1.
        device: to train on.
        log_folder: of `losses.csv` and `tensorboard`; None for no log.
        start: a refinement of the same networks' masks to train further; None for weights of chance.

    Raises:
        OSError: when a checkpoint, or what the first pass finds, cannot be written.
        OrthoDiffusionError: EMPTY_STUDY for studies of fewer than two patients; BAD_SETTINGS, when the folder holds
            another training, or this PyTorch has no Muon; UNREADABLE_FILE, when a study's file cannot be read again;
            TRAINING_DIVERGED, when the loss or a gradient is not finite, with the files that the step saw; CANCELLED,
            when it was asked to end.
    """
    patients = [study.patient for study in studies]
    if len(set(patients)) < 2:
        raise too_few_patients()
    held_out = share_held_out(settings.validation_share, len(set(patients)))
    parts = split(patients, {"validation": held_out, "train": 1 - held_out}, settings.seed)
    train, validation = ([studies[index] for index in parts[name]] for name in ("train", "validation"))
    compute_exactly(torch.device(device))
    torch.manual_seed(settings.seed)
    structures = load_joint(joint).structures
    one_piece = [structure.label for structure in structures if structure.one_piece]
    network = fastest_layout(RefinementNetwork(len(structures) + 1).to(device)).train()
    second_from = round(settings.first_pass_share * settings.steps)
    about = _about(studies, joint, settings)
    if start is not None:
        network.load_state_dict(start.state_dict())
        second_from = 0
        about["start"] = hashlib.sha256(weights_bytes(start.state_dict())).hexdigest()
    updating = _optimisers(network, settings)
    first, first_pass = _taken_up(folder, about, network, updating)

    saved = first

    def save(done: int) -> None:
        nonlocal saved
        parts = {name: optimiser_tensors(one) for name, one in updating.items()}
        parts["network"] = copied_state(network)
        if first_pass is not None:
            parts["first_pass"] = dict(first_pass)
        save_checkpoint(folder, Checkpoint(done, parts, about))
        saved = done

    def seen_once(weights: Tensors, step: int, stopping: Callable[[], bool]) -> list[KeptStudy]:
        def going_on(share: float) -> None:
            if stopping():
                raise stopped_after(step)
            tell("Second pass", share)

        once = copy.deepcopy(network)
        once.load_state_dict(weights)
        return with_first_pass(once, train, one_piece, folder / FIRST_PASS, going_on)

    with loss_log(log_folder, first, ("loss",)) as log, asked_to_stop() as stopping:
        if first_pass is not None:
            train = seen_once(first_pass, first, stopping)
        for step in range(first, settings.steps):
            if step == second_from and first_pass is None:
                first_pass = copied_state(network)
                # What is found now goes with these weights, however often it is interrupted.
                save(step)
                train = seen_once(first_pass, step, stopping)
            for group in (group for one in updating.values() for group in one.param_groups):
                group["lr"] = settings.learning_rate * _rate(step, settings)
            drawn = refinement_batch(train, settings, step)
            seen = partial(refinement_studies, train, settings, step, drawn)
            with naming_studies(step, seen, kept_until(saved), go_on(saved), are_files=True):
                loss = _step(network, updating.values(), drawn, device, step)
            # Before the checkpoint: a training that goes on from it does not write this step again.
            log(step, loss)
            done, stopped = step + 1, stopping()
            if done % settings.save_every == 0 or done == settings.steps or stopped:
                save(done)
            report(step, loss)
            if stopped and done < settings.steps:
                raise stopped_after(done)
    network.eval().requires_grad_(False)
    looked_at = validation[:VALIDATION_SIZE]
    dice_of = partial(refinement_dice, studies=looked_at, structures=len(structures), one_piece=one_piece)
    before, after = dice_of(network, tell=partial(tell, "Validation")) or (None, None)
    if start is not None:
        began = copy.deepcopy(network)
        began.load_state_dict(start.state_dict())
        _, before = dice_of(began, tell=partial(tell, "Validation")) or (None, None)
    return TrainedNetwork(network.to("cpu"), len(train), len(looked_at), before, after)


def _about(studies: Sequence[KeptStudy], joint: str, settings: RefinementSettings) -> dict[str, object]:
    """What tells a training from another one."""
    names = "\n".join(f"{study.path.name} {study.patient}" for study in studies)
    return {
        "joint": joint,
        # A study's file is named by what the networks are that looked at it, and by what they looked at.
        "studies": hashlib.sha256(names.encode()).hexdigest(),
        "settings": settings.model_dump(mode="json"),
    }


def _optimisers(network: RefinementNetwork, settings: RefinementSettings) -> dict[str, torch.optim.Optimizer]:
    """By the name of a checkpoint's part that holds what it knows."""
    adam = partial(torch.optim.AdamW, weight_decay=settings.weight_decay)
    groups = [{"params": list(network.parameters())}]
    return optimisers(settings.optimiser, network, groups, adam, edges=(network.enter, network.leave))


def _taken_up(
    folder: Path,
    about: Mapping[str, object],
    network: RefinementNetwork,
    updating: Mapping[str, torch.optim.Optimizer],
) -> tuple[int, Tensors | None]:
    """Put network and optimisers where an interrupted training left them; the next step, and the weights of the first
    pass where there were some."""
    found = taken_up(folder, about)
    if found is None or "first_pass" not in found.parts:
        # What other weights found does not go with those that there will be.
        shutil.rmtree(folder / FIRST_PASS, ignore_errors=True)
    if found is None:
        return 0, None
    network.load_state_dict(found.parts["network"])
    for name, one in updating.items():
        restore_optimiser(one, found.parts[name])
    return found.step, found.parts.get("first_pass")


def refinement_batch(studies: Sequence[KeptStudy], settings: RefinementSettings, step: int) -> RefinementSlices:
    """The parts of slices of a step; they depend on the seed, the step and the part's number alone."""
    parts = [_draw(studies, settings, _generator(settings, step, number)) for number in range(settings.batch)]
    return RefinementSlices(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


def refinement_studies(
    studies: Sequence[KeptStudy], settings: RefinementSettings, step: int, drawn: RefinementSlices
) -> list[SeenStudy]:
    """The studies of a step's parts, by the names of their files.

    Args:
        studies: that are learnt from.
        settings: of the training.
        step: counted from 0.
        drawn: what `refinement_batch` made of them for this step.
    """
    shown = zip(drawn.images, drawn.own, drawn.mean, strict=True)
    return [
        SeenStudy(
            drawn_study(studies, _generator(settings, step, number)).path.name,
            all(bool(tensor.isfinite().all()) for tensor in tensors),
        )
        for number, tensors in enumerate(shown)
    ]


def _generator(settings: RefinementSettings, step: int, number: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([settings.seed, step, number]))


def refinement_dice(
    network: RefinementNetwork,
    studies: Sequence[KeptStudy],
    structures: int,
    one_piece: Sequence[int],
    tell: Callable[[float], None],
) -> tuple[float, float] | None:
    """Mean Dice over structures before and after refinement, with the planes together as in a run, on the fine grid of
    each plane with masks; None where the studies show no structure.

    Args:
        network: in evaluation mode.
        studies: to look at.
        structures: how many there are.
        one_piece: labels of the structures that are one piece.
        tell: told the share of the studies done, 0 to 1, before each.

    Raises:
        OrthoDiffusionError: UNREADABLE_FILE, when a study's file cannot be read again.
    """
    overlaps: dict[tuple[int, bool], list[float]] = {}
    for number, study in enumerate(studies):
        tell(number / len(studies))
        for found, truth in _labelled(network, study, one_piece):
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
    network: RefinementNetwork, study: KeptStudy, one_piece: Sequence[int]
) -> Iterator[tuple[list[np.ndarray], np.ndarray]]:
    """Of each plane with masks, the labels before and after refinement, and the truth, in the slices that show a
    structure; what is not annotated is background."""
    planes = study.planes()
    fine = refined_by_views(network, planes, one_piece)
    for plane, numbers in study.slices.items():
        shown, grid = list(numbers), fine[plane][plane]
        truth = planes[plane].labels[shown].numpy()
        depth, edge, _ = planes[plane].labels.shape
        found = []
        for volumes in ([mean_of(planes[plane])], list(fine[plane].values())):
            labels, _ = label_grid(volumes, grid.affine, (edge, edge, depth), lambda: None)
            found.append(np.moveaxis(labels, 2, 0)[shown] * (truth != NOT_ANNOTATED))
        yield found, truth


def _step(
    network: RefinementNetwork,
    updating: Collection[torch.optim.Optimizer],
    drawn: RefinementSlices,
    device: torch.device | str,
    step: int,
) -> float:
    """One step of the optimisers; its loss. Weights stay as they were when loss or gradients are not finite."""
    network.zero_grad(set_to_none=True)
    images = drawn.images.to(device=device, memory_format=torch.channels_last)
    scores = network(images, drawn.own.to(device), drawn.mean.to(device))
    loss = segmentation_loss(scores[:, :, None], drawn.labels[:, None].to(device))
    loss.backward()
    stop_unless_finite(loss.item(), network.parameters(), step)
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    for optimiser in updating:
        optimiser.step()
    return loss.item()


def _rate(step: int, settings: RefinementSettings) -> float:
    """Rises over the first steps, and falls along a cosine that ends with the last."""
    return min(1.0, (step + 1) / settings.warm_up) * along_cosine(step, settings.steps)


def _draw(
    studies: Sequence[KeptStudy], settings: RefinementSettings, generator: np.random.Generator
) -> RefinementSlices:
    """A part of one slice, turned over at random, its image brighter or of more contrast."""
    study = drawn_study(studies, generator)
    plane = list(study.slices)[int(generator.integers(len(study.slices)))]
    number = study.slices[plane][int(generator.integers(len(study.slices[plane])))]
    chance = generator.random()
    if chance < settings.alone_share:
        whole = study.read(plane, number, "own")
    else:
        second = study.first_pass is not None and chance >= 0.5 * (1 + settings.alone_share)
        whole = study.read(plane, number, "first_pass" if second else "mean")
    edge = min(settings.crop, *whole.own.shape[2:])
    row, column = _corner(whole, edge, settings.around_share, generator)
    rows, columns = (slice(start, start + edge) for start in (row, column))
    fine_rows, fine_columns = (slice(FACTOR * start, FACTOR * (start + edge)) for start in (row, column))
    images, labels = (tensor[..., fine_rows, fine_columns] for tensor in (whole.images, whole.labels))
    own, mean = (tensor[..., rows, columns] for tensor in (whole.own, whole.mean))
    if generator.random() < 0.5:
        # From the stack's other end.
        images, mean = images.flip(1), mean.flip(1)
    flipped = [axis for axis in (-2, -1) if generator.random() < 0.5]
    images = images * generator.uniform(0.8, 1.25) + generator.uniform(-0.2, 0.2)
    parts = (images.float(), own, mean, labels)
    return RefinementSlices(*(tensor.flip(flipped) for tensor in parts))


def _corner(whole: RefinementSlices, edge: int, around_share: float, generator: np.random.Generator) -> tuple[int, int]:
    """First row and column of a part: anywhere, or so that a pixel of a structure of the slice lies in it, each
    structure as often as any other: ligaments fill few pixels."""
    rows, columns = (length - edge for length in whole.own.shape[2:])
    labels = whole.labels[0].numpy()
    there = np.unique(labels[labels > 0])
    if generator.random() >= around_share or not len(there):
        return int(generator.integers(rows + 1)), int(generator.integers(columns + 1))
    places = np.argwhere(labels == there[generator.integers(len(there))]) // FACTOR
    row, column = places[generator.integers(len(places))] - generator.integers(edge // 8, edge - edge // 8, size=2)
    return int(np.clip(row, 0, rows)), int(np.clip(column, 0, columns))
