"""The recipe of the demonstration model: three planes trained on phantoms, a gate, calibration, and the bundle.

`python -m OrthoDiffusionLib.training.demonstration --output training-output` makes it; each plane's weights are kept
as soon as they are trained, so that an interrupted run goes on with the next plane.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.networks.config import UNetConfig
from OrthoDiffusionLib.networks.plane_networks import PlaneNetworks
from OrthoDiffusionLib.training.demonstration_bundle import build_demonstration
from OrthoDiffusionLib.training.phantom_stacks import StudyStacks, load_studies
from OrthoDiffusionLib.training.plane_training import PlaneTraining, train_plane

STACK_SIZE = 128
"""Pixels of the stacks kept on disk; augmentation samples the windows from them."""

WINDOW_SIZE = 96
"""Pixels of the windows: a training step of four takes 1.0 s on two cores, against 2.6 s at 128."""

CHANNELS = UNetConfig(base_channels=32)
BLOCKS = {Plane.AXIAL: "mid_0", Plane.SAGITTAL: "mid_0", Plane.CORONAL: "mid_2"}
TIMESTEP = 50
"""Of all planes: the published 150 and 200 add noise that hides a tear at a quarter of the published resolution."""

TRAINING_SEEDS = range(1000, 1400)
VALIDATION_SEEDS = range(5000, 5060)


def new_networks(plane: Plane) -> PlaneNetworks:
    """Untrained networks of a plane at the demonstration's size."""
    joint = load_joint("knee")
    return PlaneNetworks(CHANNELS, BLOCKS[plane], len(joint.structures) + 1, len(joint.findings))


def train_planes(studies: Sequence[StudyStacks], folder: Path, steps: int, planes: Sequence[Plane]) -> None:
    """Train each plane whose weights the folder lacks, and keep them there."""
    for plane in planes:
        target = folder / f"{plane.value}.safetensors"
        if target.exists():
            continue
        torch.manual_seed(plane.pose_id)
        networks = new_networks(plane)
        began = time.monotonic()
        losses: list[tuple[float, float]] = []

        def report(
            step: int,
            segmentation: float,
            diagnosis: float,
            plane: Plane = plane,
            losses: list[tuple[float, float]] = losses,
            began: float = began,
        ) -> None:
            losses.append((segmentation, diagnosis))
            if (step + 1) % 20 == 0:
                last = losses[-20:]
                means = [sum(values) / len(last) for values in zip(*last, strict=True)]
                seconds = time.monotonic() - began
                print(
                    f"{plane.value} step {step + 1}/{steps}: segmentation {means[0]:.3f},"
                    f" diagnosis {means[1]:.3f}, {seconds:.0f} s",
                    flush=True,
                )

        train_plane(networks, studies, plane, PlaneTraining(steps=steps, size=WINDOW_SIZE, timestep=TIMESTEP), report)
        save_file({name: tensor.contiguous() for name, tensor in networks.state_dict().items()}, target)


def trained_networks(plane: Plane, folder: Path) -> PlaneNetworks:
    """A plane's networks as `train_planes` left them, in evaluation mode."""
    networks = new_networks(plane)
    networks.load_state_dict(load_file(folder / f"{plane.value}.safetensors"))
    return networks.eval().requires_grad_(False)


def main() -> None:
    """Train what is missing, and write the bundle."""
    parser = argparse.ArgumentParser(description="Train the demonstration model on phantoms.")
    parser.add_argument("--output", type=Path, default=Path("training-output"))
    parser.add_argument("--steps", type=int, default=500, help="optimiser steps a plane")
    parser.add_argument("--planes", nargs="*", default=[plane.value for plane in Plane])
    parser.add_argument("--processes", type=int, default=2, help="that make phantoms")
    parser.add_argument("--bundle", type=Path, help="folder of the bundle to write when all planes are trained")
    arguments = parser.parse_args()
    folder, stacks = arguments.output, arguments.output / "studies"
    if any(not (folder / f"{name}.safetensors").exists() for name in arguments.planes):
        studies = load_studies(stacks, TRAINING_SEEDS, STACK_SIZE, arguments.processes)
        train_planes(studies, folder, arguments.steps, [Plane(name) for name in arguments.planes])
    if arguments.bundle is not None:
        bundle = build_demonstration(
            arguments.bundle,
            {plane: trained_networks(plane, folder) for plane in Plane},
            load_studies(stacks, VALIDATION_SEEDS, STACK_SIZE, arguments.processes),
            timestep=TIMESTEP,
            window_size=WINDOW_SIZE,
            steps=arguments.steps,
            training_seeds=TRAINING_SEEDS,
            validation_seeds=VALIDATION_SEEDS,
        )
        print(f"Written to {bundle.folder}")


if __name__ == "__main__":
    main()
