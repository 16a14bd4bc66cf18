"""Bundles of any joint are measured on phantoms of it, by what they have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

from tiny_bundle import DIAGNOSES, SEGMENTS, write_tiny_bundle
from typer.testing import CliRunner

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.bundles.opening import open_bundle
from OrthoDiffusionLib.cli.app import app
from OrthoDiffusionLib.errors import ErrorKind
from OrthoDiffusionLib.evaluation.evaluation import Contrast
from OrthoDiffusionLib.evaluation.phantoms import evaluate_on_phantoms
from OrthoDiffusionLib.evaluation.report import markdown, with_measurements
from OrthoDiffusionLib.phantom import make_study


def test_masks_alone_of_an_ankle_are_measured_without_findings(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "ankle-masks", {Plane.SAGITTAL: (SEGMENTS,)}, "ankle")
    measured = evaluate_on_phantoms(str(bundle), 2, 90000, "island", lambda: None)
    assert set(measured.dice) == {"sagittal"}
    assert set(measured.dice["sagittal"]) == {structure.key for structure in load_joint("ankle").structures}
    assert measured.auroc == {}
    told = json.loads(json.dumps(measured.to_json_dict(), allow_nan=False))
    assert told["macro_auroc"] is None and told["ece"] is None
    assert 0 <= told["mean_dice"] <= 1
    assert [row[0] for row in measured.table()][:1] == ["mean Dice"]
    assert "AUROC" not in markdown(measured)


def test_contrasts_of_chance_are_other_images_of_the_same_joints(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "knee-findings", {Plane.SAGITTAL: (DIAGNOSES,)})
    physical, random = (
        evaluate_on_phantoms(str(bundle), 2, 90000, None, lambda: None, contrast=contrast)
        for contrast in get_args(Contrast)
    )
    assert physical.ece != random.ece
    assert "at island" in physical.conditions() and "in contrasts of chance" in random.conditions()
    told = [(measured.to_json_dict()["centre"], measured.to_json_dict()["contrast"]) for measured in (physical, random)]
    assert told == [("island", "physical"), ("anywhere", "random")]


def test_a_centre_whose_contrast_is_of_chance_is_refused(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "knee-findings", {Plane.SAGITTAL: (DIAGNOSES,)})
    done = CliRunner().invoke(app, ["evaluate", "--bundle", str(bundle), "--centre", "hill", "--contrast", "random"])
    assert done.exit_code == ErrorKind.USAGE.exit_code
    assert "Leave out --centre or --contrast random" in " ".join(done.output.split())


def test_findings_alone_are_measured_without_masks(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "knee-findings", {Plane.CORONAL: (DIAGNOSES,)})
    done = CliRunner().invoke(app, ["evaluate", "--bundle", str(bundle), "--studies", "2", "--write-card", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["dice"] == told["plane_dice"] == {}
    assert len(told["auroc"]) == 8
    assert told["mean_dice"] is None
    assert 0 <= told["ece"] <= 1
    # The bundle that is written again is whole, hashes and all.
    card = open_bundle(bundle).card()
    assert f"| expected calibration error | {told['ece']:.2f} (" in card
    assert "2 phantoms from seed 90000 at island" in card
    assert "| Dice |" not in card


def test_findings_as_often_as_in_patients_are_measured_and_seeds_of_training_are_told(tmp_path: Path) -> None:
    """Of two phantoms, most findings of an ankle occur in none or in both."""
    bundle = write_tiny_bundle(
        tmp_path / "ankle", {Plane.SAGITTAL: (DIAGNOSES,)}, "ankle", seeds="8 to 20 for findings"
    )
    done = CliRunner().invoke(
        app,
        ["evaluate", "--bundle", str(bundle), "--studies", "2", "--seed", "20", "--clinical", "--write-card", "--json"],
    )
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert "trained on 1 of these 2 phantoms" in done.stderr and "8 to 20 for findings" in done.stderr
    assert told["rates"] == "clinical" and told["seeds_seen_in_training"] == [20]
    drawn = [make_study(seed, "ankle", prevalence="clinical").findings for seed in (20, 21)]
    differ = {key for key in drawn[0] if (drawn[0][key] > 0) != (drawn[1][key] > 0)}
    assert len(differ) < len(drawn[0])
    assert set(told["undefined_auroc"]) == set(drawn[0]) - differ
    assert told["macro_auroc_findings"] == len(differ)
    assert (told["macro_auroc"] is None) == (not differ)
    card = open_bundle(bundle).card()
    assert "with findings as often as in patients" in card and "whose AUROC is not defined" in card
    assert "The bundle was trained on 1 of these phantoms." in card


def test_new_figures_leave_the_other_sections_of_a_model_card_alone() -> None:
    card = "# A\n\n## Measured on patients\n\nnone\n\n## Measured\n\nold\n\n### More\n\nold\n\n## Contact\n\nus\n"
    new = with_measurements(card, "## Measured\n\nnew\n")
    assert new == "# A\n\n## Measured on patients\n\nnone\n\n## Contact\n\nus\n\n## Measured\n\nnew\n"
    assert with_measurements(new, "## Measured\n\nnew\n") == new
