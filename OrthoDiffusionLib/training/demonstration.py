"""The recipe of the demonstration model: `pretrain`, `train-segmentation`, `train-diagnosis`, `train-fusion`,
`train-refinement`, `bundle export`.

`python -m OrthoDiffusionLib.training.demonstration --bundle DIR` makes it. Each stage of a plane is kept as soon as it
is done, and an interrupted training goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.datasets.cache import CachedStudy, prepare_phantoms
from OrthoDiffusionLib.datasets.labelled_studies import labelled_phantoms
from OrthoDiffusionLib.errors import OrthoDiffusionError
from OrthoDiffusionLib.training.carried_masks import carried_masks
from OrthoDiffusionLib.training.checkpoints import latest_checkpoint
from OrthoDiffusionLib.training.configurations import load_settings
from OrthoDiffusionLib.training.diagnosis_training import train_diagnosis
from OrthoDiffusionLib.training.exporting import BundleCard, export_bundle
from OrthoDiffusionLib.training.fusion_data import HELD_OUT, FusionStudy, fusion_data
from OrthoDiffusionLib.training.fusion_training import train_fusion
from OrthoDiffusionLib.training.pooled_features import save_pooled
from OrthoDiffusionLib.training.pretraining import pretrain
from OrthoDiffusionLib.training.processes import training_fabric
from OrthoDiffusionLib.training.refinement_preparing import kept_studies
from OrthoDiffusionLib.training.refinement_stacks import networks_digest
from OrthoDiffusionLib.training.refinement_training import train_refinement
from OrthoDiffusionLib.training.resuming import UNFINISHED
from OrthoDiffusionLib.training.segmentation_training import train_segmentation
from OrthoDiffusionLib.training.settings import (
    DiagnosisSettings,
    FusionSettings,
    PretrainSettings,
    RefinementSettings,
    SegmentationSettings,
)
from OrthoDiffusionLib.training.starting_points import starting_point
from OrthoDiffusionLib.training.trained_fusion import DESCRIPTION as FUSION
from OrthoDiffusionLib.training.trained_fusion import described_fusion, save_fusion
from OrthoDiffusionLib.training.trained_plane import DESCRIPTION, TrainedPlane, load_plane, save_plane
from OrthoDiffusionLib.training.trained_refinement import DESCRIPTION as REFINEMENT
from OrthoDiffusionLib.training.trained_refinement import described_refinement, load_refinement, save_refinement
from OrthoDiffusionLib.training.whole_networks import whole_network

STACK_SIZE = 160
"""Pixels of the prepared stacks; windows of 128 are cut out of them."""

BLOCKS = {Plane.AXIAL: "mid_0", Plane.SAGITTAL: "mid_0", Plane.CORONAL: "mid_2"}
TIMESTEP = 10

IMAGE_STEPS = {Plane.SAGITTAL: 600, Plane.AXIAL: 300, Plane.CORONAL: 300}
"""Of the pre-trainings: the sagittal plane's begins with weights of chance, the others' with what that one learnt."""

IMAGE_CHANGES = ("crop=64", "together=4")
"""Parts of half the windows' edges take a quarter of their time, so that a step of four takes 3.8 s on two cores."""

MASK_SEEDS = range(7110, 7270)
"""Phantoms whose images the encoders are pre-trained on, and whose masks they and their decoders learn then."""

MASK_STEPS = (3000, 3000, 1500)
"""Of trainings one after the other, each with a learning rate that falls to zero. The axial and coronal planes' first
one begins with what the sagittal plane learnt in its own."""


class OutlineRound(NamedTuple):
    """A training of the refinement.

    Attributes:
        seeds: of phantoms new to it and to the masks' networks, for these must err on them as they do on any other.
        random_contrasts: how often each is scanned once more, in contrasts of chance.
        changes: of the configuration.
    """

    seeds: tuple[int, ...]
    random_contrasts: int
    changes: tuple[str, ...]


OUTLINES = (
    OutlineRound((*range(7306, 7336), *range(7340, 7358)), 1, ("optimiser=muon", "steps=12000")),
    OutlineRound(tuple(range(7360, 7410)), 2, ("optimiser=muon", "steps=8000", "learning_rate=1.0e-3")),
)
"""Trainings one after the other, half an hour and 20 minutes on two cores. In trials of 500 steps on the same parts of
slices, the last hundred had a mean loss of 0.2334 with Muon and 0.2367 with Adam; a step took 0.25 and 0.23 s.

The second one is for the misplaced fat in contrasts of chance, which they had not when the first one learnt: on 4
phantoms the mean Dice at the held-out centre was 0.827, and 0.854 with the bandwidth of the other centres."""

DIAGNOSIS_SEEDS = range(8000, 8240)
"""Other phantoms than those of the masks: encoders that know a study's own masks would make its logits too sure."""


def pretrain_images(plane: Plane, folder: Path, processes: int) -> Path:
    """A denoising network of a plane; the folder of its checkpoints."""
    output = folder / f"{plane.value}-images"
    settings = load_settings(PretrainSettings, "small", [*IMAGE_CHANGES, f"steps={IMAGE_STEPS[plane]}"])
    reached = latest_checkpoint(output)
    if reached is None or reached.step < settings.steps:
        start = None
        if plane is not Plane.SAGITTAL:
            start = whole_network(str(pretrain_images(Plane.SAGITTAL, folder, processes)), Plane.SAGITTAL)
        fabric = training_fabric("cpu", 1, 1, "auto")
        fabric.launch()
        pretrain(fabric, _mask_studies(folder, processes), plane, settings, output, start=start)
    return output


def train_masks(plane: Plane, folder: Path, processes: int, rounds: int = len(MASK_STEPS)) -> Path:
    """Encoder and decoder of a plane, from its pre-training; the folder that holds them after so many rounds."""
    output = folder / f"{plane.value}-masks-{rounds}"
    if not (output / DESCRIPTION).exists():
        start = _mask_start(plane, folder, processes, rounds)
        settings = mask_settings(plane, rounds)
        studies = _mask_studies(folder, processes)
        trained = train_segmentation(
            start, studies, settings, _printer(plane), folder=output / UNFINISHED, log_folder=output
        )
        save_plane(output, trained, {})
    # Here and not above, for it may have been killed in between.
    shutil.rmtree(output / UNFINISHED, ignore_errors=True)
    return output


def _mask_start(plane: Plane, folder: Path, processes: int, rounds: int) -> TrainedPlane:
    if rounds > 1:
        return load_plane(train_masks(plane, folder, processes, rounds - 1))
    images = pretrain_images(plane, folder, processes)
    settings = mask_settings(plane, rounds)
    start = starting_point(str(images), plane, "knee", settings)
    if plane is Plane.SAGITTAL:
        return start
    masks = train_masks(Plane.SAGITTAL, folder, processes, 1)
    return carried_masks(start, masks, str(pretrain_images(Plane.SAGITTAL, folder, processes)), settings)


def mask_settings(plane: Plane, rounds: int) -> SegmentationSettings:
    """Of a plane's first, second or later training of masks."""
    # Another seed, for a round that drew the same windows would show little new.
    changes = [
        f"block={BLOCKS[plane]}",
        f"timestep={TIMESTEP}",
        f"seed={9 + rounds}",
        f"steps={MASK_STEPS[rounds - 1]}",
    ]
    return load_settings(SegmentationSettings, "demonstration-segmentation", changes)


def _mask_studies(folder: Path, processes: int) -> list[CachedStudy]:
    cache = folder / "cache"
    return prepare_phantoms(MASK_SEEDS, cache, STACK_SIZE, processes, random_contrasts=1, keep_anatomies=True)


def train_findings(plane: Plane, masks: Path, folder: Path, processes: int) -> Path:
    """A diagnosis head on a plane's encoder, which stays as it is; the folder that holds both heads."""
    output = folder / plane.value
    if not (output / DESCRIPTION).exists():
        changes = [f"block={BLOCKS[plane]}", f"timestep={TIMESTEP}"]
        settings = load_settings(DiagnosisSettings, "demonstration-diagnosis", changes)
        start = starting_point(str(masks), plane, "knee", settings)
        studies = prepare_phantoms(DIAGNOSIS_SEEDS, folder / "cache", STACK_SIZE, processes)
        trained, held_out, pooled = train_diagnosis(start, studies, settings, lambda *_: None, log_folder=output)
        save_pooled(output, pooled)
        save_plane(output, trained, {HELD_OUT: held_out})
    return output


def train_gate(findings: Mapping[Plane, Path], folder: Path, processes: int) -> Path:
    """Weights of the planes' logits, for each finding; the folder that holds them."""
    output = folder / "fusion"
    if not (output / FUSION).exists():
        studies = prepare_phantoms(DIAGNOSIS_SEEDS, folder / "cache", STACK_SIZE, processes)
        gathered = fusion_data("gate", findings, [FusionStudy.of_cached(study) for study in studies])
        settings = load_settings(FusionSettings, "fusion")
        trained = train_fusion("gate", gathered, settings, lambda *_: None)
        planes = {plane: load_plane(path) for plane, path in findings.items()}
        save_fusion(output, described_fusion("gate", trained, gathered, planes, settings.plane_dropout))
    return output


def train_outlines(masks: Mapping[Plane, Path], folder: Path, processes: int, rounds: int = len(OUTLINES)) -> Path:
    """A refinement of what the planes' decoders find; the folder that holds it after so many rounds."""
    output = folder / f"refinement-{rounds}"
    if not (output / REFINEMENT).exists():
        begun = load_refinement(train_outlines(masks, folder, processes, rounds - 1)) if rounds > 1 else None
        planes = {plane: load_plane(path) for plane, path in masks.items()}
        digest = networks_digest(planes)
        seeds, random_contrasts, changes = OUTLINES[rounds - 1]
        labelled = labelled_phantoms(seeds, random_contrasts=random_contrasts)
        studies = kept_studies(labelled, planes, folder / "cache", lambda _: None, "cpu", processes)
        settings = load_settings(RefinementSettings, "refinement", changes)
        trained = train_refinement(
            studies,
            "knee",
            settings,
            lambda *_: None,
            output / UNFINISHED,
            log_folder=output,
            start=None if begun is None else begun.network,
        )
        described = described_refinement(trained, "knee", digest, settings, begun)
        save_refinement(output, described)
        print(described.description.history, flush=True)
    shutil.rmtree(output / UNFINISHED, ignore_errors=True)
    return output


def _printer(plane: Plane) -> Callable[[int, float, float | None], None]:
    """Prints the mean loss between validations."""
    losses: list[float] = []

    def report(step: int, loss: float, score: float | None) -> None:
        losses.append(loss)
        if score is not None:
            print(f"{plane.value} step {step + 1}: loss {sum(losses) / len(losses):.3f}, Dice {score:.3f}", flush=True)
            losses.clear()

    return report


def main() -> None:
    """Train what is missing, and write the bundle."""
    try:
        _made()
    except OrthoDiffusionError as error:
        raise SystemExit(str(error)) from error


def _made() -> None:
    parser = argparse.ArgumentParser(description="Train the demonstration model on phantoms.")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("training-output"),
        help="folder of all that is trained; started again, what was stopped goes on from there",
    )
    parser.add_argument("--processes", type=int, default=2, help="that prepare phantoms")
    parser.add_argument("--threads", type=int, help="of the training; by default, one for each core")
    parser.add_argument("--planes", nargs="+", type=Plane, default=list(Plane), help="to be trained, in order")
    parser.add_argument("--bundle", type=Path, help="folder of the bundle to write at the end; needs all planes")
    arguments = parser.parse_args()
    if arguments.bundle is not None and set(arguments.planes) != set(Plane):
        parser.error("a bundle needs all three planes; leave out --planes or --bundle")
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    masks, folders = {}, {}
    for plane in arguments.planes:
        masks[plane] = train_masks(plane, arguments.output, arguments.processes)
        folders[plane] = train_findings(plane, masks[plane], arguments.output, arguments.processes)
    if arguments.bundle is not None:
        gate = train_gate(folders, arguments.output, arguments.processes)
        refinement = train_outlines(masks, arguments.output, arguments.processes)
        card = load_settings(BundleCard, "demonstration-card")
        bundle = export_bundle(arguments.bundle, folders, card, gate, refinement=refinement, half_precision=True)
        print(f"Written to {bundle.folder}")


if __name__ == "__main__":
    main()
