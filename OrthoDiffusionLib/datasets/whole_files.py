"""Files that are there whole or not at all, whoever writes them at the same time."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4


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
