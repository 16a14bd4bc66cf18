"""Training checkpoints: everything that the next step depends on, in safetensors, never pickled, whole or not there."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from OrthoDiffusionLib.bundles.weights import weights_bytes
from OrthoDiffusionLib.datasets.whole_files import write_whole
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.training.sharding import laid_out_like, whole

PREFIX = "checkpoint-"
KEPT = 2
"""Checkpoints that stay: the newest, and the one before it should that one be broken."""

Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """State after `step` steps: the tensors of each part, and what is told about the training."""

    step: int
    parts: Mapping[str, Tensors]
    about: Mapping[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint, and remove older ones but the last.

    Raises:
        OSError: when it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(".unfinished-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    unfinished = folder / f".unfinished-{os.getpid()}"
    unfinished.mkdir()
    for part, tensors in checkpoint.parts.items():
        write_whole(unfinished / f"{part}.safetensors", weights_bytes(tensors))
    about = {**checkpoint.about, "step": checkpoint.step, "parts": sorted(checkpoint.parts)}
    (unfinished / "state.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    target = folder / f"{PREFIX}{checkpoint.step:08d}"
    shutil.rmtree(target, ignore_errors=True)
    unfinished.rename(target)
    for old in sorted(folder.glob(f"{PREFIX}*"))[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def latest_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that is whole; None when there is none."""
    for path in sorted(folder.glob(f"{PREFIX}*"), reverse=True):
        try:
            about = json.loads((path / "state.json").read_text(encoding="utf-8"))
            parts = {part: load_file(path / f"{part}.safetensors") for part in about["parts"]}
        except (OSError, ValueError, KeyError, SafetensorError):
            continue
        return Checkpoint(about["step"], parts, about)
    return None


def is_pretraining(folder: Path) -> bool:
    """Whether a folder is one that `orthodiffusion pretrain` left its checkpoints in."""
    return folder.is_dir() and any(folder.glob(f"{PREFIX}*"))


def averaged_network(folder: Path) -> tuple[Tensors, Mapping[str, Any]]:
    """The averaged weights of a pre-training, and what its checkpoint tells about it.

    Raises:
        OrthoDiffusionError: CHECKPOINT_INVALID, when the folder has no whole checkpoint.
    """
    checkpoint = latest_checkpoint(folder)
    if checkpoint is None or "averaged" not in checkpoint.parts:
        raise OrthoDiffusionError(
            ErrorKind.CHECKPOINT_INVALID,
            "The folder holds no checkpoint of a pre-training.",
            "Name the output folder of `orthodiffusion pretrain`.",
        )
    return checkpoint.parts["averaged"], checkpoint.about


def copied_state(network: nn.Module) -> dict[str, torch.Tensor]:
    """A network's weights as they are now, on the CPU."""
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Whole tensors of an optimiser's state, by parameter number and name; all processes must call it."""
    state = optimiser.state_dict()["state"]
    return {
        f"{number}/{name}": whole(torch.as_tensor(value))
        for number, values in state.items()
        for name, value in values.items()
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Tensors) -> None:
    """Take up an optimiser's state that `optimiser_tensors` gave; its settings stay."""
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        number, name = key.split("/", 1)
        parameter = parameters[int(number)]
        laid_out = laid_out_like(tensor, parameter) if tensor.shape == parameter.shape else tensor
        state.setdefault(int(number), {})[name] = laid_out
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
