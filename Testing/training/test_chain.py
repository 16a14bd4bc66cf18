"""The whole chain as a hospital runs it: pre-train, probe, fine-tune, export, run. Tiny, through the commands, on
phantoms of the knee."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import matplotlib.image
import nibabel
import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from tiny_dataset import write_dataset
from typer.testing import CliRunner

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.bundles.opening import open_bundle
from OrthoDiffusionLib.cli.app import app
from OrthoDiffusionLib.training.trained_encoders import pretrained_encoder

CARD = {
    "name": "tiny", "version": "0.0.1", "title": "A tiny model", "license": "MIT", "license_text": "MIT",
    "authors": "nobody", "copyright": "nobody", "data": "Five phantoms of the knee.", "studies": 5, "synthetic": True,
    "known_limits": ["Knows five knees."],
}  # fmt: skip

STUDIES = 5
"""A probe needs five patients."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks as small as these are slower on several, and it is the same on every machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def orthodiffusion(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return " ".join(done.stdout.split())


def overlap(found: Path, truth: Path, labels: tuple[int, ...]) -> float:
    """Dice of some structures together."""
    first, second = (np.isin(np.asarray(nibabel.load(path).dataobj), labels) for path in (found, truth))
    return float(2 * (first & second).sum() / (first.sum() + second.sum()))


@pytest.mark.timeout(600)
def test_from_phantoms_to_a_bundle_that_runs(tmp_path: Path) -> None:
    phantoms = tmp_path / "phantoms"
    orthodiffusion("phantom", "--output", phantoms, "--seed", 100, "--studies", STUDIES, "--workers", 2)
    dataset = phantoms / "dataset.yaml"
    tiny = ["--set=channel_multipliers=[1, 1, 1, 2]", "--set=window_size=32", "--set=batch=2"]
    folders = {}
    for plane in ("axial", "coronal"):
        common = ["--plane", plane, "--dataset", dataset, "--cache", tmp_path / "cache"]
        first = tmp_path / "axial-pretrained"
        begun = ["--from", f"axial={first}"] if plane == "coronal" else []
        carried = ["--masks-from", tmp_path / "axial-segmenting", "--masks-began", first] if begun else []
        pretrained, segmenting, both = (tmp_path / f"{plane}-{name}" for name in ("pretrained", "segmenting", "both"))
        orthodiffusion(
            "pretrain", *common, "--output", pretrained, "--accelerator", "cpu", "--set=steps=3", *tiny,
            *begun, f"--set=sample_every={3 if plane == 'axial' else 0}",
        )  # fmt: skip
        told = orthodiffusion(
            "train-segmentation", *common, "--from", pretrained, "--output", segmenting, "--set=steps=60",
            "--set=batch=2", "--set=validate_every=30", "--set=learning_rate=0.005", *carried,
        )  # fmt: skip
        assert "trained for 60 steps" in told
        assert ("Decoder of the axial plane taken over" in told) == bool(carried)
        rows = list(csv.DictReader((segmenting / "losses.csv").open(encoding="utf-8")))
        assert [int(row["step"]) for row in rows] == list(range(60))
        assert [row["step"] for row in rows if row["dice"]] == ["29", "59"]
        orthodiffusion(
            "train-diagnosis", *common, "--from", segmenting, "--output", both, "--set=folds=3", "--set=epochs=10",
            "--set=views=2", "--set=learning_rate=0.005",
            *(["--set=reads_structures=true", "--set=reads_around=true"] if plane == "axial" else []),
        )  # fmt: skip
        assert all((both / log / "losses.csv").exists() for log in ("", "folds/1", "folds/2", "folds/3"))
        folders[plane] = both
    assert matplotlib.image.imread(tmp_path / "axial-pretrained" / "samples-00000003.png").max() > 0
    told = orthodiffusion(
        "probe", "--plane", "axial", "--dataset", dataset, "--cache", tmp_path / "cache",
        "--pretrained", tmp_path / "axial-pretrained", "--output", tmp_path / "probe",
        "--blocks", "input_0,mid_0,mid_1", "--timesteps", "10,300",
    )  # fmt: skip
    probed = json.loads((tmp_path / "probe" / "probe.json").read_text(encoding="utf-8"))
    best = probed["best"]
    assert f"Best: {best['block']} at timestep {best['timestep']}, macro-AUROC {best['macro_auroc']:.3f}" in told
    assert (probed["studies"], len(probed["scores"])) == (STUDIES, 6)
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(CARD), encoding="utf-8")
    bundle, refined = tmp_path / "bundle", tmp_path / "refined"
    told = orthodiffusion(
        "train-refinement", *(f"--plane={plane}={tmp_path / plane}-segmenting" for plane in folders),
        "--output", refined, "--dataset", dataset, "--cache", tmp_path / "cache", "--set=steps=20", "--set=crop=16",
    )  # fmt: skip
    assert "Refinement of all planes' outlines trained for 20 steps" in told
    assert len((refined / "losses.csv").read_text(encoding="utf-8").splitlines()) == 1 + 20
    orthodiffusion(
        "bundle", "export", "--axial", folders["axial"], "--coronal", folders["coronal"], "--output", bundle,
        "--card", tmp_path / "card.yaml", "--half-precision", "--refinement", refined,
    )  # fmt: skip
    shown = orthodiffusion("bundle", "show", bundle)
    assert "Refinement of all planes' outlines" in shown
    # Nobody wrote down which phantoms they were, and it is said so.
    assert "Seeds of phantoms in training: not said" in shown and "- Knows five knees." in shown
    head = load_file(bundle / "models" / "axial_diagnosis.safetensors")
    assert {tensor.dtype for name, tensor in head.items() if name.startswith("reading.")} == {torch.float32}
    assert {tensor.dtype for name, tensor in head.items() if not name.startswith("reading.")} == {torch.float16}
    manifest = open_bundle(bundle).manifest
    assert set(manifest.planes) == {Plane.AXIAL, Plane.CORONAL}
    history = manifest.planes[Plane.AXIAL].encoder_training
    assert history.startswith("Pre-trained without labels for 3 steps")
    assert f"Diagnosis head trained for 10 epochs on {STUDIES} studies" in history
    assert manifest.fusion.gate is None, "two planes have no gate"
    for name in ("reads_structures", "reads_around"):
        assert [getattr(manifest.planes[plane], name) for plane in (Plane.AXIAL, Plane.CORONAL)] == [True, False]
    study, truth = phantoms / "phantom-000100" / "study", phantoms / "phantom-000100" / "truth"
    images = ["--axial", study / "axial.nii.gz", "--coronal", study / "coronal.nii.gz"]
    orthodiffusion("run", *images, "--bundle", bundle, "--output", tmp_path / "result")
    bones = tuple(one.label for one in load_joint("knee").structures if one.key in ("femur", "tibia"))
    for plane in folders:
        name = f"{plane}.nii.gz"
        assert overlap(tmp_path / "result" / f"labels_{name}", truth / name, bones) > 0.5
    result = json.loads((tmp_path / "result" / "result.json").read_text(encoding="utf-8"))
    assert len(result["findings"]) == 8
    # Without label maps, masks are made all the same for the head that reads them, and say the same.
    orthodiffusion("run", *images, "--bundle", bundle, "--output", tmp_path / "findings", "--no-segment")
    alone = json.loads((tmp_path / "findings" / "result.json").read_text(encoding="utf-8"))
    assert alone["findings"] == result["findings"]
    assert not list((tmp_path / "findings").glob("labels_*"))
    encoder_alone = tmp_path / "encoder-alone"
    card = {**CARD, "seeds": "100 to 105", "block": "mid_1", "timestep": 90}
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(card), encoding="utf-8")
    orthodiffusion(
        "bundle", "export", "--axial", tmp_path / "axial-pretrained", "--output", encoder_alone,
        "--card", tmp_path / "card.yaml",
    )  # fmt: skip
    assert "axial: mid_1 at timestep 90; features only" in orthodiffusion("bundle", "show", encoder_alone)
    assert open_bundle(encoder_alone).manifest.training_data.seeds == "100 to 105"
    assert "Seeds of phantoms in training: 100 to 105" in orthodiffusion("bundle", "show", encoder_alone)
    told = open_bundle(encoder_alone).card()
    for line in (
        "Five phantoms of the knee.",
        "- studies: 5, synthetic",
        "- seeds of phantoms: 100 to 105",
        "- Knows five knees.",
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
