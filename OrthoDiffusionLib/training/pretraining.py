"""Pre-training without labels: a denoising network learns to tell the noise in windows of one plane."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.utils.checkpoint import checkpoint as recomputed

from OrthoDiffusionLib import __version__
from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.datasets.cache import CachedStudy, studies_digest
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.networks.unet import DenoisingUNet
from OrthoDiffusionLib.training.averaging import AveragedWeights
from OrthoDiffusionLib.training.bfloat16 import multiply_in_bfloat16
from OrthoDiffusionLib.training.checkpoints import (
    Checkpoint,
    latest_checkpoint,
    optimiser_tensors,
    restore_optimiser,
    save_checkpoint,
)
from OrthoDiffusionLib.training.distillation import Distillation, Student
from OrthoDiffusionLib.training.divergence import kept_until, naming_studies
from OrthoDiffusionLib.training.loss_log import LossLog
from OrthoDiffusionLib.training.prefetch import PREFETCHERS, prefetched
from OrthoDiffusionLib.training.pretraining_batches import PretrainBatch, pretraining_batch, pretraining_studies
from OrthoDiffusionLib.training.pretraining_step import train_step
from OrthoDiffusionLib.training.settings import PretrainSettings, pretrain_settings
from OrthoDiffusionLib.training.sharding import whole_tensors
from OrthoDiffusionLib.training.stopping import asked_to_stop, stopped_after
from OrthoDiffusionLib.training.whole_networks import WholeNetwork

Report = Callable[[int, float], None]
"""Told the step (counted from 0) and its loss, on the first process alone."""


def pretrain(
    fabric: Fabric,
    studies: Sequence[CachedStudy],
    plane: Plane,
    settings: PretrainSettings,
    output: Path,
    report: Report = lambda step, loss: None,
    start: WholeNetwork | None = None,
) -> None:
    """Train up to `settings.steps`, from the newest checkpoint of the output folder if it has one.

    The windows of a step depend on seed, step and their number alone, and a checkpoint holds all state; so a run that
    was killed at any moment and started again ends with the same weights, bit for bit, and many processes agree with
    one.

    Args:
        fabric: launched, of precision `32-true`: what is multiplied in bfloat16 follows from the settings.
        studies: prepared; those without a series of the plane are left out.
        plane: to be trained.
        settings: of the training.
        output: folder of the checkpoints, `losses.csv` and pictures; all processes see the same one.
        report: told each step's loss.
        start: weights that a new training begins with; None for weights of chance. One that goes on has its own.

    Raises:
        OrthoDiffusionError: in all processes alike; EMPTY_STUDY, without a series of the plane; BAD_SETTINGS, when the
            batch cannot be shared among the processes, they do not see the same files, the folder holds another
            training, or the start is another network; TRAINING_DIVERGED, when the loss or a gradient is no number, with
            the studies that the step saw: a checkpoint that there is is from before it; CHECKPOINT_INVALID for a
            checkpoint that this version does not understand; CANCELLED, when a process was asked to end, after a
            checkpoint.
    """
    usable = [study for study in studies if plane in study.depths]
    _check_can_begin(fabric, usable, plane, settings)
    about = {
        "version": __version__,
        "plane": plane.value,
        "settings": settings.model_dump(mode="json"),
        "start": None if start is None else start.source,
        "studies": studies_digest(usable),
    }
    found = latest_checkpoint(output)
    _check_agreed(fabric, {**about, "step": 0 if found is None else found.step})
    if found is not None:
        _check_same(found.about, about)
    torch.manual_seed(settings.seed + plane.pose_id)
    network = DenoisingUNet(settings.network)
    if found is not None:
        network.load_state_dict(found.parts["weights"])
    elif start is not None:
        start.fill(network, settings)
    if settings.recompute:
        _recompute(network, halved=settings.precision == "bfloat16")
    student = Student(network) if settings.distillation else None
    if student is not None and found is not None:
        student.heads.load_state_dict(found.parts["heads"])
    trained = network if student is None else student
    module = fabric.setup_module(trained)
    # Made after the network is set up: its weights may lie in parts only then.
    adam = torch.optim.Adam(trained.parameters(), lr=settings.learning_rate)
    averaged = AveragedWeights(network, settings.ema_decay, settings.ema_every, settings.ema_start)
    if found is not None:
        averaged.load(found.parts["averaged"])
        restore_optimiser(adam, found.parts["optimiser"])
    distillation = None if student is None else Distillation(student, averaged, settings, fabric.device)
    if distillation is not None and found is not None:
        distillation.load(found.parts)
    optimiser = cast(torch.optim.Optimizer, fabric.setup_optimizers(adam))
    first = saved = 0 if found is None else found.step
    parts = _parts_of_batch(fabric, settings)

    def save(done: int) -> None:
        nonlocal saved
        # Putting tensors together takes all processes, writing them one.
        state = {
            "weights": whole_tensors(network.state_dict()),
            "averaged": whole_tensors(averaged.tensors),
            "optimiser": optimiser_tensors(adam),
            **({} if distillation is None else distillation.state()),
        }
        if fabric.is_global_zero:
            save_checkpoint(output, Checkpoint(done, state, about))
        fabric.barrier()
        saved = done

    def batches(step: int) -> list[PretrainBatch]:
        return [pretraining_batch(usable, plane, settings, step, part) for part in parts]

    # A processor has no time to spare for batches; an accelerator waits for none.
    workers = 0 if fabric.device.type == "cpu" else PREFETCHERS
    parts_of_loss = () if distillation is None else ("denoising", "distillation")
    log = LossLog(output, first, ("loss", *parts_of_loss)) if fabric.is_global_zero else None
    try:
        with asked_to_stop() as stopping:
            for step, parted in prefetched(batches, first, settings.steps, workers):
                with naming_studies(step, partial(pretraining_studies, usable, plane, settings, step), *_kept(saved)):
                    outcome = train_step(fabric, module, optimiser, parted, settings, step, stopping(), distillation)
                averaged.update(network, step)
                if distillation is not None:
                    distillation.follow(step)
                if log is not None:
                    log.write(step, outcome.loss, *(getattr(outcome, part) for part in parts_of_loss))
                    report(step, outcome.loss)
                done = step + 1
                if done % settings.save_every == 0 or done == settings.steps or outcome.stopped:
                    save(done)
                if outcome.stopped:
                    raise stopped_after(done)
                if settings.sample_every and done % settings.sample_every == 0:
                    _draw_samples(fabric, averaged, settings, output / f"samples-{done:08d}.png")
    finally:
        if log is not None:
            log.close()


def _check_can_begin(fabric: Fabric, usable: Sequence[CachedStudy], plane: Plane, settings: PretrainSettings) -> None:
    if not usable:
        raise OrthoDiffusionError(
            ErrorKind.EMPTY_STUDY, f"No study has a {plane.value} series.", "Choose another plane or dataset."
        )
    check_batch(settings, fabric.world_size)


def check_batch(settings: PretrainSettings, processes: int) -> None:
    """Refuse a batch that some processes cannot share.

    Raises:
        OrthoDiffusionError: BAD_SETTINGS.
    """
    if settings.batch % processes:
        nearest = math.ceil(settings.batch / processes) * processes
        raise OrthoDiffusionError(
            ErrorKind.BAD_SETTINGS,
            f"A batch of {settings.batch} cannot be shared among {processes} processes.",
            f"Choose a multiple of their number, such as --set batch={nearest}.",
        )


def _parts_of_batch(fabric: Fabric, settings: PretrainSettings) -> list[range]:
    """Numbers of the windows of each step that this process sees, in the parts that go through the network together."""
    share = settings.batch // fabric.world_size
    mine = range(fabric.global_rank * share, (fabric.global_rank + 1) * share)
    return [mine[begin : begin + settings.together] for begin in range(0, len(mine), settings.together)]


def _draw_samples(fabric: Fabric, averaged: AveragedWeights, settings: PretrainSettings, path: Path) -> None:
    """A picture by the averaged weights; all processes must call it, and the first one draws."""
    weights = whole_tensors(averaged.tensors)
    if fabric.is_global_zero:
        from OrthoDiffusionLib.training.pretraining_pictures import save_samples

        drawing = DenoisingUNet(settings.network).eval()
        drawing.load_state_dict({name: tensor.cpu() for name, tensor in weights.items()})
        save_samples(
            drawing,
            settings.window_size,
            path,
            seed=settings.seed,
            prediction=settings.prediction,
            device=fabric.device,
        )


def _kept(saved: int) -> tuple[str, str]:
    """What is said of checkpoints when a step is refused, and what the person can do with them."""
    if saved == 0:
        return kept_until(saved), "start again with a lower learning rate"
    return kept_until(saved), "go on from the checkpoint in another folder, with --from and a lower learning rate"


def _recompute(network: DenoisingUNet, *, halved: bool) -> None:
    for layer in [*network.input_blocks, network.middle_block, *network.output_blocks]:
        # On the way back the step's precision has been left already, and with it what keeps narrow levels in float32.
        precisions = partial(_precisions, layer, halved=halved)
        layer.forward = partial(recomputed, layer.forward, use_reentrant=False, context_fn=precisions)


def _precisions(layer: nn.Module, *, halved: bool) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Of a layer on the way forward, where the step has set it, and when it is computed again."""
    return nullcontext(), multiply_in_bfloat16(layer, enabled=halved)


def _check_agreed(fabric: Fabric, about: Mapping[str, Any]) -> None:
    """Refuse processes that would not begin the same training at the same step: where machines do not share a folder
    they would wait for each other, or train with each other's weights and moments of another step."""
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).digest()
    mine = torch.tensor(list(digest[:8]), dtype=torch.float32, device=fabric.device)
    # Sums of small whole numbers are exact, and means are not on every device.
    total = torch.as_tensor(fabric.all_reduce(mine.clone(), reduce_op="sum"))
    unlike = (total != fabric.world_size * mine).any().float()
    # All must know, not only who is unlike the mean.
    if torch.as_tensor(fabric.all_reduce(unlike, reduce_op="sum")) > 0:
        raise OrthoDiffusionError(
            ErrorKind.BAD_SETTINGS,
            "The processes do not see the same checkpoint, the same studies or the same version of this library.",
            "Start the same command on all machines, with an output, a cache and a dataset that they share.",
        )


def _check_same(found: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to go on with another training than the one that a folder holds; its length may change, and what fits it
    into a device's memory."""
    free = {"steps": 1, "save_every": 1, "sample_every": 0, "together": 1, "recompute": False}
    before = pretrain_settings({**found["settings"], **free})
    is_same = before == pretrain_settings({**now["settings"], **free})
    # Checkpoints from before these were kept have no start, and no studies.
    is_same = is_same and found.get("studies", now["studies"]) == now["studies"]
    if not is_same or found["plane"] != now["plane"] or found.get("start") != now["start"]:
        raise OrthoDiffusionError(
            ErrorKind.BAD_SETTINGS,
            "The output folder holds a training with another plane, other studies, other settings or another start.",
            "Choose another folder, or what it was started with.",
        )
