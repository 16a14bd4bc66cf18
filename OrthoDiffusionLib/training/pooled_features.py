"""A plane's pooled features of every study, by the networks of each fold and by the final ones.

A fusion head that is judged on a study must not have read features of networks that were trained on that study's
patient, so the features of every fold's networks are kept beside the final ones.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from OrthoDiffusionLib.datasets.whole_files import write_whole
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError

FILE = "pooled.safetensors"


@dataclass(frozen=True)
class PooledFeatures:
    """Pooled features of one plane; a study with several series has their mean.

    Attributes:
        ids: of the studies.
        fold: in which each study was held out, integers (studies,) from 0.
        features: (folds + 1, studies, channels); `features[f]` by networks that saw no patient of fold f, the last by
            the final networks, which saw all.
    """

    ids: tuple[str, ...]
    fold: torch.Tensor
    features: torch.Tensor


def save_pooled(folder: Path, pooled: PooledFeatures) -> None:
    """Write them into a plane's folder, which is made when it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {"fold": pooled.fold, "features": pooled.features.contiguous()}
    write_whole(folder / FILE, save(tensors, metadata={"ids": json.dumps(pooled.ids)}))


def load_pooled(folder: Path) -> PooledFeatures:
    """Read what `save_pooled` wrote.

    Raises:
        OrthoDiffusionError: CHECKPOINT_INVALID for a folder without them.
    """
    try:
        with safe_open(folder / FILE, framework="pt") as file:
            ids = tuple(json.loads(file.metadata()["ids"]))
            pooled = PooledFeatures(ids, file.get_tensor("fold"), file.get_tensor("features"))
        if pooled.features.shape[1] != len(ids) or pooled.fold.shape != (len(ids),):
            raise ValueError("ids and features do not agree")
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise OrthoDiffusionError(
            ErrorKind.CHECKPOINT_INVALID,
            "The plane's folder holds no pooled features.",
            "Train its diagnosis head again with `orthodiffusion train-diagnosis`, and name that output folder.",
            detail=str(error),
        ) from error
    return pooled
