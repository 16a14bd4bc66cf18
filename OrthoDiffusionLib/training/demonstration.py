"""The recipe of the demonstration model: three planes trained on phantoms, a gate, calibration, and the bundle.

`python -m OrthoDiffusionLib.training.demonstration --output training-output` makes it; each plane's weights are kept
as soon as they are trained, so that an interrupted run goes on with the next plane.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.bundles.opening import Bundle, open_bundle
from OrthoDiffusionLib.inference.model import load_model
from OrthoDiffusionLib.networks.config import UNetConfig
from OrthoDiffusionLib.networks.plane_networks import PlaneNetworks
from OrthoDiffusionLib.training.demonstration_bundle import build_demonstration
from OrthoDiffusionLib.training.phantom_stacks import StudyStacks, load_studies
from OrthoDiffusionLib.training.plane_training import PlaneTraining, Report, train_plane

STACK_SIZE = 160
"""Pixels of the stacks kept on disk; augmentation samples the windows from them."""

WINDOW_SIZE = 128
"""Pixels of the windows: 1.2 mm of a field of view of 150 mm, so that cartilage of 2 mm is more than a pixel thick."""

CHANNELS = UNetConfig(base_channels=32)
BLOCKS = {Plane.AXIAL: "mid_0", Plane.SAGITTAL: "mid_0", Plane.CORONAL: "mid_2"}
TIMESTEP = 50
"""Of all planes: the published 150 and 200 add noise that hides a tear at half of the published resolution."""

TRAINING_SEEDS = range(2000, 2060)
VALIDATION_SEEDS = range(5000, 5030)

STEPS = {Plane.AXIAL: 450, Plane.SAGITTAL: 0, Plane.CORONAL: 450}
"""The sagittal stacks changed least since the parent was trained; 200 steps more made its masks no better."""

SETTINGS = PlaneTraining(
    steps=450,
    size=WINDOW_SIZE,
    batch=2,
    timestep=TIMESTEP,
    learning_rate=5e-4,
    centre_share=0.3,
    diagnosis_share=0.5,
    random_share=0.5,
    contrast_share=0.3,
    encoder_rate=0.5,
    frozen_blocks=2,
    seed=5,
)


def train_planes(
    studies: Sequence[StudyStacks], folder: Path, parent: Bundle | None, planes: Sequence[Plane] = tuple(Plane)
) -> None:
    """Train each plane whose weights the folder lacks, from a parent bundle's weights or from random ones."""
    for plane in planes:
        path = weights_file(folder, plane)
        if not path.exists():
            torch.manual_seed(plane.pose_id)
            networks = new_networks(plane)
            if parent is not None:
                start = load_model(parent, torch.device("cpu")).planes[plane].networks
                networks.load_state_dict(start.state_dict())
            train_plane(networks, studies, plane, replace(SETTINGS, steps=STEPS[plane]), _printer(plane))
            save_file({name: tensor.contiguous() for name, tensor in networks.state_dict().items()}, path)


def weights_file(folder: Path, plane: Plane) -> Path:
    """Where a plane's trained weights lie."""
    return folder / f"{plane.value}.safetensors"


def new_networks(plane: Plane) -> PlaneNetworks:
    """Untrained networks of a plane at the demonstration's size."""
    joint = load_joint("knee")
    return PlaneNetworks(CHANNELS, BLOCKS[plane], len(joint.structures) + 1, len(joint.findings), skips=True)


def trained_networks(plane: Plane, folder: Path) -> PlaneNetworks:
    """A plane's networks as `train_planes` left them, in evaluation mode."""
    networks = new_networks(plane)
    networks.load_state_dict(load_file(weights_file(folder, plane)))
    return networks.eval().requires_grad_(False)


def _printer(plane: Plane) -> Report:
    """Prints the mean losses of each 20 steps."""
    began = time.monotonic()
    losses: list[tuple[float, float]] = []

    def report(step: int, segmentation: float, diagnosis: float) -> None:
        losses.append((segmentation, diagnosis))
        if len(losses) % 20 == 0:
            means = [sum(values) / 20 for values in zip(*losses[-20:], strict=True)]
            print(
                f"{plane.value} step {step + 1}/{STEPS[plane]}: segmentation {means[0]:.3f},"
                f" diagnosis {means[1]:.3f}, {time.monotonic() - began:.0f} s",
                flush=True,
            )

    return report


def main() -> None:
    """Train what is missing, and write the bundle."""
    parser = argparse.ArgumentParser(description="Train the demonstration model on phantoms.")
    parser.add_argument("--output", type=Path, default=Path("training-output"))
    parser.add_argument("--processes", type=int, default=2, help="that make phantoms")
    parser.add_argument("--threads", type=int, help="of the training; by default, one for each core")
    parser.add_argument("--planes", nargs="+", type=Plane, default=list(Plane), help="to be trained, in order")
    parser.add_argument("--parent", type=Path, help="bundle of the same sizes whose weights training starts from")
    parser.add_argument("--bundle", type=Path, help="folder of the bundle to write at the end")
    arguments = parser.parse_args()
    folder, stacks = arguments.output, arguments.output / "phantoms"
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    parent = open_bundle(arguments.parent) if arguments.parent is not None else None
    train_planes(
        load_studies(stacks, TRAINING_SEEDS, STACK_SIZE, arguments.processes), folder, parent, arguments.planes
    )
    if arguments.bundle is not None:
        bundle = build_demonstration(
            arguments.bundle,
            {plane: trained_networks(plane, folder) for plane in Plane},
            load_studies(stacks, VALIDATION_SEEDS, STACK_SIZE, arguments.processes),
            parent,
            timestep=TIMESTEP,
            window_size=WINDOW_SIZE,
            steps=STEPS,
            training_seeds=TRAINING_SEEDS,
            validation_seeds=VALIDATION_SEEDS,
        )
        print(f"Written to {bundle.folder}")


if __name__ == "__main__":
    main()
