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
    """A bundle that can be asked for by name; it has not been verified yet."""

    name: str
    title: str
    folder: Path
    origin: Literal["bundled", "user"]


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


def list_bundles() -> list[BundleEntry]:
    """Bundles that have a readable name, the bundled ones first, each group in order of its folders' names.

    A user's bundle of the same name stands behind the bundled one and is found by its folder only.
    """
    entries = []
    for folder, origin in ((resources_folder() / "Bundles", "bundled"), (user_folder(), "user")):
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            named = _name_and_title(path / MANIFEST_FILE)
            if named is not None:
                entries.append(BundleEntry(*named, path, "bundled" if origin == "bundled" else "user"))
    return entries


def _name_and_title(manifest: Path) -> tuple[str, str] | None:
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        return str(content["name"]), str(content["title"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def find_bundle(name_or_folder: str | None) -> Path:
    """The folder of a bundle.

    Args:
        name_or_folder: a name of `list_bundles()`, a folder, or None for the first bundled one.

    Raises:
        OrthoDiffusionError: BUNDLE_NOT_FOUND.
    """
    entries = list_bundles()
    if name_or_folder is None and entries:
        return entries[0].folder
    if name_or_folder is not None:
        for entry in entries:
            if entry.name == name_or_folder:
                return entry.folder
        if Path(name_or_folder).is_dir():
            return Path(name_or_folder)
    known = ", ".join(entry.name for entry in entries) or "none yet"
    raise OrthoDiffusionError(
        ErrorKind.BUNDLE_NOT_FOUND,
        f"There is no bundle “{name_or_folder}”." if name_or_folder else "No bundle is installed.",
        f"Choose a bundle's folder, or one of the installed bundles: {known}.",
    )
