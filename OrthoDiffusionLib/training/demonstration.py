"""The recipe of the demonstration model: three planes trained on phantoms, a gate, calibration, and the bundle.

`python -m OrthoDiffusionLib.training.demonstration --output training-output` makes it; each plane's weights are kept
as soon as they are trained, so that an interrupted run goes on with the next plane.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.networks.config import UNetConfig
from OrthoDiffusionLib.networks.plane_networks import PlaneNetworks
from OrthoDiffusionLib.training.demonstration_bundle import build_demonstration
from OrthoDiffusionLib.training.phantom_stacks import StudyStacks, load_studies
from OrthoDiffusionLib.training.plane_training import PlaneTraining, Report, train_plane

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


STAGES = {
    "joint": PlaneTraining(steps=520, size=WINDOW_SIZE, timestep=TIMESTEP),
    "decoder": PlaneTraining(
        steps=400,
        size=WINDOW_SIZE,
        timestep=TIMESTEP,
        learning_rate=3e-3,
        centre_share=0.4,
        diagnosis_share=0.0,
        encoder_rate=0.0,
        seed=1,
    ),
    "refined": PlaneTraining(
        steps=1000,
        size=WINDOW_SIZE,
        timestep=TIMESTEP,
        centre_share=0.5,
        contrast_share=0.7,
        encoder_rate=0.3,
        half_precision=True,
        seed=2,
    ),
    "widened": PlaneTraining(
        steps=700,
        size=WINDOW_SIZE,
        timestep=TIMESTEP,
        learning_rate=7e-4,
        centre_share=0.25,
        contrast_share=0.7,
        encoder_rate=0.3,
        half_precision=True,
        seed=3,
    ),
}
"""In order. First encoder, published decoder and diagnosis head together; then, on the encoder as it is, the decoder
with skips; then all of that together, half of the windows off the centre and most of those in a contrast of chance;
last with three quarters off the centre, for the outermost slices alone hold fibula and collateral ligaments."""


def train_planes(studies: Sequence[StudyStacks], folder: Path, planes: Sequence[Plane] = tuple(Plane)) -> None:
    """Train each stage of each plane whose weights the folder lacks, and keep what each stage gives."""
    for plane in planes:
        before: Path | None = None
        for stage, settings in STAGES.items():
            after = folder / f"{plane.value}_{stage}.safetensors"
            if not after.exists():
                torch.manual_seed(plane.pose_id)
                networks = new_networks(plane, skips=stage != "joint")
                if before is not None:
                    networks.load_state_dict(_carried_over(networks, load_file(before)), strict=False)
                train_plane(networks, studies, plane, settings, _printer(plane, settings))
                _save(networks, after)
            before = after


def _carried_over(networks: PlaneNetworks, trained: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors of the stage before that these networks have too: all but the published decoder's."""
    shapes = {name: tensor.shape for name, tensor in networks.state_dict().items()}
    return {name: tensor for name, tensor in trained.items() if shapes.get(name) == tensor.shape}


def new_networks(plane: Plane, *, skips: bool) -> PlaneNetworks:
    """Untrained networks of a plane at the demonstration's size."""
    joint = load_joint("knee")
    return PlaneNetworks(CHANNELS, BLOCKS[plane], len(joint.structures) + 1, len(joint.findings), skips=skips)


def trained_networks(plane: Plane, folder: Path) -> PlaneNetworks:
    """A plane's networks as `train_planes` left them, in evaluation mode."""
    networks = new_networks(plane, skips=True)
    networks.load_state_dict(load_file(folder / f"{plane.value}_{list(STAGES)[-1]}.safetensors"))
    return networks.eval().requires_grad_(False)


def _save(networks: PlaneNetworks, path: Path) -> None:
    save_file({name: tensor.contiguous() for name, tensor in networks.state_dict().items()}, path)


def _printer(plane: Plane, settings: PlaneTraining) -> Report:
    """Prints the mean losses of each 20 steps."""
    began = time.monotonic()
    losses: list[tuple[float, float]] = []

    def report(step: int, segmentation: float, diagnosis: float) -> None:
        losses.append((segmentation, diagnosis))
        if len(losses) % 20 == 0:
            means = [sum(values) / 20 for values in zip(*losses[-20:], strict=True)]
            print(
                f"{plane.value} step {step + 1}/{settings.steps}: segmentation {means[0]:.3f},"
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
    parser.add_argument("--bundle", type=Path, help="folder of the bundle to write at the end")
    arguments = parser.parse_args()
    folder, stacks = arguments.output, arguments.output / "studies"
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    train_planes(load_studies(stacks, TRAINING_SEEDS, STACK_SIZE, arguments.processes), folder, arguments.planes)
    if arguments.bundle is not None:
        bundle = build_demonstration(
            arguments.bundle,
            {plane: trained_networks(plane, folder) for plane in Plane},
            load_studies(stacks, VALIDATION_SEEDS, STACK_SIZE, arguments.processes),
            timestep=TIMESTEP,
            window_size=WINDOW_SIZE,
            steps=[settings.steps for settings in STAGES.values()],
            training_seeds=TRAINING_SEEDS,
            validation_seeds=VALIDATION_SEEDS,
        )
        print(f"Written to {bundle.folder}")


if __name__ == "__main__":
    main()
