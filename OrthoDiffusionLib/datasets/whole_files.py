"""Folders and files to write: files are there whole or not at all, whoever writes them at the same time."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError, is_disk_full


def made_folder(path: Path) -> Path:
    """Make a folder, and those that it lies in, unless they are there.

    Raises:
        OSError: when the disk is full.
        OrthoDiffusionError: OUTPUT_NOT_WRITABLE for anything else that the system says.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if is_disk_full(error):
            raise
        # Some systems say of a place where nothing can be made that there is no such folder.
        raise OrthoDiffusionError(
            ErrorKind.OUTPUT_NOT_WRITABLE,
            "A folder cannot be made.",
            "Choose an output, and a cache if you name one, in a folder that you may write to.",
            detail=str(error),
        ) from error
    return path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside its place, and then put it there; one that is there already is replaced.

    Not as safetensors' `save_file` does it, after which nobody but its owner may read the file, whatever the umask, and
    whose error does not say that a disk is full.

    Args:
        path: in a folder that exists.
        content: all of it.

    Raises:
        OSError: what the system says; nothing is left of the file then.
    """
    # The number of a process would not do: containers of two machines that share a folder often have the same.
    unfinished = path.with_name(f"{path.name}.{uuid4().hex}.part")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
