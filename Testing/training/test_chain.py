"""The whole chain as a hospital runs it: pre-train, probe, fine-tune, export, run. Tiny, through the commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import nibabel
import numpy as np
import torch
import yaml
from safetensors.torch import load_file
from tiny_dataset import write_dataset

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.bundles.opening import open_bundle
from OrthoDiffusionLib.training.trained_encoders import pretrained_encoder

CARD = {
    "name": "tiny", "version": "0.0.1", "title": "A tiny model", "license": "MIT", "license_text": "MIT",
    "authors": "nobody", "copyright": "nobody", "data": "Bright balls.", "studies": 8, "synthetic": True,
    "known_limits": ["Knows nothing but balls."],
}  # fmt: skip


def orthodiffusion(*arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "OrthoDiffusionLib.cli.app", *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_from_images_to_a_bundle_that_runs(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, (Plane.AXIAL, Plane.CORONAL))
    tiny = ["--set=channel_multipliers=[1, 1, 1, 2]", "--set=window_size=32", "--set=sample_every=3", "--set=batch=2"]
    folders = {}
    for plane in ("axial", "coronal"):
        common = ["--plane", plane, "--dataset", dataset, "--cache", tmp_path / "cache"]
        pretrained, segmenting, both = (tmp_path / f"{plane}-{name}" for name in ("pretrained", "segmenting", "both"))
        orthodiffusion("pretrain", *common, "--output", pretrained, "--accelerator", "cpu", "--set=steps=3", *tiny)
        assert matplotlib.image.imread(pretrained / "samples-00000003.png").max() > 0
        told = orthodiffusion(
            "train-segmentation", *common, "--from", pretrained, "--output", segmenting, "--set=steps=30",
            "--set=batch=2", "--set=validate_every=10", "--set=learning_rate=0.005",
        )  # fmt: skip
        assert "trained for 30 steps" in " ".join(told.split())
        orthodiffusion(
            "train-diagnosis", *common, "--from", segmenting, "--output", both, "--set=folds=3", "--set=epochs=30",
            "--set=views=2", "--set=learning_rate=0.005", f"--set=reads_structures={plane == 'axial'}",
        )  # fmt: skip
        folders[plane] = both
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(CARD), encoding="utf-8")
    bundle, refined = tmp_path / "bundle", tmp_path / "refined"
    told = orthodiffusion(
        "train-refinement", *(f"--plane={plane}={tmp_path / plane}-segmenting" for plane in folders),
        "--output", refined, "--dataset", dataset, "--cache", tmp_path / "cache", "--set=steps=20", "--set=crop=16",
    )  # fmt: skip
    assert "Refinement of all planes' outlines trained for 20 steps" in " ".join(told.split())
    orthodiffusion(
        "bundle", "export", "--axial", folders["axial"], "--coronal", folders["coronal"], "--output", bundle,
        "--card", tmp_path / "card.yaml", "--half-precision", "--refinement", refined,
    )  # fmt: skip
    shown = orthodiffusion("bundle", "show", bundle)
    assert "Refinement of all planes' outlines" in shown
    # Nobody wrote down which phantoms they were, and it is said so.
    assert "Seeds of phantoms in training: not said" in shown and "- Knows nothing but balls." in shown
    head = load_file(bundle / "models" / "axial_diagnosis.safetensors")
    assert {tensor.dtype for name, tensor in head.items() if name.startswith("reading.")} == {torch.float32}
    assert {tensor.dtype for name, tensor in head.items() if not name.startswith("reading.")} == {torch.float16}
    manifest = open_bundle(bundle).manifest
    assert set(manifest.planes) == {Plane.AXIAL, Plane.CORONAL}
    history = manifest.planes[Plane.AXIAL].encoder_training
    assert history.startswith("Pre-trained without labels for 3 steps")
    assert "Diagnosis head trained for 30 epochs on 8 studies" in history
    assert manifest.fusion.gate is None, "two planes have no gate"
    assert [manifest.planes[plane].reads_structures for plane in (Plane.AXIAL, Plane.CORONAL)] == [True, False]
    orthodiffusion(
        "run", "--axial", tmp_path / "7-axial-image.nii.gz", "--coronal", tmp_path / "7-coronal-image.nii.gz",
        "--bundle", bundle, "--output", tmp_path / "result",
    )  # fmt: skip
    found = np.asarray(nibabel.load(tmp_path / "result" / "labels_axial.nii.gz").dataobj) == 1
    truth = np.asarray(nibabel.load(tmp_path / "7-axial-labels.nii.gz").dataobj) == 1
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.5
    result = json.loads((tmp_path / "result" / "result.json").read_text(encoding="utf-8"))
    assert len(result["findings"]) == 8
    # Without label maps, masks are made all the same for the head that reads them, and say the same.
    orthodiffusion(
        "run", "--axial", tmp_path / "7-axial-image.nii.gz", "--coronal", tmp_path / "7-coronal-image.nii.gz",
        "--bundle", bundle, "--output", tmp_path / "findings", "--no-segment",
    )  # fmt: skip
    alone = json.loads((tmp_path / "findings" / "result.json").read_text(encoding="utf-8"))
    assert alone["findings"] == result["findings"]
    assert not list((tmp_path / "findings").glob("labels_*"))
    encoder_alone = tmp_path / "encoder-alone"
    card = {**CARD, "seeds": "0 to 8", "block": "mid_1", "timestep": 90}
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(card), encoding="utf-8")
    orthodiffusion(
        "bundle", "export", "--axial", tmp_path / "axial-pretrained", "--output", encoder_alone,
        "--card", tmp_path / "card.yaml",
    )  # fmt: skip
    assert "axial: mid_1 at timestep 90; features only" in orthodiffusion("bundle", "show", encoder_alone)
    assert open_bundle(encoder_alone).manifest.training_data.seeds == "0 to 8"
    assert "Seeds of phantoms in training: 0 to 8" in orthodiffusion("bundle", "show", encoder_alone)
    told = open_bundle(encoder_alone).card()
    for line in (
        "Bright balls.",
        "- studies: 8, synthetic",
        "- seeds of phantoms: 0 to 8",
        "- Knows nothing but balls.",
    ):
        assert f"\n{line}\n" in told
    weights = load_file(encoder_alone / "models" / "axial_encoder.safetensors")
    averaged = pretrained_encoder(tmp_path / "axial-pretrained", Plane.AXIAL).encoder.state_dict()
    assert weights.keys() == averaged.keys()
    assert all(torch.equal(weights[name], averaged[name]) for name in weights)


def test_samples_of_a_pre_training_are_drawn_from_their_seed(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, (Plane.AXIAL,))
    common = ["--plane", "axial", "--pretrained", tmp_path / "pre", "--count", 1, "--steps", 3]
    orthodiffusion(
        "pretrain", "--plane", "axial", "--dataset", dataset, "--output", tmp_path / "pre", "--accelerator", "cpu",
        "--set=channel_multipliers=[1, 1]", "--set=window_size=16", "--set=sample_every=0", "--set=batch=2",
        "--set=steps=1", "--set=prediction=velocity", "--set=self_conditioning=true",
    )  # fmt: skip
    for name, seed in (("first", 0), ("again", 0), ("other", 1)):
        orthodiffusion("sample", *common, "--output", tmp_path / f"{name}.png", "--seed", seed)
    first, again, other = ((tmp_path / f"{name}.png").read_bytes() for name in ("first", "again", "other"))
    assert first == again != other
