"""An unfinished training in a folder: whether it is the one that is asked for, and what it goes on from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.training.checkpoints import PREFIX, Checkpoint, latest_checkpoint

UNFINISHED = "unfinished"
"""Folder in a training's output that holds its checkpoints until it is done."""

FREE = "save_every"
"""The one setting that may change: how often a training is saved changes nothing of it."""


def taken_up(
    folder: Path | None, about: Mapping[str, Any], earlier: Mapping[str, Any] | None = None
) -> Checkpoint | None:
    """The newest checkpoint of a training; None where there is none.

    Args:
        folder: of the checkpoints, or None.
        about: what tells the training from others; a checkpoint's own account of it must be the same. Of `settings`,
            all but `save_every` count.
        earlier: what checkpoints of earlier versions do not tell.

    Raises:
        OrthoDiffusionError: BAD_SETTINGS, when the folder holds another training.
    """
    found = None if folder is None else latest_checkpoint(folder)
    if folder is not None and next(folder.glob(f"*/{PREFIX}*"), None) is not None:
        raise _another_training()
    if found is None:
        return None
    filled = {**(earlier or {}), **found.about}
    filled["settings"] = {**(earlier or {}).get("settings", {}), **filled["settings"]}
    if any(_compared(key, filled.get(key)) != _compared(key, value) for key, value in about.items()):
        raise _another_training()
    return found


def check_parts(folder: Path, about: Mapping[str, Any]) -> None:
    """Refuse, before long work, a folder of several networks' checkpoints that holds another training.

    Args:
        folder: with a folder for each network, or with nothing, or not there.
        about: as for `taken_up`, of all of them.

    Raises:
        OrthoDiffusionError: BAD_SETTINGS.
    """
    if next(folder.glob(f"{PREFIX}*"), None) is not None:
        raise _another_training()
    for part in sorted({path.parent for path in folder.glob(f"*/{PREFIX}*")}):
        taken_up(part, about)


def _another_training() -> OrthoDiffusionError:
    return OrthoDiffusionError(
        ErrorKind.BAD_SETTINGS,
        "The output folder holds an unfinished training with another start, other studies or other settings.",
        "Choose another folder, or what it was started with.",
    )


def _compared(key: str, value: Any) -> Any:
    if key != "settings":
        return value
    return {name: setting for name, setting in value.items() if name != FREE}
