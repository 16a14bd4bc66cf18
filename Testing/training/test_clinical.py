"""Clinical data beside the images: learnt where they tell something, optional in a run, and never repeated anywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from trained_planes import CARD, TrainedPlanes, ran

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.bundles.clinical_data import ClinicalRecord
from OrthoDiffusionLib.datasets.manifest import read_manifest
from OrthoDiffusionLib.errors import OrthoDiffusionError
from OrthoDiffusionLib.networks.clinical_fusion import clinical_inputs
from OrthoDiffusionLib.networks.plane_fusion import FeatureFusion
from OrthoDiffusionLib.training.clinical_training import train_clinical
from OrthoDiffusionLib.training.exporting import export_bundle
from OrthoDiffusionLib.training.fusion_data import FusionData, FusionStudy
from OrthoDiffusionLib.training.fusion_training import train_fusion
from OrthoDiffusionLib.training.settings import FusionSettings

CODES = "Sex: 0 female, 1 male."
SECRET = ClinicalRecord(age=37.25, height=181.5, sex=1)


def elders(studies: int) -> FusionData:
    """Images that tell nothing, and a finding that comes with age; of every fifth person no age is known."""
    generator = torch.Generator().manual_seed(0)
    age = 20 + 60 * torch.rand(studies, generator=generator)
    present = ((age + 5 * torch.randn(studies, generator=generator)) > 50).float()[:, None]
    rows = tuple(
        FusionStudy(str(n), str(n), present[n], None if n % 5 == 0 else ClinicalRecord(age=float(age[n]), event=n % 3))
        for n in range(studies)
    )
    values = torch.randn(1, studies, 3, 8, generator=generator).expand(5, -1, -1, -1)
    everything = torch.ones(studies, 3, dtype=torch.bool)
    return FusionData(rows, values, everything, present, torch.arange(studies) % 4, 8)


def test_age_tells_what_the_images_do_not() -> None:
    data = elders(240)
    settings = FusionSettings(epochs=30, patience=6, learning_rate=1e-2, batch=40)
    fusion = train_fusion("concatenate", data, settings, lambda *_: None)
    clinical = train_clinical(fusion, data, settings, lambda *_: None)
    with_age, images_alone = clinical.losses
    assert with_age < 0.6 < images_alone < 0.75
    assert len(clinical.held_out) == 192, "those of whom something is known"
    assert clinical.seen == {"age": (), "event": (1, 2)}
    assert clinical.centre[0].item() == pytest.approx(50, abs=5)
    weight, bias = fusion.network.last.weight, fusion.network.last.bias
    assert torch.equal(clinical.head.mri_head.weight, weight)
    assert torch.equal(clinical.head.mri_head.bias, bias), "the images' own logits stay"
    unknown = [replace(study, clinical=None) for study in data.studies]
    with pytest.raises(OrthoDiffusionError, match="Too few studies of the dataset have clinical data"):
        train_clinical(fusion, replace(data, studies=tuple(unknown)), settings, lambda *_: None)


def test_what_is_unknown_is_coded_so() -> None:
    nothing = clinical_inputs(torch.full((1, 6), torch.nan), torch.tensor([50.0, 170, 70]), torch.ones(3))
    assert nothing.numeric.tolist() == [[0, 0, 0]]
    assert nothing.sex.tolist() == nothing.patient_type.tolist() == [[0, 0, 1]]
    assert nothing.event.tolist() == [0]
    known = torch.tensor([ClinicalRecord(age=60, sex=1, patient_type=0, event=19).values()])
    coded = clinical_inputs(known, torch.tensor([50.0, 170, 70]), torch.tensor([20.0, 1, 1]))
    assert coded.numeric.tolist() == [[0.5, 0, 0]]
    assert (coded.sex.tolist(), coded.patient_type.tolist(), coded.event.tolist()) == ([[0, 1, 0]], [[1, 0, 0]], [19])


@pytest.fixture(scope="module")
def bundle(trained: TrainedPlanes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clinical")
    fusion = trained.fusion("project_add", clinical=True)
    with pytest.raises(OrthoDiffusionError, match="what the codes of the clinical data mean"):
        export_bundle(folder / "bundle", trained.planes, CARD, fusion)
    export_bundle(folder / "bundle", trained.planes, CARD.model_copy(update={"clinical_codes": CODES}), fusion)
    return folder / "bundle"


def test_a_run_uses_clinical_data_or_says_that_it_does_not(
    trained: TrainedPlanes, bundle: Path, tmp_path: Path
) -> None:
    planes = (Plane.AXIAL, Plane.SAGITTAL)
    given = ran(trained, bundle, planes, tmp_path / "given", SECRET)
    assert given.clinical == ("age", "sex")
    assert "The bundle did not learn from such values of: height." in given.warnings, "no study of the dataset has one"
    without = ran(trained, bundle, planes, tmp_path / "without")
    assert without.clinical == ()
    assert without.warnings[0] == "No clinical data were given; the findings come from the images alone."
    export_bundle(tmp_path / "images", trained.planes, CARD, trained.fusion("project_add"))
    images = ran(trained, tmp_path / "images", planes, tmp_path / "alone", SECRET)
    assert images.warnings[0] == "This bundle reads no clinical data; the findings come from the images alone."
    assert images.findings == without.findings, "as if the bundle had no clinical head"
    assert [record.probability for record in given.findings] != [record.probability for record in images.findings]
    assert all(0 < record.probability < 1 for record in given.findings)


def test_no_clinical_value_is_repeated(trained: TrainedPlanes, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "person.json").write_text('{"age": 37.25, "height": 181.5, "sex": 0}', encoding="utf-8")
    command = [sys.executable, "-m", "OrthoDiffusionLib.cli.app", "--debug", "run", "--no-segment"]
    command += ["--axial", str(trained.image(Plane.AXIAL)), "--bundle", str(bundle), "--output", str(tmp_path / "out")]
    command += ["--clinical", str(tmp_path / "person.json")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    done = subprocess.run([*command, "--sex", "1"], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "Clinical data that took part: age, sex." in done.stdout
    refused = subprocess.run(
        [*command, "--overwrite", "--weight", "777.125"], capture_output=True, text=True, env=environment
    )
    assert refused.returncode == 2
    assert "Correct weight" in refused.stderr
    told = done.stdout + done.stderr + refused.stdout + refused.stderr
    told += (tmp_path / "out" / "result.json").read_text(encoding="utf-8")
    assert not [value for value in ("37.25", "181.5", "777.125") if value in told]


def test_a_manifest_with_impossible_values_does_not_repeat_them(trained: TrainedPlanes, tmp_path: Path) -> None:
    manifest = json.loads((trained.folder / "dataset.json").read_text(encoding="utf-8"))
    manifest["studies"][3]["clinical"]["age"] = 777.125
    (tmp_path / "dataset.json").write_text(json.dumps(manifest), encoding="utf-8")
    (tmp_path / "dataset.yaml").write_text("studies:\n- clinical: {age: 777.125\n- [", encoding="utf-8")
    for name, where in (("dataset.json", "studies.3.clinical.age"), ("dataset.yaml", "line 3")):
        with pytest.raises(OrthoDiffusionError) as caught:
            read_manifest(tmp_path / name)
        assert where in caught.value.detail
        assert "777" not in f"{caught.value} {caught.value.detail} {caught.value.__cause__}"


def test_clinical_logits_mix_what_both_say(trained: TrainedPlanes, bundle: Path) -> None:
    from OrthoDiffusionLib.inference.engine import Engine
    from OrthoDiffusionLib.inference.fusing import PlaneAnswer

    fusion = Engine().load(str(bundle), "cpu").fusion
    generator = torch.Generator().manual_seed(0)
    answers = {plane: PlaneAnswer(torch.zeros(8), torch.randn(64, generator=generator)) for plane in Plane}
    image, mixed, other = (
        torch.tensor(fusion.fuse(answers, person).logits) for person in (None, SECRET, ClinicalRecord(age=80, sex=0))
    )
    assert fusion.clinical is not None and isinstance(fusion.network, FeatureFusion)
    clinical = fusion.clinical
    features = torch.stack([answers[plane].pooled for plane in Plane])[None]
    fused = fusion.network.fused(features, torch.ones(1, 3, dtype=torch.bool))
    inputs = clinical_inputs(torch.tensor([SECRET.values()]), clinical.centre, clinical.spread)
    output = clinical.head(fused, *inputs)
    assert torch.allclose(output.image_logits[0], image, atol=1e-6), "the images' part is the answer without the person"
    assert torch.allclose(output.alpha * image + (1 - output.alpha) * output.clinical_logits[0], mixed, atol=1e-6)
    assert not torch.equal(other, mixed)
