"""Writing a bundle: all of it, with the hash of every file, or nothing."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch

from OrthoDiffusionLib.bundles.manifest import SCHEMA_VERSION, BundleManifest
from OrthoDiffusionLib.bundles.opening import CARD_FILE, LICENSE_FILE, Bundle, open_bundle
from OrthoDiffusionLib.bundles.registry import MANIFEST_FILE
from OrthoDiffusionLib.bundles.weights import weights_bytes
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError, is_disk_full

INFERENCE_CONFIG = {
    "imports": ["$import pathlib"],
    "bundle_root": ".",
    "study": "study",
    "output_dir": "output",
    "engine": {"_target_": "OrthoDiffusionLib.inference.engine.Engine"},
    "watch": {"_target_": "OrthoDiffusionLib.inference.watch.Unwatched"},
    "request": {
        "_target_": "OrthoDiffusionLib.inference.request.StudyRequest",
        "output": "$pathlib.Path(@output_dir)",
        "paths": "$(pathlib.Path(@study),)",
        "bundle": "@bundle_root",
    },
    "run": ["$@engine.run(@request, @watch)"],
}
"""A MONAI bundle's entry point: `python -m monai.bundle run --config_file configs/inference.json --study DIR`."""


def write_bundle(
    folder: Path,
    description: Mapping[str, Any],
    weights: Mapping[str, Mapping[str, torch.Tensor]],
    readme: str,
    license_text: str,
) -> Bundle:
    """Write a bundle in the MONAI layout and verify it.

    Args:
        folder: of the bundle; must not exist yet.
        description: of the manifest, without `schema_version` and `files`; versions of packages and MONAI's
            `network_data_format` are filled in where it has none.
        weights: tensors of each weights file, by its name relative to the bundle, such as `models/axial.safetensors`.
        readme: the model card, Markdown.
        license_text: of the weights.

    Raises:
        OrthoDiffusionError: OUTPUT_NOT_WRITABLE, when the folder exists or its parent cannot be written; DISK_FULL.
        pydantic.ValidationError: for a description that makes no valid manifest.
    """
    if folder.exists():
        raise OrthoDiffusionError(
            ErrorKind.OUTPUT_NOT_WRITABLE,
            "The bundle's folder exists already.",
            "Choose a new folder; a bundle is never written over another.",
        )
    contents = {name: weights_bytes(tensors) for name, tensors in weights.items()}
    contents["configs/inference.json"] = _json(INFERENCE_CONFIG)
    contents[CARD_FILE] = readme.encode()
    contents[LICENSE_FILE] = license_text.encode()
    hashes = {name: hashlib.sha256(contents[name]).hexdigest() for name in sorted(contents)}
    manifest = BundleManifest.model_validate(
        {"schema_version": SCHEMA_VERSION, **_package_versions(), **description, "files": hashes}
    )
    if manifest.network_data_format is None:
        manifest = manifest.model_copy(update={"network_data_format": manifest.data_format()})
    contents[MANIFEST_FILE] = _json(manifest.written())
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".bundle-", dir=folder.parent))
    except OSError as error:
        raise _not_writable(error) from error
    try:
        for name, content in contents.items():
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            (staging / name).write_bytes(content)
        staging.chmod(0o755)
        verified = open_bundle(staging)
        staging.rename(folder)
    except OSError as error:
        raise _not_writable(error) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return replace(verified, folder=folder)


def replace_card(bundle: Bundle, card: str) -> Bundle:
    """Give a bundle another model card; its manifest's hashes follow, everything else stays as it is.

    Args:
        bundle: opened, and so verified.
        card: Markdown.

    Raises:
        OrthoDiffusionError: OUTPUT_NOT_WRITABLE, DISK_FULL.
    """
    manifest = json.loads((bundle.folder / MANIFEST_FILE).read_text(encoding="utf-8"))
    manifest["files"][CARD_FILE] = hashlib.sha256(card.encode()).hexdigest()
    parent = bundle.folder.parent
    try:
        staging = Path(tempfile.mkdtemp(prefix=".bundle-", dir=parent))
    except OSError as error:
        raise _not_writable(error) from error
    try:
        changed, replaced = staging / "new", staging / "old"
        shutil.copytree(bundle.folder, changed)
        (changed / CARD_FILE).write_bytes(card.encode())
        (changed / MANIFEST_FILE).write_bytes(_json(manifest))
        verified = open_bundle(changed)
        bundle.folder.rename(replaced)
        try:
            changed.rename(bundle.folder)
        except OSError:
            replaced.rename(bundle.folder)
            raise
    except OSError as error:
        raise _not_writable(error) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return replace(verified, folder=bundle.folder)


def _package_versions() -> dict[str, Any]:
    # Without the part that names the build: a bundle does not depend on whether torch was built for a GPU.
    pytorch = torch.__version__.split("+")[0]
    return {
        "pytorch_version": pytorch,
        "numpy_version": np.__version__,
        "required_packages_version": {"safetensors": safetensors.__version__},
    }


def _json(content: object) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def _not_writable(error: OSError) -> OrthoDiffusionError:
    if is_disk_full(error):
        return OrthoDiffusionError(
            ErrorKind.DISK_FULL,
            "The disk is full; the bundle was not written.",
            "Free some space, or choose a folder on another disk.",
            detail=str(error),
        )
    return OrthoDiffusionError(
        ErrorKind.OUTPUT_NOT_WRITABLE,
        "The bundle's folder cannot be written.",
        "Choose a folder that you may write to, on a disk with space.",
        detail=str(error),
    )
