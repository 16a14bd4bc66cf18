"""A bundle is used only when every byte of it is what its manifest says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from OrthoDiffusionLib.anatomy import load_joint
from OrthoDiffusionLib.bundles.building import write_bundle
from OrthoDiffusionLib.bundles.opening import open_bundle, sha256_of
from OrthoDiffusionLib.bundles.registry import USER_FOLDER_VARIABLE, find_bundle, list_bundles
from OrthoDiffusionLib.bundles.weights import read_weights
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.inference.model import load_model
from OrthoDiffusionLib.networks.config import UNetConfig
from OrthoDiffusionLib.networks.encoder import DenoisingEncoder

MANIFEST = "configs/metadata.json"
WEIGHTS = "models/axial.safetensors"


def description(name: str = "tiny") -> dict[str, Any]:
    joint = load_joint("knee")
    return {
        "name": name,
        "version": "1.0.0",
        "title": "Tiny",
        "intended_use": "Tests only.",
        "license": "MIT",
        "monai_version": "1.6.1",
        "joint": "knee",
        "structures": [structure.model_dump(mode="json") for structure in joint.structures],
        "findings": [finding.model_dump(mode="json") for finding in joint.findings],
        "network": {"base_channels": 32, "channel_multipliers": [1, 1], "window_slices": 16, "window_size": 32},
        "planes": {"axial": {"timestep": 50, "block": "mid_0", "encoder": WEIGHTS, "encoder_training": "None."}},
        "training_data": {"description": "None.", "studies": 0, "synthetic": True, "seeds": "", "known_limits": []},
        "lineage": {"created_by": "a test", "created_on": "", "source": "random"},
    }


def tiny_weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return DenoisingEncoder(UNetConfig(32, (1, 1))).state_dict()


def write_tiny(folder: Path, **changes: Any) -> Path:
    weights = {WEIGHTS: changes.pop("weights", None) or tiny_weights()}
    write_bundle(folder, {**description(), **changes}, weights, "# Tiny\n", "MIT\n")
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("bundles") / "tiny")


def kind_of(action: Callable[[], object]) -> ErrorKind:
    with pytest.raises(OrthoDiffusionError) as caught:
        action()
    assert caught.value.sentence and caught.value.action
    return caught.value.kind


def test_opens_and_loads(tiny: Path) -> None:
    bundle = open_bundle(tiny)
    assert bundle.manifest_sha256 == sha256_of(tiny / MANIFEST)
    loaded = read_weights(bundle, WEIGHTS)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tiny_weights().items())
    assert not load_model(bundle, torch.device("cpu")).planes[next(iter(bundle.manifest.planes))].networks.training


def test_same_content_same_bytes(tiny: Path, tmp_path: Path) -> None:
    again = write_tiny(tmp_path / "again")
    for path in sorted(tiny.rglob("*")):
        if path.is_file():
            assert (again / path.relative_to(tiny)).read_bytes() == path.read_bytes()


def test_is_never_written_over_another(tiny: Path) -> None:
    before = sha256_of(tiny / MANIFEST)
    assert kind_of(lambda: write_tiny(tiny)) is ErrorKind.OUTPUT_NOT_WRITABLE
    assert sha256_of(tiny / MANIFEST) == before


def edit_manifest(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads((folder / MANIFEST).read_text())
    edit(content)
    (folder / MANIFEST).write_text(json.dumps(content))


def append(path: Path, data: bytes) -> None:
    path.write_bytes(path.read_bytes() + data)


def path_out_of_the_bundle(folder: Path) -> None:
    edit_manifest(folder, lambda m: m["files"].update({"../outside": "0" * 64}))


TAMPERINGS: dict[str, tuple[Callable[[Path], object], ErrorKind]] = {
    "changed weights": (lambda f: append(f / WEIGHTS, b"\0"), ErrorKind.BUNDLE_WRONG_HASH),
    "changed licence": (lambda f: append(f / "LICENSE", b"!"), ErrorKind.BUNDLE_WRONG_HASH),
    "newer schema": (lambda f: edit_manifest(f, lambda m: m.update(schema_version=2)), ErrorKind.BUNDLE_UNKNOWN_SCHEMA),
    "no schema": (lambda f: edit_manifest(f, lambda m: m.pop("schema_version")), ErrorKind.BUNDLE_UNKNOWN_SCHEMA),
    "no weights": (lambda f: (f / WEIGHTS).unlink(), ErrorKind.BUNDLE_MISSING_FILE),
    "no manifest": (lambda f: (f / MANIFEST).unlink(), ErrorKind.BUNDLE_MISSING_FILE),
    "no model card": (lambda f: (f / "docs/README.md").unlink(), ErrorKind.BUNDLE_MISSING_FILE),
    "damaged manifest": (lambda f: (f / MANIFEST).write_bytes(b'{"schema'), ErrorKind.BUNDLE_INVALID),
    "manifest is a list": (lambda f: (f / MANIFEST).write_bytes(b"[]"), ErrorKind.BUNDLE_INVALID),
    "unknown key": (lambda f: edit_manifest(f, lambda m: m.update(extra=1)), ErrorKind.BUNDLE_INVALID),
    "path out of it": (path_out_of_the_bundle, ErrorKind.BUNDLE_INVALID),
    "a pickle": (lambda f: (f / "models/extra.pkl").write_bytes(b"\x80\x04."), ErrorKind.BUNDLE_UNSAFE),
    "a hidden pickle": (lambda f: (f / "docs/notes.txt").write_bytes(b"\x80\x04."), ErrorKind.BUNDLE_UNSAFE),
    "a torch file": (lambda f: (f / "models/model.pt").write_bytes(b"PK\x03\x04"), ErrorKind.BUNDLE_UNSAFE),
    "an unlisted file": (lambda f: (f / "models/more.safetensors").write_bytes(b"x"), ErrorKind.BUNDLE_UNSAFE),
    "a link": (lambda f: (f / "models/link.safetensors").symlink_to(f / WEIGHTS), ErrorKind.BUNDLE_UNSAFE),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampering_is_refused(tiny: Path, tmp_path: Path, name: str) -> None:
    tamper, kind = TAMPERINGS[name]
    copy = shutil.copytree(tiny, tmp_path / "copy")
    tamper(copy)
    assert kind_of(lambda: open_bundle(copy)) is kind


def test_weights_exchanged_after_opening_are_refused(tiny: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny, tmp_path / "copy")
    bundle = open_bundle(copy)
    append(copy / WEIGHTS, b"\0")
    assert kind_of(lambda: read_weights(bundle, WEIGHTS)) is ErrorKind.BUNDLE_WRONG_HASH


@pytest.mark.parametrize("spoil", ["misshapen", "not a number", "missing"])
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, spoil: str) -> None:
    weights = tiny_weights()
    name = "input_blocks.0.0.weight"
    if spoil == "misshapen":
        weights[name] = weights[name][:16]
    elif spoil == "not a number":
        weights[name] = weights[name] * float("nan")
    else:
        del weights[name]
    bundle = open_bundle(write_tiny(tmp_path / "spoilt", weights=weights))
    assert kind_of(lambda: load_model(bundle, torch.device("cpu"))) is ErrorKind.BUNDLE_INVALID


def test_registry(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(USER_FOLDER_VARIABLE, str(tmp_path))
    shutil.copytree(tiny, tmp_path / "tiny")
    (tmp_path / "no bundle").mkdir()
    entries = list_bundles()
    assert [entry.name for entry in entries if entry.origin == "user"] == ["tiny"]
    assert find_bundle("tiny") == tmp_path / "tiny"
    assert find_bundle(str(tiny)) == tiny
    assert kind_of(lambda: find_bundle("unknown")) is ErrorKind.BUNDLE_NOT_FOUND
