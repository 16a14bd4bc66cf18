"""Which bundles there are: those that come with OrthoDiffusion, and the person's own."""

from __future__ import annotations

import json
import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.resources import resources_folder

USER_FOLDER_VARIABLE = "ORTHODIFFUSION_BUNDLES"
MANIFEST_FILE = "configs/metadata.json"


@dataclass(frozen=True)
class BundleEntry:
    """A bundle that can be asked for by name; its files have not been verified yet.

    Attributes:
        name: in its manifest, or the folder's where the manifest cannot be read.
        title: for people.
        folder: that it lies in.
        origin: whether it came with OrthoDiffusion or lies in the person's own folder.
        problem: one sentence, when it shows already that the bundle cannot be used.
    """

    name: str
    title: str
    folder: Path
    origin: Literal["bundled", "user"]
    problem: str | None = None


def user_folder() -> Path | None:
    """Where a person's own bundles lie: named by ORTHODIFFUSION_BUNDLES, or the system's place for programs' data.

    None for a user who has no home, as in some containers.
    """
    named = os.environ.get(USER_FOLDER_VARIABLE)
    if named:
        return Path(named)
    variable = {"win32": "LOCALAPPDATA", "darwin": None}.get(sys.platform, "XDG_DATA_HOME")
    data = os.environ.get(variable) if variable else None
    try:
        base = Path(data) if data else _data_folder_at_home()
    except RuntimeError:
        return None
    return base / "orthodiffusion" / "bundles"


def _data_folder_at_home() -> Path:
    """The usual place for programs' data; RuntimeError for a user without a home."""
    if sys.platform == "win32":
        return Path.home() / "AppData" / "Local"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    return Path.home() / ".local" / "share"


def bundle_folders() -> dict[Literal["bundled", "user"], Path]:
    """The folders that hold bundles, by origin, in the order in which they are searched; either may not exist.

    There is no `user` among them for a user without a home.

    Raises:
        OrthoDiffusionError: FILE_NOT_FOUND, when OrthoDiffusion's Resources folder is missing.
    """
    folders: dict[Literal["bundled", "user"], Path] = {"bundled": resources_folder() / "Bundles"}
    if (own := user_folder()) is not None:
        folders["user"] = own
    return folders


def list_bundles() -> list[BundleEntry]:
    """Bundles of `bundle_folders()`, each group in order of its folders' names; nothing is verified.

    A user's bundle of the same name stands behind the bundled one and is found by its folder only. What cannot be read
    keeps none of the others from being listed.
    """
    entries = [_entry(path, origin) for origin, folder in bundle_folders().items() for path in _candidates(folder)]
    return [entry for entry in entries if entry is not None]


def _candidates(folder: Path) -> list[Path]:
    try:
        # A name that begins with a point is a bundle that is just being written.
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []


def _entry(folder: Path, origin: Literal["bundled", "user"]) -> BundleEntry | None:
    """The entry of a folder; None for one without a manifest, which is no bundle."""
    try:
        if not stat.S_ISREG((folder / MANIFEST_FILE).stat().st_mode):
            return None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return BundleEntry(folder.name, folder.name, folder, origin, problem="Its folder cannot be read.")
    try:
        content = json.loads((folder / MANIFEST_FILE).read_bytes())
        return BundleEntry(str(content["name"]), str(content["title"]), folder, origin)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return BundleEntry(folder.name, folder.name, folder, origin, problem="Its manifest cannot be read.")


def find_bundle(name_or_folder: str | None) -> Path:
    """The folder of a bundle.

    Args:
        name_or_folder: a name of `list_bundles()`, a folder, or None for the first usable one, the bundled first.

    Raises:
        OrthoDiffusionError: BUNDLE_NOT_FOUND.
    """
    entries = list_bundles()
    usable = [entry for entry in entries if entry.problem is None]
    if name_or_folder is None and usable:
        return usable[0].folder
    if name_or_folder is not None:
        for entry in entries:
            if entry.name == name_or_folder:
                return entry.folder
        # Unlike Path.is_dir, it answers for a folder within one that may not be entered, too.
        if os.path.isdir(name_or_folder):
            return Path(name_or_folder)
    known = ", ".join(entry.name for entry in usable) or "none yet"
    raise OrthoDiffusionError(
        ErrorKind.BUNDLE_NOT_FOUND,
        f"There is no bundle “{name_or_folder}”." if name_or_folder else "No bundle is installed.",
        f"Choose a bundle's folder, or one of the installed bundles: {known}.",
    )
