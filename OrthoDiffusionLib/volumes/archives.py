"""Zip archives, unpacked into a private folder that never outlives its use."""

from __future__ import annotations

import lzma
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError, is_disk_full
from OrthoDiffusionLib.volumes.refusals import truncated, unreadable

ZIP_MAGIC = b"PK\x03\x04"


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Unpack a zip into a temporary folder (mode 0700), and remove that folder whatever happens.

    Raises:
        OrthoDiffusionError: TRUNCATED_FILE, UNREADABLE_FILE (also for a member that points out of the archive, for one
            under a password, and for a name that is not UTF-8) or DISK_FULL.
    """
    if not zipfile.is_zipfile(path):
        raise truncated(detail="a zip without its directory")
    with tempfile.TemporaryDirectory(prefix="orthodiffusion-") as name:
        folder = Path(name)
        try:
            with zipfile.ZipFile(path) as archive:
                _unpack(archive, folder)
        except (zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError) as error:
            raise truncated(detail=type(error).__name__) from error
        except (RuntimeError, NotImplementedError, UnicodeDecodeError) as error:
            # zipfile raises these for passwords, for compressions it does not know, and for names that are not UTF-8.
            raise unreadable("zip", detail=type(error).__name__) from error
        except OSError as error:
            if is_disk_full(error):
                raise _too_full() from error
            raise
        yield folder


def _unpack(archive: zipfile.ZipFile, folder: Path) -> None:
    members = [member for member in archive.infolist() if not member.is_dir()]
    if sum(member.file_size for member in members) > shutil.disk_usage(folder).free:
        raise _too_full()
    for member in members:
        target = folder / _safe_name(member.filename)
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(member) as packed, open(target, "wb") as file:
            shutil.copyfileobj(packed, file)


def _too_full() -> OrthoDiffusionError:
    return OrthoDiffusionError(
        ErrorKind.DISK_FULL,
        "The disk for temporary files is too full to unpack the zip.",
        "Free some space, or unpack the zip yourself and choose the folder.",
    )


def _safe_name(name: str) -> PurePosixPath:
    inside = PurePosixPath(name.replace("\\", "/"))
    if inside.is_absolute() or ".." in inside.parts or PureWindowsPath(name).drive:
        raise unreadable("zip", detail="a member points out of the archive")
    return inside
