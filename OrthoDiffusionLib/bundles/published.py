"""Import of the authors' published checkpoints: from `.pt` files to a bundle, without running what is in them."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.bundles.building import write_bundle
from OrthoDiffusionLib.bundles.opening import Bundle, sha256_of
from OrthoDiffusionLib.diffusion.schedule import STEPS, cosine_schedule
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.networks.config import UNetConfig
from OrthoDiffusionLib.networks.encoder import encoder_state
from OrthoDiffusionLib.networks.unet import DenoisingUNet

PUBLISHED_RECIPES = {
    Plane.AXIAL: (200, "mid_0"),
    Plane.SAGITTAL: (150, "mid_0"),
    Plane.CORONAL: (50, "mid_2"),
}
"""Timestep and block of each plane's features (arXiv 2602.20752)."""

PREFIXES = ("denoise_fn.module.", "denoise_fn.")
UNDERIVED_BUFFER = "posterior_mean_coef3"
CODE_REFUSALS = ("Unsupported global", "Unsupported class", "Trying to")
"""How torch says that a file names something other than tensors; other messages are of damaged files."""

SCHEDULE_TOLERANCE = 1e-4
"""Relative; the checkpoint's buffers are float32."""

LICENSE_TEXT = """The weights in `models` were published by the authors of OrthoDiffusion (arXiv 2602.20752)
under the MIT License, github.com/lt-0123/OrthoDiffusion. They were converted without change of a number.
"""


def import_published(files: Mapping[Plane, Path], output: Path, *, name: str = "orthodiffusion-published") -> Bundle:
    """Make a bundle of published backbones; it has no heads, so it neither segments nor diagnoses.

    Args:
        files: a checkpoint for one to three planes: the full one (step, model, ema, opt) or `ema` alone.
        output: folder of the bundle; must not exist yet.
        name: of the bundle.

    Raises:
        OrthoDiffusionError: FILE_NOT_FOUND; BUNDLE_UNSAFE for a file that would run code; CHECKPOINT_INVALID for one
            that is damaged or holds another network; OUTPUT_NOT_WRITABLE.
    """
    if not files:
        raise OrthoDiffusionError(
            ErrorKind.USAGE, "No checkpoint was given.", "Name the .pt file of at least one plane."
        )
    weights = {f"models/{plane.value}.safetensors": read_checkpoint(files[plane]) for plane in Plane if plane in files}
    hashes = {plane: sha256_of(files[plane]) for plane in Plane if plane in files}
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
        "joint": "knee",
        "structures": [structure.model_dump(mode="json") for structure in joint.structures],
        "findings": [finding.model_dump(mode="json") for finding in joint.findings],
        "network": {"base_channels": 64, "window_slices": 16, "window_size": 256},
        "planes": recipes,
        "training_data": {
            "description": "15,948 unlabelled knee MRI scans of nine centres, not public (arXiv 2602.20752).",
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
    return write_bundle(output, description, weights, _model_card(hashes), LICENSE_TEXT)


def read_checkpoint(path: Path) -> dict[str, torch.Tensor]:
    """The encoder's tensors (EMA) of a published checkpoint, float32, by their names in `DenoisingEncoder`.

    Raises:
        OrthoDiffusionError: as `import_published` does.
    """
    state = _ema_state(_load_without_code(path), path)
    network, buffers = _split(state, path)
    _check_schedule(buffers, path)
    _check_network(network, path)
    return {key: tensor.float() for key, tensor in encoder_state(network).items()}


def _load_without_code(path: Path) -> object:
    if not path.is_file():
        raise OrthoDiffusionError(
            ErrorKind.FILE_NOT_FOUND, f"There is no file “{path.name}”.", "Check the name and the folder."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if any(words in str(error) for words in CODE_REFUSALS):
            raise OrthoDiffusionError(
                ErrorKind.BUNDLE_UNSAFE,
                f"“{path.name}” holds more than weights and could run code; it was not loaded.",
                "Get the checkpoint from the authors.",
                detail=str(error),
            ) from error
        raise _invalid(path, "is damaged", str(error)) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise _invalid(path, "is damaged or no checkpoint", str(error)) from error


def _ema_state(content: object, path: Path) -> Mapping[str, torch.Tensor]:
    state = content.get("ema") if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise _invalid(path, "has no EMA weights", "the key “ema” is missing or holds no tensors")
    return state


def _split(state: Mapping[str, torch.Tensor], path: Path) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    network: dict[str, torch.Tensor] = {}
    buffers: dict[str, torch.Tensor] = {}
    for key, tensor in state.items():
        prefix = next((prefix for prefix in PREFIXES if key.startswith(prefix)), None)
        if prefix is not None:
            network[key.removeprefix(prefix)] = tensor
        else:
            buffers[key] = tensor
    if not network:
        raise _invalid(path, "holds no denoising network", "no tensor name begins with denoise_fn.")
    return network, buffers


def _check_schedule(buffers: Mapping[str, torch.Tensor], path: Path) -> None:
    known = cosine_schedule().buffers()
    if set(buffers) != {*known, UNDERIVED_BUFFER}:
        raise _invalid(path, "holds tensors of another program", f"buffers: {sorted(buffers)}")
    for name, expected in known.items():
        found = buffers[name].double().numpy()
        if found.shape != (STEPS,) or not np.allclose(found, expected, rtol=SCHEDULE_TOLERANCE, atol=1e-6):
            raise _invalid(path, "was trained with another noise schedule", f"{name} differs")


def _check_network(network: Mapping[str, torch.Tensor], path: Path) -> None:
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in DenoisingUNet(UNetConfig()).state_dict().items()}
    if wrong := sorted(set(shapes) ^ set(network)):
        raise _invalid(path, "holds another network", f"missing or unknown: {wrong[:4]}")
    for name, shape in shapes.items():
        if network[name].shape != shape:
            raise _invalid(path, "holds a network of another size", f"{name}: {tuple(network[name].shape)}")
        if not bool(torch.isfinite(network[name]).all()):
            raise _invalid(path, "holds values that are not numbers", name)


def _invalid(path: Path, what: str, detail: str) -> OrthoDiffusionError:
    return OrthoDiffusionError(
        ErrorKind.CHECKPOINT_INVALID,
        f"“{path.name}” {what}.",
        "Use one of the authors' files: sagittal_model.pt, coronal_model.pt or axial_model.pt.",
        detail=detail,
    )


def _model_card(hashes: Mapping[Plane, str]) -> str:
    rows = "\n".join(f"| {plane.value} | `{digest}` |" for plane, digest in hashes.items())
    return f"""# OrthoDiffusion, published backbones

Input blocks and middle of the authors' pre-trained networks (EMA weights), converted to safetensors. No heads were
published: this bundle extracts features, and neither segments nor diagnoses.

Research use only, not for diagnosis.

| plane | SHA-256 of the checkpoint |
|---|---|
{rows}
"""
