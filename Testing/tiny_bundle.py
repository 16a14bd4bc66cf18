"""A bundle of tiny networks with random weights, which reads what a test wants it to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.bundles.building import write_bundle
from OrthoDiffusionLib.networks.config import UNetConfig
from OrthoDiffusionLib.networks.plane_networks import PlaneNetworks

SEGMENTS, DIAGNOSES = "segmentation", "diagnosis"


def write_tiny_bundle(folder: Path, reads: Mapping[Plane, tuple[str, ...]], of: str = "knee", seeds: str = "") -> Path:
    """Write a joint's bundle that does with each plane what `reads` names: SEGMENTS, DIAGNOSES or both; its card says
    that it was trained on phantoms of these seeds."""
    joint, size = load_joint(of), {"base_channels": 32, "channel_multipliers": (1, 1, 1, 1)}
    weights, planes = {}, {}
    for plane, parts in reads.items():
        torch.manual_seed(plane.pose_id)
        networks = PlaneNetworks(
            UNetConfig(**size),
            "mid_0",
            classes=len(joint.structures) + 1 if SEGMENTS in parts else 0,
            findings=len(joint.findings) if DIAGNOSES in parts else 0,
        )
        recipe = {"timestep": 50, "block": "mid_0", "encoder_training": "None."}
        for part in ("encoder", *parts):
            recipe[part] = f"models/{plane.value}_{part}.safetensors"
            weights[recipe[part]] = getattr(networks, part).state_dict()
        planes[plane.value] = recipe
    description = {
        "name": folder.name,
        "version": "1.0.0",
        "title": folder.name,
        "intended_use": "Tests only.",
        "license": "MIT",
        "monai_version": "1.6.1",
        "joint": of,
        "structures": [structure.model_dump(mode="json") for structure in joint.structures],
        "findings": [finding.model_dump(mode="json") for finding in joint.findings],
        "network": {**size, "window_slices": 16, "window_size": 32},
        "planes": planes,
        "training_data": {"description": "None.", "studies": 0, "synthetic": True, "seeds": seeds, "known_limits": []},
        "lineage": {"created_by": "a test", "created_on": "", "source": "random"},
    }
    write_bundle(folder, description, weights, "# Tiny\n", "MIT\n")
    return folder
