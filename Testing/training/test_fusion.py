"""Fusions of planes: each kind from training to a run, planes missing or not, judged on studies it did not see."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional
from trained_planes import CARD, FINDINGS, TrainedPlanes, ran

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.bundles.manifest import FindingCalibration
from OrthoDiffusionLib.bundles.opening import open_bundle
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.inference.engine import Engine
from OrthoDiffusionLib.inference.request import StudyRequest
from OrthoDiffusionLib.inference.result_folder import read_result
from OrthoDiffusionLib.inference.watch import Unwatched
from OrthoDiffusionLib.networks.plane_fusion import FeatureFusion, GatedPlanes, make_fusion
from OrthoDiffusionLib.training.exported_fusion import calibrations
from OrthoDiffusionLib.training.exporting import export_bundle
from OrthoDiffusionLib.training.fusion_data import FusionData, FusionStudy, fusion_data
from OrthoDiffusionLib.training.fusion_training import train_fusion
from OrthoDiffusionLib.training.plane_dropout import without_some_planes
from OrthoDiffusionLib.training.settings import FusionSettings

FEATURES = ("concatenate", "project_concatenate", "project_add", "cross_attention")
KINDS = ("gate", "gate_stacking", *FEATURES)
LEARNING = FusionSettings(epochs=30, patience=4, learning_rate=1e-2, batch=50)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_goes_from_training_to_a_run(trained: TrainedPlanes, tmp_path: Path, kind: str) -> None:
    bundle = export_bundle(tmp_path / "bundle", trained.planes, CARD, trained.fusion(kind))
    fusion = bundle.manifest.fusion
    assert fusion.kind == kind
    assert f"by {kind} trained for" in fusion.training
    assert bundle.manifest.planes[Plane.AXIAL].pooling == "global_local"
    whole = ran(trained, tmp_path / "bundle", tuple(Plane), tmp_path / "whole")
    part = ran(trained, tmp_path / "bundle", (Plane.AXIAL, Plane.CORONAL), tmp_path / "part")
    assert not whole.not_assessed
    assert part.not_assessed == (Plane.SAGITTAL,)
    assert "Not assessed by: sagittal." in part.warnings
    for result, planes in ((whole, set(Plane)), (part, {Plane.AXIAL, Plane.CORONAL})):
        assert len(result.findings) == 8
        for record in result.findings:
            assert 0 < record.probability < 1
            assert set(record.plane_probabilities) == planes
            if kind in FEATURES:
                assert record.plane_weights == {}
            else:
                assert set(record.plane_weights) == planes
                assert sum(record.plane_weights.values()) == pytest.approx(1, abs=1e-6)
    assert [a.probability for a in whole.findings] != [b.probability for b in part.findings]
    with (tmp_path / "part" / "findings.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert ("weight_axial" in rows[0]) == (kind not in FEATURES)
    assert [float(row["probability"]) for row in rows] == pytest.approx(
        [record.probability for record in part.findings], abs=5e-5
    )
    notice = "Research use only, not for diagnosis. Trained on synthetic phantoms only."
    assert {part.notice, *(row["notice"] for row in rows)} == {notice}


def test_a_fusion_of_other_networks_is_refused(trained: TrainedPlanes, tmp_path: Path) -> None:
    fusion = trained.fusion("project_add")
    two = {plane: folder for plane, folder in trained.planes.items() if plane is not Plane.CORONAL}
    with pytest.raises(OrthoDiffusionError, match="trained on other networks"):
        export_bundle(tmp_path / "bundle", two, CARD, fusion)
    with pytest.raises(OrthoDiffusionError, match=r"holds no networks of the axial plane.*`orthodiffusion pretrain`"):
        export_bundle(tmp_path / "bundle", {Plane.AXIAL: tmp_path / "mistyped"}, CARD)
    another = shutil.copytree(trained.planes[Plane.CORONAL], tmp_path / "coronal")
    (another / "pooled.safetensors").unlink()
    with pytest.raises(OrthoDiffusionError, match="holds no pooled features"):
        fusion_data("concatenate", {**two, Plane.CORONAL: another}, trained.studies())
    moved = [replace(study, patient="one") for study in trained.studies()]
    with pytest.raises(OrthoDiffusionError, match="different folds"):
        fusion_data("concatenate", trained.planes, moved)


def test_what_a_study_lacks_and_who_saw_it_is_known(trained: TrainedPlanes) -> None:
    data = fusion_data("concatenate", trained.planes, trained.studies())
    assert data.assessed.tolist() == [[True, True, False], *[[True] * 3] * 7]
    assert torch.all(data.values[:, 0, 2] == 0)
    assert data.values.shape == (4, 8, 3, 64)
    for fold in range(3):
        learnt, judged = (
            {data.studies[row].patient for row in data.rows(fold, held_out=held_out)} for held_out in (False, True)
        )
        assert learnt and judged and not learnt & judged


def made_up(studies: int, width: int = 16) -> FusionData:
    """Studies in which the sagittal features tell the first finding, and nothing tells the second."""
    generator = torch.Generator().manual_seed(0)
    present = (torch.rand(studies, 2, generator=generator) < torch.tensor([0.5, 0.1])).float()
    # Off the centre and on another scale, as pooled features are.
    values = 5 + 3 * torch.randn(studies, 3, width, generator=generator)
    values[:, 1, 0] += 12 * present[:, 0]
    assessed = torch.rand(studies, 3, generator=generator) < 0.9
    assessed[:, 1] = True
    names = tuple(FusionStudy(str(n), str(n), present[n]) for n in range(studies))
    values = torch.where(assessed[:, :, None], values, 0.0)
    return FusionData(names, values.expand(6, -1, -1, -1), assessed, present, torch.arange(studies) % 5, width)


@pytest.mark.parametrize("kind", FEATURES)
def test_a_missing_plane_is_answered_by_what_the_others_can_tell(kind: str) -> None:
    data = made_up(250)
    # One linear layer alone needs more steps.
    settings = LEARNING.model_copy(update={"batch": 10}) if kind == "concatenate" else LEARNING
    training = train_fusion(kind, data, settings, lambda *_: None)
    right = ((training.held_out[:, 0] > 0).float() == data.present[:, 0]).float().mean().item()
    assert right > 0.9, "out of fold, by the plane that knows"
    for logits in (training.held_out, _logits(training.network, data, torch.ones(3, dtype=torch.bool))):
        assert torch.sigmoid(logits[:, 1]).mean().item() == pytest.approx(data.present[:, 1].mean().item(), abs=0.05)
    blind = torch.sigmoid(_logits(training.network, data, torch.tensor([True, False, True]))[:, 0])
    assert blind.mean().item() == pytest.approx(0.5, abs=0.12), "without it, what is said is how often it occurs"
    error = (blind - data.present[:, 0]).abs().mean().item()
    assert error < 0.6, "and nobody is told with certainty what is not known"


def test_the_gate_trusts_the_plane_that_knows() -> None:
    present = (torch.rand(200, 8, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    logits = torch.randn(200, 3, 8, generator=torch.Generator().manual_seed(1))
    logits[:, 1] = 6 * (present - 0.5)
    everywhere = torch.ones(200, 3, dtype=torch.bool)
    names = tuple(FusionStudy(str(n), str(n), present[n]) for n in range(200))
    data = FusionData(names, logits.expand(6, -1, -1, -1), everywhere, present, torch.arange(200) % 5, 8)
    training = train_fusion("gate", data, LEARNING, lambda *_: None)
    assert isinstance(training.network, GatedPlanes)
    weights = training.network(logits, everywhere).weights
    assert weights is not None
    assert torch.allclose(weights.sum(dim=1), torch.ones(200, 8), atol=1e-6)

    def right(fused: torch.Tensor) -> float:
        return float(((fused > 0).float() == present).float().mean())

    assert right(training.held_out) > right(logits.mean(dim=1)), "out of fold"


def _logits(network: torch.nn.Module, data: FusionData, planes: torch.Tensor) -> torch.Tensor:
    assessed = data.assessed & planes
    assessed[~assessed.any(dim=1), 0] = True
    with torch.no_grad():
        return network(data.values[-1], assessed).logits


def test_calibration_lowers_the_error_of_a_fusion() -> None:
    data = made_up(250)
    training = train_fusion("project_add", data, LEARNING, lambda *_: None)
    overconfident = torch.cat([5 * training.held_out, torch.zeros(250, 6)], dim=1)
    present = torch.cat([data.present, torch.full((250, 6), torch.nan)], dim=1)
    found = calibrations("knee", overconfident, present)
    assert found["LM"] == FindingCalibration(temperature=1, threshold=0.5), "nothing is known of it"
    for index, key in enumerate(FINDINGS[:2]):
        before, after = (
            functional.binary_cross_entropy_with_logits(overconfident[:, index] / temperature, data.present[:, index])
            for temperature in (1.0, found[key].temperature)
        )
        assert after < 0.9 * before


def test_training_ends_when_held_out_studies_gain_no_more() -> None:
    data = made_up(100)
    nothing_tells = replace(data, present=data.present[torch.randperm(100, generator=torch.Generator().manual_seed(1))])
    told: list[str] = []
    settings = LEARNING.model_copy(update={"patience": 2})
    training = train_fusion("cross_attention", nothing_tells, settings, lambda what, _: told.append(what))
    assert training.epochs < 20
    folds = [what for what in told if what.startswith("folds")]
    assert len(folds) == training.epochs + 2, "two more epochs brought nothing"
    assert told.count("all studies") == training.epochs


def test_planes_are_dropped_but_never_all() -> None:
    generator = torch.Generator().manual_seed(0)
    assessed = torch.tensor([[True, True, True], [True, False, True], [False, True, False]]).repeat(1000, 1)
    kept = without_some_planes(assessed, 0.5, generator)
    assert not (kept & ~assessed).any()
    assert kept.any(dim=1).all()
    # Each of three is kept if chance keeps it, or, in one of eight rows, as the one that stays.
    assert kept[::3].float().mean(dim=0).tolist() == pytest.approx([0.5 + 1 / 24] * 3, abs=0.05)


@pytest.mark.parametrize("kind", FEATURES)
def test_a_missing_plane_adds_nothing_whatever_stands_in_its_place(kind: str) -> None:
    network = make_fusion(kind, 64, 8).eval()
    assert isinstance(network, FeatureFusion)
    features = torch.randn(2, 3, 64, generator=torch.Generator().manual_seed(0))
    other = features.clone()
    other[:, 1] = 1e3
    present = torch.tensor([True, False, True]).expand(2, 3)
    with torch.no_grad():
        assert torch.equal(network(features, present).logits, network(other, present).logits)
        assert torch.isfinite(network(features, torch.tensor([[True, False, False]] * 2)).logits).all()


@pytest.mark.parametrize(
    ("change", "kind", "sentence"),
    [
        ({"kind": "telepathy"}, ErrorKind.BUNDLE_UNKNOWN_SCHEMA, "a fusion of the planes that this program does not"),
        ({"kind": "gate"}, ErrorKind.BUNDLE_INVALID, "manifest is damaged"),
        ({"head": "models/axial_encoder.safetensors"}, ErrorKind.BUNDLE_INVALID, "do not fit"),
    ],
)
def test_a_tampered_fusion_is_refused(
    trained: TrainedPlanes, tmp_path: Path, change: dict[str, str], kind: ErrorKind, sentence: str
) -> None:
    export_bundle(tmp_path / "bundle", trained.planes, CARD, trained.fusion("concatenate"))
    path = tmp_path / "bundle" / "configs" / "metadata.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["fusion"].update(change)
    path.write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(OrthoDiffusionError, match=sentence) as caught:
        Engine().load(str(tmp_path / "bundle"), "cpu")
    assert caught.value.kind is kind


def test_bundles_from_before_there_were_kinds(tmp_path: Path) -> None:
    """A manifest with a gate and no kind is of the kind `gate`, and its answer is the gate's mean of the planes."""
    from OrthoDiffusionLib.bundles.manifest import BundleManifest
    from OrthoDiffusionLib.resources import resources_folder

    demonstration = open_bundle(resources_folder() / "Bundles" / "knee-phantom-demonstration")
    old = demonstration.manifest.model_dump(mode="json")
    assert old["fusion"].pop("kind") == "gate"
    assert BundleManifest.model_validate(old) == demonstration.manifest
    old["fusion"] = {"gate": None}
    assert BundleManifest.model_validate(old).fusion.kind == "mean"
    study = resources_folder() / "SampleData" / "knee-phantom" / "study"
    Engine().run(StudyRequest(tmp_path / "result", (study,), segment=False, device="cpu"), Unwatched())
    for record in read_result(tmp_path / "result").findings:
        logits = {plane: np.log(p / (1 - p)) for plane, p in record.plane_probabilities.items()}
        fused = sum(record.plane_weights[plane] * logit for plane, logit in logits.items())
        assert sum(record.plane_weights.values()) == pytest.approx(1)
        assert record.probability == pytest.approx(1 / (1 + np.exp(-fused)), abs=1e-4)


def test_the_commands_make_the_same_of_a_manifest(trained: TrainedPlanes, tmp_path: Path) -> None:
    """`train-fusion` and `bundle export` as a person types them, on a manifest and the planes' folders."""
    from typer.testing import CliRunner

    from OrthoDiffusionLib.cli.app import app

    card = {**CARD.model_dump(mode="json"), "clinical_codes": "Sex: 0 and 1 by turns."}
    (tmp_path / "card.yaml").write_text(json.dumps(card), encoding="utf-8")
    fused, bundle = tmp_path / "fused", tmp_path / "bundle"
    named = [f"--plane={plane.value}={folder}" for plane, folder in trained.planes.items()]
    common = ["--data", str(trained.folder / "dataset.json"), "--output", str(fused)]
    training = ["train-fusion", "--kind", "cross_attention", *named, *common, "--clinical", "--set=epochs=2"]
    done = CliRunner().invoke(app, training)
    assert done.exit_code == 0, done.output
    assert "by cross_attention trained for" in done.output
    folders = [f"--{plane.value}={folder}" for plane, folder in trained.planes.items()]
    export = ["bundle", "export", *folders, "--fusion", str(fused), "--card", str(tmp_path / "card.yaml")]
    assert CliRunner().invoke(app, [*export, "--output", str(bundle)]).exit_code == 0
    told = CliRunner().invoke(app, ["bundle", "show", str(bundle)]).output
    assert "Planes fused by: cross_attention." in told
    assert "Reads clinical data: Sex: 0 and 1 by turns." in told
    result = ran(trained, bundle, (Plane.CORONAL,), tmp_path / "result")
    without = "No clinical data were given; the findings come from the images alone."
    assert result.warnings == (without, "Not assessed by: axial, sagittal.")
    for wrong, sentence in (
        (["--kind", "telepathy", *named], "There is no fusion telepathy"),
        (["--kind", "gate", *named, "--clinical"], "need a fusion of features"),
        (["--kind", "gate", named[0]], "needs two planes"),
        (["--kind", "gate", *named, "--plane=axial"], "is not PLANE=DIR"),
    ):
        refused = CliRunner().invoke(app, ["train-fusion", *wrong, *common])
        assert (refused.exit_code, sentence in refused.output) == (2, True), refused.output
