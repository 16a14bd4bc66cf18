"""The private folder that a worker's temporary files lie in, so that nothing of a patient outlives the job.

Its owner keeps a lock on a file in it for as long as the owner lives; the system gives the lock up with the process,
however that ends. So a folder whose lock can be taken is one that nobody will remove any more.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import IO

JOB_FOLDER_VARIABLE = "ORTHODIFFUSION_JOB_FOLDER"
JOB_PREFIX = "orthodiffusion-worker-"
STAGING_PREFIX = ".orthodiffusion-"
LOCK_FILE = "owner.lock"


class JobFolder:
    """A new folder that only this user can enter (mode 0700), until `remove` is called.

    Making one also removes those that killed processes of this user have left.

    Attributes:
        path: of the folder.
    """

    def __init__(self) -> None:
        remove_stale_folders()
        self.path = Path(tempfile.mkdtemp(prefix=JOB_PREFIX))
        self._lock = (self.path / LOCK_FILE).open("wb")
        _take(self._lock)

    def remove(self) -> None:
        """Remove the folder and what is in it; calling twice is fine."""
        # Windows does not remove an open file.
        self._lock.close()
        remove_folder(self.path)


def remove_stale_folders() -> None:
    """Remove this user's job folders whose owner has died without removing them; no other folder is touched."""
    for folder in Path(tempfile.gettempdir()).glob(f"{JOB_PREFIX}*"):
        # One without a lock is just being made, or being removed.
        with contextlib.suppress(OSError):
            if folder.is_symlink() or not _is_mine(folder):
                continue
            with (folder / LOCK_FILE).open("r+b") as lock:
                _take(lock)
            remove_folder(folder)


def remove_folder(folder: Path) -> None:
    """Remove a job folder and what is in it; one that is gone already is no error.

    Its lock goes last, with the folder: what cannot be removed now keeps it, so that the next sweep finds the rest.
    """
    if folder.is_symlink():
        return
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != LOCK_FILE:
                with contextlib.suppress(OSError):
                    path.unlink()
        if all(path.name == LOCK_FILE for path in folder.iterdir()):
            shutil.rmtree(folder, ignore_errors=True)


def remove_staging(output: Path, process: int) -> None:
    """Remove the unfinished results that a dead worker left beside its output.

    Args:
        output: that the worker was to write.
        process: the worker's process id.
    """
    for folder in output.parent.glob(f"{STAGING_PREFIX}{process}-*"):
        shutil.rmtree(folder, ignore_errors=True)


def _is_mine(folder: Path) -> bool:
    # Windows gives each user a folder for temporary files.
    return sys.platform == "win32" or folder.stat().st_uid == os.getuid()


def _take(lock: IO[bytes]) -> None:
    """Lock an open file, or raise OSError at once when a living process has it."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(lock.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
