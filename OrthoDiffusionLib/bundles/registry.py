"""Which bundles there are: those that come with OrthoDiffusion, and the person's own."""

from __future__ import annotations

import json
import os
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
        problem: one sentence, when the manifest shows already that the bundle cannot be used.
    """

    name: str
    title: str
    folder: Path
    origin: Literal["bundled", "user"]
    problem: str | None = None


def user_folder() -> Path:
    """Where a person's own bundles lie: named by ORTHODIFFUSION_BUNDLES, or the system's place for programs' data."""
    named = os.environ.get(USER_FOLDER_VARIABLE)
    if named:
        return Path(named)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local" / "share"))
    return base / "orthodiffusion" / "bundles"


def bundle_folders() -> dict[Literal["bundled", "user"], Path]:
    """The folders that hold bundles, by origin, in the order in which they are searched; either may not exist.

    Raises:
        OrthoDiffusionError: FILE_NOT_FOUND, when OrthoDiffusion's Resources folder is missing.
    """
    return {"bundled": resources_folder() / "Bundles", "user": user_folder()}


def list_bundles() -> list[BundleEntry]:
    """Bundles of `bundle_folders()`, each group in order of its folders' names; nothing is verified.

    A user's bundle of the same name stands behind the bundled one and is found by its folder only.
    """
    return [
        _entry(path, origin)
        for origin, folder in bundle_folders().items()
        if folder.is_dir()
        for path in sorted(folder.iterdir())
        # A name that begins with a point is a bundle that is just being written.
        if not path.name.startswith(".") and (path / MANIFEST_FILE).is_file()
    ]


def _entry(folder: Path, origin: Literal["bundled", "user"]) -> BundleEntry:
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
        if Path(name_or_folder).is_dir():
            return Path(name_or_folder)
    known = ", ".join(entry.name for entry in usable) or "none yet"
    raise OrthoDiffusionError(
        ErrorKind.BUNDLE_NOT_FOUND,
        f"There is no bundle “{name_or_folder}”." if name_or_folder else "No bundle is installed.",
        f"Choose a bundle's folder, or one of the installed bundles: {known}.",
    )
