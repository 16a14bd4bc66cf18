"""From trained planes to the demonstration bundle: gate and calibration on held-out phantoms, model card, manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import torch

from OrthoDiffusionLib import __version__
from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.bundles.building import write_bundle
from OrthoDiffusionLib.bundles.manifest import FindingCalibration
from OrthoDiffusionLib.bundles.opening import Bundle
from OrthoDiffusionLib.diffusion.noise import noise_for
from OrthoDiffusionLib.diffusion.schedule import cosine_schedule
from OrthoDiffusionLib.networks.fusion import PlaneGate
from OrthoDiffusionLib.networks.plane_networks import PlaneNetworks
from OrthoDiffusionLib.networks.skip_decoder import SkipSegmentationDecoder
from OrthoDiffusionLib.phantom.centres import TRAINING
from OrthoDiffusionLib.training.calibration import calibrate
from OrthoDiffusionLib.training.gate_training import train_gate
from OrthoDiffusionLib.training.phantom_stacks import PlaneStack, StudyStacks
from OrthoDiffusionLib.volumes.windows import centre_window, normalised, resize_slices

NAME = "knee-phantom-demonstration"
NOTICE = "Demonstration model trained on synthetic phantoms only. Research use only, not for diagnosis."
LICENSE_TEXT = "The weights in this bundle are released under the MIT License of OrthoDiffusion for 3D Slicer.\n"


def held_out_logits(
    networks: Mapping[Plane, PlaneNetworks], studies: Sequence[StudyStacks], timestep: int, size: int
) -> torch.Tensor:
    """Logits of each plane's centre window, in pose order: (studies, 3, findings)."""
    with torch.inference_mode():
        rows = [
            torch.stack([_logits(networks[plane], study.planes[plane], plane, timestep, size) for plane in Plane])
            for study in studies
        ]
    return torch.stack(rows).clone()


def _logits(networks: PlaneNetworks, stack: PlaneStack, plane: Plane, timestep: int, size: int) -> torch.Tensor:
    assert networks.diagnosis is not None
    start = centre_window(stack.image.shape[0])
    window = normalised(resize_slices(np.moveaxis(stack.image[start : start + 16], 0, 2), size))
    x0 = torch.from_numpy(window)[None, None]
    timesteps = torch.tensor([timestep])
    noise = noise_for(0, f"{plane.value}/{start}", x0.shape)
    logits: torch.Tensor = networks.diagnosis(
        networks.features(cosine_schedule().noised(x0, timesteps, noise), timesteps)
    )
    return logits[0]


def calibrations(gate: PlaneGate, logits: torch.Tensor, present: torch.Tensor) -> dict[str, FindingCalibration]:
    """Temperature and threshold of each finding, of the logits that the gate makes of the planes'."""
    with torch.inference_mode():
        fused = (gate(logits) * logits).sum(dim=1).double().numpy()
    return {
        finding.key: calibrate(fused[:, index], present[:, index].double().numpy())
        for index, finding in enumerate(load_joint("knee").findings)
    }


def build_demonstration(
    folder: Path,
    networks: Mapping[Plane, PlaneNetworks],
    validation: Sequence[StudyStacks],
    parent: Bundle | None,
    *,
    timestep: int,
    window_size: int,
    steps: Mapping[Plane, int],
    training_seeds: range,
    validation_seeds: range,
) -> Bundle:
    """Fit gate and calibration on the validation studies, and write the bundle.

    The weights are rounded to half precision first, which halves the bundle; all that follows sees them rounded.
    """
    joint = load_joint("knee")
    for network in networks.values():
        network.half().float()
    logits = held_out_logits(networks, validation, timestep, window_size)
    present = torch.from_numpy(np.stack([study.present for study in validation]))
    gate = train_gate(logits, present)
    weights: dict[str, Mapping[str, torch.Tensor]] = {"models/gate.safetensors": gate.state_dict()}
    recipes = {}
    for plane in Plane:
        network = networks[plane]
        assert network.segmentation is not None and network.diagnosis is not None
        parts = {"encoder": network.encoder, "segmentation": network.segmentation, "diagnosis": network.diagnosis}
        files = {part: f"models/{plane.value}_{part}.safetensors" for part in parts}
        weights |= {
            files[part]: {name: tensor.half() for name, tensor in module.state_dict().items()}
            for part, module in parts.items()
        }
        recipes[plane.value] = {
            "timestep": timestep,
            "block": network.block,
            "encoder_training": _training(steps[plane], parent),
            "skips": isinstance(network.segmentation, SkipSegmentationDecoder),
            **files,
        }
    description = {
        "name": NAME,
        "version": "0.4.0",
        "title": "Demonstration model of the knee, trained on phantoms",
        "intended_use": NOTICE,
        "license": "MIT",
        "task": "Segmentation of 11 structures of the knee in MR images, and probabilities of 8 findings",
        "description": "Three small denoising encoders with a segmentation decoder and a diagnosis head each, after"
        " OrthoDiffusion (arXiv 2602.20752).",
        "authors": "The developers of OrthoDiffusion for 3D Slicer",
        "copyright": "Copyright (c) 2026 the developers of OrthoDiffusion for 3D Slicer",
        "monai_version": "1.6.1",
        "joint": joint.name,
        "structures": [structure.model_dump(mode="json") for structure in joint.structures],
        "findings": [finding.model_dump(mode="json") for finding in joint.findings],
        "network": {"base_channels": 32, "window_slices": 16, "window_size": window_size},
        "planes": recipes,
        "fusion": {"gate": "models/gate.safetensors"},
        "calibration": {key: value.model_dump() for key, value in calibrations(gate, logits, present).items()},
        "training_data": {
            "description": f"{len(training_seeds)} synthetic knees of OrthoDiffusion's phantom, each scanned at one of"
            f" {len(TRAINING)} made-up centres and once more in a contrast of chance; no image of a person.",
            "studies": len(training_seeds),
            "synthetic": True,
            "seeds": f"{training_seeds.start} to {training_seeds.stop - 1}; gate and calibration on"
            f" {validation_seeds.start} to {validation_seeds.stop - 1}",
            "known_limits": [
                "Never saw an image of a person; its masks and probabilities on patients mean nothing.",
                "Findings occur as often as is good for training, not as often as in patients.",
                "Knees only.",
            ],
        },
        "lineage": {
            "created_by": f"OrthoDiffusionLib.training.demonstration {__version__}",
            "created_on": date.today().isoformat(),
            "source": _start(parent),
        },
    }
    card = _model_card(steps, len(training_seeds), parent)
    return write_bundle(folder, description, weights, card, LICENSE_TEXT)


def _training(steps: int, parent: Bundle | None) -> str:
    if parent is not None and steps == 0:
        return f"As in {parent.manifest.name} {parent.manifest.version}: with its heads on labelled phantoms."
    return f"Trained with its heads for {steps} steps on labelled phantoms; not pre-trained. {_start(parent)}"


def _start(parent: Bundle | None) -> str:
    if parent is None:
        return "Training started from random weights."
    return f"Training started from the weights of {parent.manifest.name} {parent.manifest.version}."


def _model_card(steps: Mapping[Plane, int], studies: int, parent: Bundle | None) -> str:
    told = ", ".join(f"{count} ({plane.value})" for plane, count in steps.items() if count)
    return f"""# Demonstration model of the knee

**{NOTICE}**

Three small denoising encoders (32 base channels, windows of 16 slices), each with a segmentation decoder for 11
structures and a diagnosis head for 8 findings. They were trained together for {told} steps on {studies}
synthetic knees, half of the windows off the centre in contrasts of chance. {_start(parent)}
A gate weighs the planes; temperatures and thresholds were chosen on held-out phantoms.

Measure it with `orthodiffusion evaluate`; make it again with
`python -m OrthoDiffusionLib.training.demonstration --output training-output --parent PARENT --bundle DIR`.
"""
