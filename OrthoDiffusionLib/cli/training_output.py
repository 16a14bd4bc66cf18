"""The output folder of a training: a finished one is not trained over."""

from __future__ import annotations

from pathlib import Path

from OrthoDiffusionLib.cli.reporting import check_writable
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError


def check_training_output(output: Path, description: str) -> None:
    """Refuse, before long work, a folder that cannot be filled, or that holds what an earlier training made.

    Args:
        output: folder of the training.
        description: name of the file that is written last, when all else is there.

    Raises:
        OrthoDiffusionError: OUTPUT_NOT_WRITABLE, DISK_FULL; USAGE for a finished training, which the same command would
            otherwise do once more, and write over.
    """
    from OrthoDiffusionLib.training.checkpoints import PREFIX
    from OrthoDiffusionLib.training.resuming import UNFINISHED

    check_writable(output)
    # Killed after its last file, before its checkpoints were removed, a training goes on from those and ends at once.
    checkpoints = (output / UNFINISHED).rglob(f"{PREFIX}*")
    if (output / description).exists() and next(checkpoints, None) is None:
        raise OrthoDiffusionError(
            ErrorKind.USAGE,
            "The output folder holds a finished training.",
            "Nothing is left to do there; to train anew, choose another folder, or remove this one.",
        )
