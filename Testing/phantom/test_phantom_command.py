"""`orthodiffusion phantom`: what it writes can be trained on, and tells nothing of whose masks it was made of."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from matplotlib.image import imread
from typer.testing import CliRunner

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.cli.app import app
from OrthoDiffusionLib.datasets.cache import prepare_manifest
from OrthoDiffusionLib.datasets.manifest import read_manifest
from OrthoDiffusionLib.errors import ErrorKind
from OrthoDiffusionLib.phantom import Anatomy, PhantomStudy
from OrthoDiffusionLib.phantom.label_map_files import content_name
from OrthoDiffusionLib.phantom.montage import montage
from OrthoDiffusionLib.phantom.writing import write_study
from OrthoDiffusionLib.resources import resources_folder
from OrthoDiffusionLib.volumes.nifti import read_nifti
from OrthoDiffusionLib.volumes.volume import Volume
from OrthoDiffusionLib.volumes.writing import write_labels

NAMES = ("anna_smith.nii.gz", "ben_jones.nii.gz")
"""Of label maps, as a hospital may name them."""


@pytest.fixture(autouse=True)
def made_already(
    healthy_anatomies: dict[str, Anatomy], healthy_studies: dict[str, PhantomStudy], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every study is the healthy left knee: what the command does with studies is tested, not how they are made."""
    anatomy, study = healthy_anatomies["left"], healthy_studies["left"]

    def from_labels(labels: Volume, seed: int, side: str | None) -> Anatomy:
        return replace(anatomy, findings={}, seed=seed, label_map=content_name(labels))

    def scanned(anatomy: Anatomy, seed: int, centre: str | None, contrast: str) -> PhantomStudy:
        return replace(study, findings=anatomy.findings, seed=seed, label_map=anatomy.label_map)

    def drawn(seed: int, joint: str, findings: dict[str, float] | None, *_: object) -> PhantomStudy:
        found = {"ACL": 0.7} if findings is None else findings
        return replace(study, findings={**study.findings, **found}, seed=seed, joint=joint)

    monkeypatch.setattr("OrthoDiffusionLib.phantom.label_map_turns.anatomy_from_labels", from_labels)
    for name, made in (("scan_anatomy", scanned), ("make_study", drawn)):
        monkeypatch.setattr(f"OrthoDiffusionLib.cli.phantom_making.{name}", made)


@pytest.fixture
def maps(healthy_studies: dict[str, PhantomStudy], tmp_path: Path) -> Path:
    """A folder of two people's label maps, and what a Mac leaves beside them."""
    folder = tmp_path / "maps"
    folder.mkdir()
    series = healthy_studies["left"].planes[Plane.AXIAL]
    for number, name in enumerate(NAMES):
        array = series.labels.copy()
        array[0, 0, 0] = -number
        write_labels(folder / name, array, series.volume.affine)
    (folder / f"._{NAMES[0]}").write_bytes(b"Mac OS X")
    return folder


def phantom(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["phantom", *map(str, arguments)])


def truth(output: Path, number: int) -> dict[str, object]:
    content = json.loads((output / f"phantom-{number:06d}" / "truth" / "truth.json").read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def test_label_maps_of_a_folder_take_turns_and_become_a_dataset(maps: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    done = phantom("--output", output, "--seed", 4, "--studies", 3, "--labels", maps)
    assert done.exit_code == 0, done.output
    used = [truth(output, number)["label_map"] for number in (4, 5, 6)]
    assert used[0] == used[2] != used[1]
    assert not any(truth(output, number)["findings"] for number in (4, 5, 6))
    # Another run's fifth study is the same one.
    assert phantom("--output", tmp_path / "more", "--seed", 5, "--labels", maps).exit_code == 0
    assert truth(tmp_path / "more", 5) == truth(output, 5)
    for file in output.rglob("*.*"):
        assert not any(part in file.name for part in ("anna", "ben"))
        if file.suffix in (".json", ".yaml"):
            assert not any(part in file.read_text(encoding="utf-8") for part in ("anna", "ben"))
    manifest = read_manifest(output / "dataset.yaml")
    assert [study.id for study in manifest.studies] == ["phantom-000004", "phantom-000005", "phantom-000006"]
    # A split must not have one person's masks in two parts.
    assert [study.patient for study in manifest.studies] == [f"label-map-{name}" for name in used]
    study = prepare_manifest(manifest, tmp_path / "cache", 16)[0]
    assert study.masked == {plane: (True,) for plane in Plane}
    assert np.isnan(study.present).all()
    _, labels = study.window(Plane.SAGITTAL, 0, 2)
    assert labels is not None and labels.any()


def test_drawn_studies_are_listed_with_their_findings_and_those_of_earlier_runs(tmp_path: Path) -> None:
    for seed in (3, 1):
        done = phantom("--output", tmp_path, "--seed", seed)
        assert done.exit_code == 0, done.output
    assert "label_map" not in truth(tmp_path, 3)
    manifest = read_manifest(tmp_path / "dataset.yaml")
    assert [(study.id, study.patient) for study in manifest.studies] == [
        ("phantom-000003",) * 2,
        ("phantom-000001",) * 2,
    ]
    keys = [finding.key for finding in load_joint("knee").findings]
    assert manifest.studies[0].findings == {key: int(key == "ACL") for key in keys}
    assert phantom("--output", tmp_path, "--seed", 3, "--overwrite").exit_code == 0
    assert read_manifest(tmp_path / "dataset.yaml") == manifest
    refused = phantom("--output", tmp_path, "--seed", 7, "--joint", "ankle")
    assert refused.exit_code == ErrorKind.OUTPUT_NOT_WRITABLE.exit_code
    assert "dataset.yaml of another dataset" in refused.output
    assert not (tmp_path / "phantom-000007").exists()


def test_a_montage_shows_a_real_series_beside_the_phantom(
    healthy_studies: dict[str, PhantomStudy], tmp_path: Path
) -> None:
    write_study(healthy_studies["right"], tmp_path / "real")
    series = tmp_path / "real" / "study" / "sagittal.nii.gz"
    for name, options in (("alone", ["--montage"]), ("both", ["--beside", series])):
        done = phantom("--output", tmp_path / name, *options)
        assert done.exit_code == 0, done.output
    alone, both = (imread(tmp_path / name / "phantom-000000" / "montage.png") for name in ("alone", "both"))
    assert both.shape != alone.shape
    assert alone.std() > 0.05 and both.std() > 0.05


def test_a_file_says_which_structure_each_value_of_a_map_is(
    healthy_studies: dict[str, PhantomStudy], tmp_path: Path
) -> None:
    series = healthy_studies["left"].planes[Plane.SAGITTAL]
    keys = {structure.key: structure.label for structure in load_joint("knee").structures}
    as_oai_zib = np.zeros_like(series.labels)
    for value, key in ((1, "femur"), (2, "cartilage"), (3, "tibia")):
        as_oai_zib[series.labels == keys[key]] = value
    write_labels(tmp_path / "map.nii.gz", as_oai_zib, series.volume.affine)
    common = ("--labels", tmp_path / "map.nii.gz", "--output", tmp_path / "out")
    values = resources_folder() / "LabelValues" / "oai-zib.yaml"
    for options, sentence in (
        ((), "The fibula is larger than the tibia"),
        (("--label-values", values), "Nothing in the label map tells a left knee from a right one. Say it with --side"),
    ):
        refused = phantom(*common, *options)
        assert refused.exit_code == ErrorKind.BAD_LABEL_MAP.exit_code
        assert sentence in " ".join(refused.output.split())
    done = phantom(*common, "--label-values", values, "--side", "left")
    assert done.exit_code == 0, done.output
    kept = (keys["femur"], keys["cartilage"], keys["tibia"])
    own = np.where(np.isin(series.labels, kept), series.labels, 0)
    affine = read_nifti(tmp_path / "map.nii.gz").affine
    assert truth(tmp_path / "out", 0)["label_map"] == content_name(Volume(own, affine))
    alone = phantom("--output", tmp_path / "more", "--label-values", values)
    assert alone.exit_code == ErrorKind.USAGE.exit_code and "add --labels" in alone.output


def test_label_maps_and_findings_as_in_patients_exclude_each_other(maps: Path, tmp_path: Path) -> None:
    refused = phantom("--output", tmp_path / "out", "--labels", maps, "--clinical")
    assert refused.exit_code == ErrorKind.USAGE.exit_code
    assert "Leave out --clinical or --labels" in " ".join(refused.output.split())
    assert not (tmp_path / "out").exists()


def test_findings_can_be_asked_for(tmp_path: Path) -> None:
    for name, asked, expected in (
        ("two", ("ACL=0.8", "PD"), {"ACL": 0.8, "PD": 1.0}),
        ("healthy", ("none",), {}),
    ):
        options = [part for text in asked for part in ("--finding", text)]
        done = phantom("--output", tmp_path / name, *options)
        assert done.exit_code == 0, done.output
        found = truth(tmp_path / name, 0)["findings"]
        assert isinstance(found, dict)
        assert {key: value for key, value in found.items() if value} == expected


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--finding", "ACL=2"), "ACL=2 has no severity over 0 and up to 1"),
        (("--finding", "ACL=x"), "ACL=x has no severity"),
        (("--finding", "ATFL=1"), "ATFL=1 names no finding of the knee"),
        (("--finding", "none", "--finding", "ACL"), "none names no finding of the knee"),
        (("--finding", "ACL", "--clinical"), "Leave out --finding, or --clinical and --labels"),
    ],
)
def test_findings_that_cannot_be_are_refused(options: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    refused = phantom("--output", tmp_path / "out", *options)
    assert refused.exit_code == ErrorKind.USAGE.exit_code
    assert sentence in " ".join(refused.output.split())
    assert not (tmp_path / "out").exists()


def test_a_montage_shows_equal_places_at_one_scale(healthy_studies: dict[str, PhantomStudy]) -> None:
    """The real series is the phantom's own, with air around and twice as many slices beyond its ends."""
    study = healthy_studies["right"]
    stack = study.planes[Plane.SAGITTAL].volume
    axis = int(np.linalg.norm(stack.affine[:3, :3], axis=0).argmax())
    margins = [(20, 20)] * 3
    margins[axis] = (stack.shape[axis] // 2,) * 2
    wide = Volume(np.pad(stack.array, margins), stack.affine)
    axes = montage(study, columns=3, beside={Plane.SAGITTAL: wide}).axes
    first = 3 * 2 * list(study.planes).index(Plane.SAGITTAL)
    for drawn, real in zip(axes[first : first + 3], axes[first + 3 : first + 6], strict=True):
        assert drawn.get_xlim() == real.get_xlim() and drawn.get_ylim() == real.get_ylim()
        assert drawn.images[0].get_extent()[1] < real.images[0].get_extent()[1]
        assert np.array_equal(drawn.images[0].get_array(), real.images[0].get_array()[20:-20, 20:-20])


def test_a_random_contrast_has_no_centre(tmp_path: Path) -> None:
    refused = phantom("--output", tmp_path / "out", "--centre", "hill", "--contrast", "random")
    assert refused.exit_code == ErrorKind.USAGE.exit_code
    assert "not those of a centre such as hill. Leave out --centre" in " ".join(refused.output.split())
    assert not (tmp_path / "out").exists()
    for options in (("--centre", "hill"), ("--contrast", "random")):
        assert phantom("--output", tmp_path / options[0], *options).exit_code == 0


def test_a_bad_label_map_is_told_by_its_number_before_anything_is_written(maps: Path, tmp_path: Path) -> None:
    write_labels(maps / "carl.nii.gz", np.full((4, 4, 4), 40, np.int16), np.eye(4))
    refused = phantom("--output", tmp_path / "out", "--studies", 3, "--labels", maps)
    assert refused.exit_code == ErrorKind.BAD_LABEL_MAP.exit_code
    assert "Label map 3 of 3: The value 40 is no label of the knee." in " ".join(refused.output.split())
    assert "carl" not in refused.output
    assert not (tmp_path / "out").exists()
