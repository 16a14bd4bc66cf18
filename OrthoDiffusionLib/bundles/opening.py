"""Opening a bundle: everything in it is verified before anything of it is used."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from OrthoDiffusionLib.anatomy import joint_names
from OrthoDiffusionLib.bundles.manifest import SCHEMA_VERSION, WEIGHTS_SUFFIX, BundleManifest, FusionKind, Pooling
from OrthoDiffusionLib.bundles.registry import MANIFEST_FILE
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError

CARD_FILE = "docs/README.md"
LICENSE_FILE = "LICENSE"
REQUIRED_FILES = ("configs/inference.json", CARD_FILE, LICENSE_FILE)
IGNORED_NAMES = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})

HARMLESS_SUFFIXES = frozenset({WEIGHTS_SUFFIX, ".json", ".yaml", ".md", ".txt", ".csv", ".png"})
NAMES_WITHOUT_SUFFIX = frozenset({LICENSE_FILE, "NOTICE"})
"""Anything of another kind is refused; so a format that can carry code need not be known by name."""

PICKLE_PROTOCOL_BYTES = frozenset(range(2, 6))
SAFETENSORS_HEADER_LIMIT = 100_000_000
"""Bytes; the limit of the safetensors format itself."""

ZIP_MAGIC = b"PK\x03\x04"


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files are those that its manifest lists.

    Attributes:
        folder: that it lies in.
        manifest: what it says about itself.
        manifest_sha256: of the manifest's file, which holds the hashes of all others.
    """

    folder: Path
    manifest: BundleManifest
    manifest_sha256: str

    def card(self) -> str:
        """The model card, Markdown."""
        return (self.folder / CARD_FILE).read_text(encoding="utf-8")


def open_bundle(folder: Path) -> Bundle:
    """Verify a bundle.

    Raises:
        OrthoDiffusionError: BUNDLE_MISSING_FILE; BUNDLE_UNKNOWN_SCHEMA for a manifest of another version, or one that
            names a pooling, a fusion or a key that this program does not know; BUNDLE_INVALID for one that does not
            validate, or is of a joint that has no schema here; BUNDLE_UNSAFE for a pickle, a link, a file that the
            manifest does not list, or one of a kind that has no place in a bundle; BUNDLE_WRONG_HASH for a file that is
            not the one listed.
    """
    manifest_path = folder / MANIFEST_FILE
    try:
        if not manifest_path.is_file():
            raise _missing(MANIFEST_FILE)
        content = manifest_path.read_bytes()
        manifest = _read_manifest(content)
        _refuse_unknown_joint(manifest)
        for name in (*REQUIRED_FILES, *manifest.files):
            if not (folder / name).is_file():
                raise _missing(name)
        _refuse_strangers(folder, manifest)
        for name, expected in manifest.files.items():
            check_hash(name, sha256_of(folder / name), expected)
    except OSError as error:
        raise OrthoDiffusionError(
            ErrorKind.BUNDLE_MISSING_FILE,
            "A file of the bundle cannot be read.",
            "Check that you may read the bundle's folder, or get the bundle again.",
            detail=str(error),
        ) from error
    return Bundle(folder, manifest, hashlib.sha256(content).hexdigest())


def check_hash(name: str, computed: str, expected: str) -> None:
    """Compare a file's hash with the manifest's.

    Raises:
        OrthoDiffusionError: BUNDLE_WRONG_HASH.
    """
    if computed != expected:
        raise OrthoDiffusionError(
            ErrorKind.BUNDLE_WRONG_HASH,
            f"The file {name} of the bundle is not the one that its manifest lists.",
            "Get the bundle again from where it came from; do not use this copy.",
            detail=f"{name}: expected {expected}, found {computed}",
        )


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _read_manifest(content: bytes) -> BundleManifest:
    invalid = OrthoDiffusionError(
        ErrorKind.BUNDLE_INVALID, "The bundle's manifest is damaged.", "Get the bundle again from where it came from."
    )
    try:
        raw = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise invalid from error
    if not isinstance(raw, dict):
        raise invalid
    version = raw.get("schema_version")
    if version != SCHEMA_VERSION:
        raise OrthoDiffusionError(
            ErrorKind.BUNDLE_UNKNOWN_SCHEMA,
            f"The bundle's manifest has the schema version {version!r}; this program knows {SCHEMA_VERSION}.",
            "Update OrthoDiffusion, or choose another bundle.",
        )
    _refuse_unknown_kinds(raw)
    try:
        return BundleManifest.model_validate(raw)
    except ValidationError as error:
        unknown = [".".join(map(str, problem["loc"])) for problem in error.errors()]
        if all(problem["type"] == "extra_forbidden" for problem in error.errors()):
            raise OrthoDiffusionError(
                ErrorKind.BUNDLE_UNKNOWN_SCHEMA,
                f"The bundle's manifest says something that this program does not know, {unknown[0][:60]!r}.",
                "Update OrthoDiffusion, or choose another bundle.",
                detail=", ".join(unknown),
            ) from error
        invalid.detail = str(error)
        raise invalid from error


def _refuse_unknown_kinds(raw: dict[str, Any]) -> None:
    """A kind of network that a newer version may have brought is no damage, and is said by its name."""
    planes = raw.get("planes")
    recipes = planes.values() if isinstance(planes, dict) else ()
    named = [("fusion of the planes", raw.get("fusion"), "kind", get_args(FusionKind))]
    named += [("pooling", recipe, "pooling", get_args(Pooling)) for recipe in recipes]
    for what, part, key, known in named:
        kind = part.get(key) if isinstance(part, dict) else None
        if isinstance(kind, str) and kind not in known:
            raise OrthoDiffusionError(
                ErrorKind.BUNDLE_UNKNOWN_SCHEMA,
                f"The bundle has a {what} that this program does not know, {kind[:40]!r}.",
                "Update OrthoDiffusion, or choose another bundle.",
            )


def _refuse_unknown_joint(manifest: BundleManifest) -> None:
    # Not the manifest's own to check: that is read without the Resources folder, too.
    if manifest.joint not in joint_names():
        raise OrthoDiffusionError(
            ErrorKind.BUNDLE_INVALID,
            f"The bundle is for a joint that this program does not know, {manifest.joint[:40]!r}.",
            "Update OrthoDiffusion, or choose another bundle.",
        )


def _refuse_strangers(folder: Path, manifest: BundleManifest) -> None:
    listed = {MANIFEST_FILE, *manifest.files}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise _unsafe(f"{name} is a link")
        if path.is_dir() or path.name in IGNORED_NAMES:
            continue
        if not path.is_file():
            raise _unsafe(f"{name} is no ordinary file")
        if path.suffix.lower() not in HARMLESS_SUFFIXES and path.name not in NAMES_WITHOUT_SUFFIX:
            raise _unsafe(f"{name} is of a kind that can carry code")
        if _looks_like_pickle(path):
            raise _unsafe(f"{name} is a pickle or an archive under another name")
        if name not in listed:
            raise _unsafe(f"{name} is not listed in the manifest")
        if path.suffix.lower() == WEIGHTS_SUFFIX and not _looks_like_safetensors(path):
            raise _unsafe(f"{name} is not a safetensors file")


def _looks_like_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(4)
    return start == ZIP_MAGIC or (len(start) > 1 and start[0] == 0x80 and start[1] in PICKLE_PROTOCOL_BYTES)


def _looks_like_safetensors(path: Path) -> bool:
    """Whether the file begins with the length of its JSON header, eight bytes little-endian, and with that header."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        start = file.read(1)
    return start == b"{" and 2 <= length <= min(path.stat().st_size - 8, SAFETENSORS_HEADER_LIMIT)


def _missing(name: str) -> OrthoDiffusionError:
    return OrthoDiffusionError(
        ErrorKind.BUNDLE_MISSING_FILE,
        f"The bundle lacks the file {name}.",
        "Choose the folder that holds configs, models and docs, or get the bundle again.",
    )


def _unsafe(reason: str) -> OrthoDiffusionError:
    return OrthoDiffusionError(
        ErrorKind.BUNDLE_UNSAFE,
        f"The bundle is refused because {reason}.",
        "Use a bundle whose weights are safetensors files; import published checkpoints with"
        " “orthodiffusion bundle import-published”.",
    )
