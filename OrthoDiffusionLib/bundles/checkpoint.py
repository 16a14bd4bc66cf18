"""The authors' published checkpoints: read without running what is in them, and checked to hold their network."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from OrthoDiffusionLib.diffusion.schedule import STEPS, cosine_schedule
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.networks.config import UNetConfig
from OrthoDiffusionLib.networks.encoder import encoder_state
from OrthoDiffusionLib.networks.unet import DenoisingUNet

PREFIXES = ("denoise_fn.module.", "denoise_fn.")
"""Of the network's tensors; the longer one is left by data-parallel training."""

UNDERIVED_BUFFER = "posterior_mean_coef3"
SCHEDULE_TOLERANCE = 1e-4
"""Relative; the checkpoint's buffers are float32."""

CODE_REFUSALS = ("Unsupported global", "Unsupported class", "Trying to")
"""How torch says that a file names something other than tensors."""

UNKNOWN_INSTRUCTION = "Unsupported operand"
"""How torch says that a pickle has an instruction that weights never need."""


def read_checkpoint(path: Path, *, keep_decoder: bool = False) -> dict[str, torch.Tensor]:
    """The averaged (EMA) weights of a published checkpoint, by their names in `DenoisingEncoder`, float32.

    Args:
        path: a `.pt` file that holds step, model, ema and opt, or `ema` alone.
        keep_decoder: give the tensors of the whole `DenoisingUNet`, not the encoder's only.

    Raises:
        OrthoDiffusionError: FILE_NOT_FOUND; BUNDLE_UNSAFE for a file that names anything but tensors, as one that runs
            code when it is unpickled must; CHECKPOINT_INVALID for one that is damaged or holds another network.
    """
    state = _ema_state(_load_without_code(path), path)
    network, buffers = _split(state, path)
    _check_schedule(buffers, path)
    _check_network(network, path)
    wanted = network if keep_decoder else encoder_state(network)
    return {name: tensor.detach().float() for name, tensor in wanted.items()}


def _load_without_code(path: Path) -> object:
    if not path.is_file():
        raise OrthoDiffusionError(
            ErrorKind.FILE_NOT_FOUND, f"There is no file “{path.name}”.", "Check the name and the folder."
        )
    try:
        # Mapped, a file of 553 MB takes no more memory than the part of it that is used.
        zipped = zipfile.is_zipfile(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        words = (*CODE_REFUSALS, UNKNOWN_INSTRUCTION) if zipped else CODE_REFUSALS
        if any(word in str(error) for word in words):
            raise OrthoDiffusionError(
                ErrorKind.BUNDLE_UNSAFE,
                f"“{path.name}” holds more than weights and could run code; it was not loaded.",
                "Get the checkpoint from the authors.",
                detail=str(error),
            ) from error
        raise _invalid(path, "is damaged or no checkpoint", str(error)) from error
    except (RuntimeError, EOFError, OSError, ValueError, LookupError, AttributeError, TypeError) as error:
        raise _invalid(path, "is damaged or no checkpoint", str(error)) from error


def _ema_state(content: object, path: Path) -> Mapping[str, torch.Tensor]:
    state = content.get("ema") if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not state:
        raise _invalid(path, "has no EMA weights", "the key “ema” is missing or empty")
    for name, value in state.items():
        if not isinstance(name, str) or not _is_plain(value):
            raise _invalid(path, "has no EMA weights", f"“ema” holds something else than float tensors: {name!r}")
    return state


def _is_plain(value: object) -> bool:
    return (
        isinstance(value, torch.Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and value.is_floating_point()
    )


def _split(state: Mapping[str, torch.Tensor], path: Path) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    network: dict[str, torch.Tensor] = {}
    buffers: dict[str, torch.Tensor] = {}
    for key, tensor in state.items():
        prefix = next((prefix for prefix in PREFIXES if key.startswith(prefix)), None)
        if prefix is None:
            buffers[key] = tensor
        elif key.removeprefix(prefix) in network:
            raise _invalid(path, "holds a tensor twice", key)
        else:
            network[key.removeprefix(prefix)] = tensor
    if not network:
        raise _invalid(path, "holds no denoising network", "no tensor name begins with denoise_fn.")
    return network, buffers


def _check_schedule(buffers: Mapping[str, torch.Tensor], path: Path) -> None:
    known = cosine_schedule().buffers()
    if set(buffers) != {*known, UNDERIVED_BUFFER}:
        raise _invalid(path, "holds tensors of another program", f"buffers: {sorted(buffers)[:20]}")
    for name, expected in known.items():
        found = buffers[name].detach().double().numpy()
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
