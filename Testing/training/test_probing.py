"""Probes find what features tell, on patients that they were not fitted on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from tiny_dataset import write_dataset

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.datasets.cache import CachedStudy, prepare_manifest
from OrthoDiffusionLib.datasets.manifest import read_manifest
from OrthoDiffusionLib.errors import OrthoDiffusionError
from OrthoDiffusionLib.networks.config import UNetConfig
from OrthoDiffusionLib.networks.encoder import DenoisingEncoder
from OrthoDiffusionLib.training import probing_report
from OrthoDiffusionLib.training.probing import ProbeScore, probe_scores
from OrthoDiffusionLib.training.probing_features import pooled_features


def made_up_studies(count: int) -> list[CachedStudy]:
    """Two studies of each patient; finding 0 alternates, finding 1 is unknown in a third of them, 2 is always there."""
    present = [np.array([n % 2, np.nan if n % 3 == 0 else (n // 2) % 2, 1], np.float32) for n in range(count)]
    return [CachedStudy(Path(), f"s{n}", f"p{n // 2}", {}, {}, present[n], None) for n in range(count)]


def test_a_probe_tells_what_the_features_hold_and_no_more() -> None:
    studies = made_up_studies(80)
    generator = np.random.default_rng(0)
    noise = generator.normal(size=(80, 6)).astype(np.float32)
    telling = noise.copy()
    telling[:, 2] += [4 * study.present[0] for study in studies]
    scores = probe_scores({("mid_0", 50): telling, ("mid_0", 800): noise}, studies, ["ACL", "PCL", "MM"])
    by_time = {score.timestep: score for score in scores}
    assert set(by_time[50].auroc) == {"ACL", "PCL"}
    assert by_time[50].auroc["ACL"] > 0.95
    assert 0.25 < by_time[800].auroc["ACL"] < 0.75


def test_a_probe_needs_patients_and_findings() -> None:
    studies = made_up_studies(6)
    with pytest.raises(OrthoDiffusionError, match="5 patients or more"):
        probe_scores({}, studies, ["ACL", "PCL", "MM"])
    with pytest.raises(OrthoDiffusionError, match="No finding is known"):
        probe_scores({}, [CachedStudy(**{**vars(s), "present": np.ones(3)}) for s in made_up_studies(12)], ["A"] * 3)


def test_features_are_the_blocks_own(tmp_path: Path) -> None:
    studies = prepare_manifest(read_manifest(write_dataset(tmp_path)), tmp_path / "cache", 16)[:2]
    torch.manual_seed(0)
    encoder = DenoisingEncoder(UNetConfig(32, (1, 2))).eval()
    features = pooled_features(encoder, studies, Plane.AXIAL, ("input_0", "mid_2"), (10, 900))
    assert {key: values.shape for key, values in features.items()} == {
        ("input_0", 10): (2, 32), ("mid_2", 10): (2, 64), ("input_0", 900): (2, 32), ("mid_2", 900): (2, 64),
    }  # fmt: skip
    assert not np.allclose(features["mid_2", 10], features["mid_2", 900])
    with pytest.raises(OrthoDiffusionError, match="no block mid_9"):
        pooled_features(encoder, studies, Plane.AXIAL, ("mid_9",), (10,))
    with pytest.raises(OrthoDiffusionError, match="No study has a coronal series"):
        pooled_features(encoder, [], Plane.CORONAL, ("mid_2",), (10,))


def test_features_are_kept_and_only_new_ones_are_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    studies = prepare_manifest(read_manifest(write_dataset(tmp_path)), tmp_path / "cache", 16)[:2]
    torch.manual_seed(0)
    encoder = DenoisingEncoder(UNetConfig(32, (1, 2))).eval()
    computed: list[int] = []
    activations = encoder.activations

    def counted(x: torch.Tensor, timestep: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
        computed.append(int(timestep))
        return activations(x, timestep)

    monkeypatch.setattr(encoder, "activations", counted)

    def look(blocks: tuple[str, ...], *timesteps: int) -> list[int]:
        computed.clear()
        found = pooled_features(encoder, studies, Plane.AXIAL, blocks, timesteps, folder=tmp_path / "kept")
        afresh = list(computed)
        for key, values in pooled_features(encoder, studies, Plane.AXIAL, blocks, timesteps).items():
            assert (found[key] == values).all()
        return afresh

    assert look(("mid_2",), 10) == [10, 10]
    assert look(("input_0", "mid_1"), 10) == []
    assert look(("mid_1",), 10, 900) == [900, 900]
    broken = next((tmp_path / "kept").iterdir())
    broken.write_bytes(broken.read_bytes()[:100])
    assert look(("mid_1",), 900) == [900]
    with torch.no_grad():
        next(encoder.parameters()).add_(0.1)
    assert look(("mid_1",), 900) == [900, 900], "of another encoder"


def test_the_picture_tells_every_block_apart_and_names_the_best(tmp_path: Path) -> None:
    blocks = [*(f"input_{number}" for number in range(10)), "mid_0", "mid_1", "mid_2"]
    scores = [
        ProbeScore(block, timestep, {"ACL": 0.6 + 0.02 * number - timestep / 10**4})
        for number, block in enumerate(blocks)
        for timestep in (10, 500)
    ]
    figure = probing_report.plot(scores, {"plane": "axial", "studies": 40})
    (axes,) = figure.axes
    curves = {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}
    assert list(curves) == blocks
    assert len({to_hex(line.get_color()) for line in curves.values()}) == len(blocks)
    assert min(curves[f"mid_{number}"].get_linewidth() for number in range(3)) > curves["input_0"].get_linewidth()
    assert "best (ringed): mid_2 at timestep 10, 0.839" in axes.get_title()
    figure.savefig(tmp_path / "probe.png")
    (legend,) = figure.legends
    assert legend.get_window_extent().x0 >= axes.get_window_extent().x1


def test_the_command_leaves_a_table_and_a_curve(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path)
    common = ["--plane", "axial", "--dataset", dataset, "--cache", tmp_path / "cache"]
    tiny = ["--set=steps=1", "--set=channel_multipliers=[1, 1]", "--set=window_size=16", "--set=sample_every=0"]
    for command in (
        ["pretrain", *common, "--output", tmp_path / "pretrained", "--accelerator", "cpu", *tiny],
        ["probe", *common, "--pretrained", tmp_path / "pretrained", "--output", tmp_path / "probe",
         "--timesteps", "50,500"],
    ):  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "OrthoDiffusionLib.cli.app", *map(str, command)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "probe" / "probe.json").read_text(encoding="utf-8"))
    assert report["encoder"].startswith("Pre-trained without labels for 1 steps")
    assert len(report["scores"]) == 2 * 7
    best = report["best"]
    told = f"Best: {best['block']} at timestep {best['timestep']}, macro-AUROC {best['macro_auroc']:.3f}"
    assert told in done.stdout
    assert (tmp_path / "probe" / "probe.tsv").read_text(encoding="utf-8").count("\n") == 15
    assert (tmp_path / "probe" / "probe.png").stat().st_size > 5000
