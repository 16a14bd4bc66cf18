"""Writing a bundle: all of it, with the hash of every file, or nothing."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from OrthoDiffusionLib.bundles.manifest import SCHEMA_VERSION, BundleManifest
from OrthoDiffusionLib.bundles.opening import Bundle, open_bundle
from OrthoDiffusionLib.bundles.registry import MANIFEST_FILE
from OrthoDiffusionLib.bundles.weights import weights_bytes
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError

INFERENCE_CONFIG = {
    "imports": ["$import pathlib", "$from OrthoDiffusionLib.inference import engine, request, watch"],
    "bundle_root": ".",
    "study": "study",
    "output_dir": "output",
    "engine": "$engine.Engine()",
    "request": "$request.StudyRequest(output=pathlib.Path(@output_dir), paths=(pathlib.Path(@study),),"
    " bundle=@bundle_root)",
    "run": ["$@engine.run(@request, watch.Unwatched())"],
}
"""A MONAI bundle's entry point: `python -m monai.bundle run run --config_file configs/inference.json --study DIR`."""


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
        description: of the manifest, without `schema_version` and `files`.
        weights: tensors of each weights file, by its name relative to the bundle, such as `models/axial.safetensors`.
        readme: the model card, Markdown.
        license_text: of the weights.

    Raises:
        OrthoDiffusionError: OUTPUT_NOT_WRITABLE, when the folder exists or its parent cannot be written.
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
    contents["docs/README.md"] = readme.encode()
    contents["LICENSE"] = license_text.encode()
    hashes = {name: hashlib.sha256(contents[name]).hexdigest() for name in sorted(contents)}
    manifest = BundleManifest.model_validate({"schema_version": SCHEMA_VERSION, **description, "files": hashes})
    contents[MANIFEST_FILE] = _json(manifest.model_dump(mode="json"))
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
        open_bundle(staging)
        staging.rename(folder)
    except OSError as error:
        raise _not_writable(error) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return open_bundle(folder)


def _json(content: object) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def _not_writable(error: OSError) -> OrthoDiffusionError:
    return OrthoDiffusionError(
        ErrorKind.OUTPUT_NOT_WRITABLE,
        "The bundle's folder cannot be written.",
        "Choose a folder that you may write to, on a disk with space.",
        detail=str(error),
    )
