"""Import of the authors' published checkpoints: from `.pt` files to a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.bundles.building import write_bundle
from OrthoDiffusionLib.bundles.checkpoint import read_checkpoint
from OrthoDiffusionLib.bundles.opening import Bundle, sha256_of
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError

PUBLISHED_RECIPES = {
    Plane.AXIAL: (200, "mid_0"),
    Plane.SAGITTAL: (150, "mid_0"),
    Plane.CORONAL: (50, "mid_2"),
}
"""Timestep and block of each plane's features (arXiv 2602.20752)."""

LICENSE_TEXT = """The weights in `models` were published by the authors of OrthoDiffusion (arXiv 2602.20752)
under the MIT License, github.com/lt-0123/OrthoDiffusion. They were converted without change of a number.
"""


def import_published(
    files: Mapping[Plane, Path],
    output: Path,
    *,
    name: str = "orthodiffusion-published",
    keep_decoder: bool = False,
) -> Bundle:
    """Make a bundle of published backbones; it has no heads, so it neither segments nor diagnoses.

    Args:
        files: a checkpoint for one to three planes: the full one (step, model, ema, opt) or `ema` alone.
        output: folder of the bundle; must not exist yet.
        name: of the bundle.
        keep_decoder: keep the whole denoising network, which sampling and further pre-training need and features do
            not; the bundle becomes two and a half times as large.

    Raises:
        OrthoDiffusionError: USAGE without a file; what `read_checkpoint` raises; CHECKPOINT_INVALID when one file is
            given for two planes; OUTPUT_NOT_WRITABLE; DISK_FULL.
    """
    if not files:
        raise OrthoDiffusionError(
            ErrorKind.USAGE, "No checkpoint was given.", "Name the .pt file of at least one plane."
        )
    weights = {
        f"models/{plane.value}.safetensors": read_checkpoint(files[plane], keep_decoder=keep_decoder)
        for plane in Plane
        if plane in files
    }
    hashes = {plane: sha256_of(files[plane]) for plane in Plane if plane in files}
    if len(set(hashes.values())) < len(hashes):
        raise OrthoDiffusionError(
            ErrorKind.CHECKPOINT_INVALID,
            "The same checkpoint was given for two planes.",
            "Give each plane its own file; each was trained on that plane only.",
        )
    joint = load_joint("knee")
    recipes = {
        plane.value: {
            "timestep": PUBLISHED_RECIPES[plane][0],
            "block": PUBLISHED_RECIPES[plane][1],
            "encoder": f"models/{plane.value}.safetensors",
            "encoder_training": "Pre-trained by the authors without labels on 15,948 knee MRI scans (EMA weights).",
        }
        for plane in hashes
    }
    description: dict[str, Any] = {
        "name": name,
        "version": "1.0.0",
        "title": "OrthoDiffusion, published backbones",
        "intended_use": "Backbones without heads, for features and training. Research use only, not for diagnosis.",
        "license": "MIT",
        "monai_version": "1.6.1",
        "task": "Features of MR series of the knee",
        "description": "Pre-trained denoising networks whose activations serve as features; without heads.",
        "authors": "The authors of OrthoDiffusion (arXiv 2602.20752)",
        "copyright": "The authors of OrthoDiffusion (arXiv 2602.20752), MIT License",
        "joint": "knee",
        "structures": [structure.model_dump(mode="json") for structure in joint.structures],
        "findings": [finding.model_dump(mode="json") for finding in joint.findings],
        "network": {"base_channels": 64, "window_slices": 16, "window_size": 256},
        "planes": recipes,
        "training_data": {
            "description": "15,948 unlabelled knee MRI scans, not public (arXiv 2602.20752).",
            "studies": 15948,
            "synthetic": False,
            "seeds": "not published",
            "known_limits": ["Knees only.", "No segmentation or diagnosis heads were published."],
        },
        "lineage": {
            "created_by": "orthodiffusion bundle import-published",
            "created_on": "",
            "source": "Checkpoints published by the authors of arXiv 2602.20752.",
            "parents": [f"{plane.value}: sha256 {digest}" for plane, digest in hashes.items()],
        },
    }
    return write_bundle(output, description, weights, _model_card(hashes, keep_decoder), LICENSE_TEXT)


def _model_card(hashes: Mapping[Plane, str], keep_decoder: bool) -> str:
    kept = "The whole of" if keep_decoder else "Input blocks and middle of"
    rows = "\n".join(f"| {plane.value} | `{digest}` |" for plane, digest in hashes.items())
    return f"""# OrthoDiffusion, published backbones

{kept} the authors' pre-trained networks (EMA weights), converted to safetensors.
No heads were published: this bundle extracts features, and neither segments nor diagnoses.

Research use only, not for diagnosis.

| plane | SHA-256 of the checkpoint |
|---|---|
{rows}
"""
