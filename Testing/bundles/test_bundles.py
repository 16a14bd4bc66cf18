"""A bundle is used only when every byte of it is what its manifest says."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.bundles.building import replace_card, write_bundle
from OrthoDiffusionLib.bundles.manifest import BundleManifest, Fusion
from OrthoDiffusionLib.bundles.opening import open_bundle, sha256_of
from OrthoDiffusionLib.bundles.registry import USER_FOLDER_VARIABLE, bundle_folders, find_bundle, list_bundles
from OrthoDiffusionLib.bundles.weights import read_weights
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.evaluation.report import with_measurements
from OrthoDiffusionLib.inference.model import load_model
from OrthoDiffusionLib.networks.config import UNetConfig
from OrthoDiffusionLib.networks.encoder import DenoisingEncoder
from OrthoDiffusionLib.resources import RESOURCES_VARIABLE

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


def test_a_notice_says_what_the_intended_use_leaves_unsaid(tiny: Path) -> None:
    manifest = open_bundle(tiny).manifest
    research, phantoms = "Research use only, not for diagnosis.", "Trained on synthetic phantoms only."
    assert manifest.notice() == f"Tests only. {phantoms} {research}"
    whole = f"A model of phantoms. {research}"
    assert manifest.model_copy(update={"intended_use": whole}).notice() == whole
    of_people = manifest.training_data.model_copy(update={"synthetic": False})
    assert manifest.model_copy(update={"training_data": of_people}).notice() == f"Tests only. {research}"


def test_what_is_not_used_is_not_written_for_programs_that_do_not_know_it(tiny: Path) -> None:
    manifest = open_bundle(tiny).manifest
    content = json.loads((tiny / MANIFEST).read_text())
    assert not {"pooling", "reads_structures", "reads_around"} & set(content["planes"]["axial"])
    assert content["fusion"] == {"gate": None}
    assert all(
        set(structure) == {"label", "key", "name", "color", "terminology"} for structure in content["structures"]
    )
    heads = {"pooling": "global_local", "reads_structures": True, "segmentation": WEIGHTS, "diagnosis": WEIGHTS}
    recipe = manifest.planes[Plane.AXIAL].model_copy(update=heads)
    fusion = Fusion(kind="gate", gate=WEIGHTS, training="Long.")
    richer = manifest.model_copy(update={"planes": {Plane.AXIAL: recipe}, "fusion": fusion})
    written = richer.written()
    assert BundleManifest.model_validate(written) == richer
    assert written["planes"]["axial"]["pooling"] == "global_local"
    assert written["planes"]["axial"]["reads_structures"] is True
    written["planes"]["axial"]["segmentation"] = None
    with pytest.raises(ValidationError, match="found by a segmentation decoder"):
        BundleManifest.model_validate(written)
    around = recipe.model_copy(update={"reads_around": True})
    written = richer.model_copy(update={"planes": {Plane.AXIAL: around}}).written()
    assert BundleManifest.model_validate(written).planes[Plane.AXIAL].reads_around
    written["planes"]["axial"]["reads_structures"] = False
    with pytest.raises(ValidationError, match="read only with these"):
        BundleManifest.model_validate(written)
    written = richer.written()
    assert written["fusion"] == {"gate": WEIGHTS, "training": "Long."}
    joint = load_joint("knee")
    in_one_piece = [structure.key for structure in joint.structures if structure.one_piece]
    whole = richer.model_copy(update={"structures": joint.structures})
    assert [row["key"] for row in whole.written()["structures"] if "one_piece" in row] == in_one_piece != []


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


def list_file(folder: Path, name: str, content: bytes | None = None) -> None:
    """Let the manifest list a file, with its right hash where it is given."""
    if content is not None:
        (folder / name).write_bytes(content)
    digest = hashlib.sha256(content or b"").hexdigest()
    edit_manifest(folder, lambda manifest: manifest["files"].update({name: digest}))


def model_card_as_weights(folder: Path) -> None:
    edit_manifest(folder, lambda manifest: manifest["planes"]["axial"].update(encoder="docs/README.md"))


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
    "unknown key": (lambda f: edit_manifest(f, lambda m: m.update(extra=1)), ErrorKind.BUNDLE_UNKNOWN_SCHEMA),
    "unknown key in damage": (
        lambda f: edit_manifest(f, lambda m: m.update(extra=1, planes={})),
        ErrorKind.BUNDLE_INVALID,
    ),
    "nested without end": (lambda f: (f / MANIFEST).write_bytes(b"[" * 200_000), ErrorKind.BUNDLE_INVALID),
    "path out of it": (lambda f: list_file(f, "../outside.txt"), ErrorKind.BUNDLE_INVALID),
    "path from the root": (lambda f: list_file(f, "/etc/hostname"), ErrorKind.BUNDLE_INVALID),
    "path of Windows": (lambda f: list_file(f, "..\\outside.txt"), ErrorKind.BUNDLE_INVALID),
    "drive of Windows": (lambda f: list_file(f, "C:/outside.txt"), ErrorKind.BUNDLE_INVALID),
    "weights elsewhere": (model_card_as_weights, ErrorKind.BUNDLE_INVALID),
    "a pickle": (lambda f: (f / "models/extra.pkl").write_bytes(b"\x80\x04."), ErrorKind.BUNDLE_UNSAFE),
    "a hidden pickle": (lambda f: (f / "docs/notes.txt").write_bytes(b"\x80\x04."), ErrorKind.BUNDLE_UNSAFE),
    "a torch file": (lambda f: (f / "models/model.pt").write_bytes(b"PK\x03\x04"), ErrorKind.BUNDLE_UNSAFE),
    "a listed pickle": (lambda f: list_file(f, "models/a.safetensors", b"\x80\x04."), ErrorKind.BUNDLE_UNSAFE),
    "a listed program": (lambda f: list_file(f, "configs/run.py", b"print()"), ErrorKind.BUNDLE_UNSAFE),
    "a listed text": (lambda f: list_file(f, "models/a.safetensors", b"cos\nsystem\n."), ErrorKind.BUNDLE_UNSAFE),
    "an unlisted file": (lambda f: (f / "models/more.safetensors").write_bytes(b"x"), ErrorKind.BUNDLE_UNSAFE),
    "a link": (lambda f: (f / "models/link.safetensors").symlink_to(f / WEIGHTS), ErrorKind.BUNDLE_UNSAFE),
}


IMPOSSIBLE: dict[str, Callable[[dict[str, Any]], object]] = {
    "no levels": lambda m: m["network"].update(channel_multipliers=[]),
    "one level": lambda m: m["network"].update(channel_multipliers=[1]),
    "a level without channels": lambda m: m["network"].update(channel_multipliers=[1, 0]),
    "more levels than halvings": lambda m: m["network"].update(channel_multipliers=[1] * 7),
    "a window that cannot be halved": lambda m: m["network"].update(window_size=33),
    "slices that cannot be halved": lambda m: m["network"].update(window_slices=17),
    "a block that is not there": lambda m: m["planes"]["axial"].update(block="input_99"),
    "the first block that is not there": lambda m: m["planes"]["axial"].update(block="input_4"),
    "a head on an input block": lambda m: m["planes"]["axial"].update(block="input_3", diagnosis=WEIGHTS),
    "a decoder of nothing": lambda m: (m["planes"]["axial"].update(segmentation=WEIGHTS), m.update(structures=[])),
    "a diagnosis of nothing": lambda m: (m["planes"]["axial"].update(diagnosis=WEIGHTS), m.update(findings=[])),
    "a joint of nobody": lambda m: m.update(joint="tail"),
    "a joint that is a path": lambda m: m.update(joint="../knee"),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_networks_that_cannot_be_are_refused(tiny: Path, tmp_path: Path, name: str) -> None:
    copy = shutil.copytree(tiny, tmp_path / "copy")
    edit_manifest(copy, IMPOSSIBLE[name])
    assert kind_of(lambda: open_bundle(copy)) is ErrorKind.BUNDLE_INVALID


def test_every_block_that_an_encoder_has_may_be_named(tiny: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny, tmp_path / "copy")
    for block in DenoisingEncoder(UNetConfig(32, (1, 1))).block_names:
        edit_manifest(copy, lambda manifest, block=block: manifest["planes"]["axial"].update(block=block))
        assert open_bundle(copy).manifest.planes[Plane.AXIAL].block == block


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampering_is_refused(tiny: Path, tmp_path: Path, name: str) -> None:
    tamper, kind = TAMPERINGS[name]
    copy = shutil.copytree(tiny, tmp_path / "copy")
    tamper(copy)
    assert kind_of(lambda: open_bundle(copy)) is kind


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_and_not_waited_for(tiny: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny, tmp_path / "copy")
    os.mkfifo(copy / "docs/pipe.txt")
    assert kind_of(lambda: open_bundle(copy)) is ErrorKind.BUNDLE_UNSAFE


def test_what_the_system_leaves_in_folders_is_no_harm(tiny: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny, tmp_path / "copy")
    (copy / ".DS_Store").write_bytes(b"\0")
    assert open_bundle(copy).manifest_sha256 == open_bundle(tiny).manifest_sha256


def test_entry_point_names_what_there_is(tiny: Path) -> None:
    config = json.loads((tiny / "configs/inference.json").read_text())
    targets = {key: dict(value) for key, value in config.items() if isinstance(value, dict)}
    assert targets.keys() == {"engine", "watch", "request"}
    for arguments in targets.values():
        module, name = arguments.pop("_target_").rsplit(".", 1)
        inspect.signature(getattr(importlib.import_module(module), name)).bind(**arguments)


def test_says_what_monai_asks_for(tiny: Path) -> None:
    metadata = json.loads((tiny / MANIFEST).read_text())
    words = {"version", "monai_version", "pytorch_version", "numpy_version", "task", "description", "authors"}
    assert words | {"copyright", "network_data_format"} <= metadata.keys()
    window = metadata["network_data_format"]["inputs"]["window"]
    assert (window["num_channels"], window["spatial_shape"], window["value_range"]) == (1, [16, 32, 32], [-1.0, 1.0])


def test_verifying_needs_no_torch(tiny: Path) -> None:
    code = "import sys, pathlib; from OrthoDiffusionLib.bundles.opening import open_bundle;"
    code += "open_bundle(pathlib.Path(sys.argv[1])); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code, str(tiny)], cwd=Path(__file__).parents[2], check=True)


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
    shutil.copytree(tiny, tmp_path / ".bundle-being-written")
    (shutil.copytree(tiny, tmp_path / "damaged") / MANIFEST).write_bytes(b"{")
    (tmp_path / "no bundle").mkdir()
    assert bundle_folders()["user"] == tmp_path
    damaged, good = (entry for entry in list_bundles() if entry.origin == "user")
    assert (good.name, good.title, good.folder, good.problem) == ("tiny", "Tiny", tmp_path / "tiny", None)
    assert damaged.name == "damaged" and damaged.problem
    assert find_bundle("tiny") == tmp_path / "tiny"
    assert find_bundle(str(tiny)) == tiny
    with pytest.raises(OrthoDiffusionError, match="tiny") as caught:
        find_bundle("unknown")
    assert caught.value.kind is ErrorKind.BUNDLE_NOT_FOUND


def test_the_default_is_a_usable_bundle_and_the_bundled_come_first(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resources = tmp_path / "Resources"
    (resources / "Schemas").mkdir(parents=True)
    monkeypatch.setenv(RESOURCES_VARIABLE, str(resources))
    monkeypatch.setenv(USER_FOLDER_VARIABLE, str(tmp_path / "own"))
    assert kind_of(lambda: find_bundle(None)) is ErrorKind.BUNDLE_NOT_FOUND
    own = shutil.copytree(tiny, tmp_path / "own/tiny")
    assert find_bundle(None) == own
    (shutil.copytree(tiny, resources / "Bundles/a-damaged-one") / MANIFEST).write_bytes(b"[]")
    bundled = shutil.copytree(tiny, resources / "Bundles/tiny")
    assert find_bundle(None) == find_bundle("tiny") == bundled


def test_a_new_model_card_changes_nothing_else(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(tiny, folder)
    before = open_bundle(folder)
    after = replace_card(before, with_measurements(before.card(), "## Measured\n\nfirst\n"))
    again = replace_card(after, with_measurements(after.card(), "## Measured\n\nsecond\n"))
    assert "first" not in again.card()
    assert again.card().endswith("\n## Measured\n\nsecond\n")
    changed = {name for name, digest in before.manifest.files.items() if again.manifest.files[name] != digest}
    assert changed == {"docs/README.md"}
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
