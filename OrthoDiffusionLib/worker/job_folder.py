"""The private folder that a worker's temporary files lie in, so that nothing of a patient outlives the job.

Its owner keeps a lock on a file in it for as long as the owner lives; the system gives the lock up with the process,
however that ends. So a folder whose lock can be taken is one that nobody will remove any more. On a file system without
locks there is no such file, and its folders are the owner's alone to remove: nobody else can tell whether it lives.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError, is_disk_full

JOB_FOLDER_VARIABLE = "ORTHODIFFUSION_JOB_FOLDER"
JOB_PREFIX = "orthodiffusion-worker-"
LOCK_FILE = "owner.lock"

YOUNG_SECONDS = 60.0
"""Folders in which something was made or removed so short a time ago are not swept: one may be just being made, and not
locked yet."""


class JobFolder:
    """A new folder that only this user can enter (mode 0700), until `remove` is called.

    Making one also removes those that killed processes of this user have left.

    Attributes:
        path: of the folder.

    Raises:
        OrthoDiffusionError: OUTPUT_NOT_WRITABLE or DISK_FULL, when there is no place for temporary files.
    """

    def __init__(self) -> None:
        remove_stale_folders()
        try:
            self.path = Path(tempfile.mkdtemp(prefix=JOB_PREFIX))
        except OSError as error:
            raise _no_place(error) from error
        try:
            self._lock = (self.path / LOCK_FILE).open("wb")
        except OSError as error:
            shutil.rmtree(self.path, ignore_errors=True)
            raise _no_place(error) from error
        try:
            _take(self._lock)
        except OSError:
            # A file system without locks, such as Lustre often is.
            self._lock.close()
            with contextlib.suppress(OSError):
                (self.path / LOCK_FILE).unlink()

    @property
    def token(self) -> str:
        """What tells this folder from all others, on whatever machine: the random part of its name."""
        return self.path.name.removeprefix(JOB_PREFIX)

    def remove(self) -> None:
        """Remove the folder and what is in it; calling twice is fine."""
        # Windows does not remove an open file.
        self._lock.close()
        remove_folder(self.path)


def remove_stale_folders() -> None:
    """Remove this user's job folders whose owner has died without removing them; no other folder is touched."""
    folders: list[Path] = []
    with contextlib.suppress(OSError):
        folders += Path(tempfile.gettempdir()).glob(f"{JOB_PREFIX}*")
    for folder in folders:
        # One without a lock is being removed, or lies where there are no locks.
        with contextlib.suppress(OSError):
            if folder.is_symlink() or not _is_mine(folder) or _is_young(folder):
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


def _is_mine(folder: Path) -> bool:
    # Windows gives each user a folder for temporary files.
    return sys.platform == "win32" or folder.stat().st_uid == os.getuid()


def _is_young(folder: Path) -> bool:
    return time.time() - folder.stat().st_mtime < YOUNG_SECONDS


def _no_place(error: OSError) -> OrthoDiffusionError:
    full = is_disk_full(error)
    variable = "TEMP" if sys.platform == "win32" else "TMPDIR"
    return OrthoDiffusionError(
        ErrorKind.DISK_FULL if full else ErrorKind.OUTPUT_NOT_WRITABLE,
        "The disk for temporary files is full." if full else "No folder for temporary files can be written to.",
        f"Free some space, or name another folder in the environment variable {variable}.",
        detail=str(error),
    )


def _take(lock: IO[bytes]) -> None:
    """Lock an open file, or raise OSError at once when a living process has it."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(lock.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
