"""Weights of a bundle: safetensors, read once and checked as read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from OrthoDiffusionLib.bundles.opening import Bundle, check_hash
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError


def read_weights(bundle: Bundle, name: str) -> dict[str, torch.Tensor]:
    """Read a weights file of a bundle.

    The bytes that are hashed are the bytes that are used: a file exchanged after `open_bundle` is refused.

    Raises:
        OrthoDiffusionError: BUNDLE_WRONG_HASH, BUNDLE_MISSING_FILE, or BUNDLE_UNSAFE for a file that is no safetensors.
    """
    try:
        content = (bundle.folder / name).read_bytes()
    except OSError as error:
        raise OrthoDiffusionError(
            ErrorKind.BUNDLE_MISSING_FILE,
            f"The file {name} of the bundle cannot be read.",
            "Get the bundle again from where it came from.",
            detail=str(error),
        ) from error
    check_hash(name, hashlib.sha256(content).hexdigest(), bundle.manifest.files[name])
    try:
        return load(content)
    except SafetensorError as error:
        raise OrthoDiffusionError(
            ErrorKind.BUNDLE_UNSAFE,
            f"The weights file {name} of the bundle is not a safetensors file.",
            "Use a bundle whose weights are safetensors files.",
            detail=str(error),
        ) from error


def weights_bytes(tensors: Mapping[str, torch.Tensor]) -> bytes:
    """The safetensors file of these tensors; the same tensors give the same bytes."""
    return save({name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)})
