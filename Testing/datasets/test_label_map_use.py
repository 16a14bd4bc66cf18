"""Label maps that studies are made of: looked at before the long work, and looked at again when they change."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from OrthoDiffusionLib.cli.datasets import prepared_studies
from OrthoDiffusionLib.cli.left_out import LeftOut
from OrthoDiffusionLib.datasets import cache
from OrthoDiffusionLib.datasets.label_map_use import label_map_key
from OrthoDiffusionLib.datasets.stacks import StudyStacks
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.phantom.label_map_turns import LabelMapTurns
from OrthoDiffusionLib.volumes.writing import write_labels

BAD = np.full((4, 4, 4), 40, np.int16)


def knee(shift: int = 0) -> np.ndarray:
    """Boxes for femur, tibia and fibula, (i, j, k) in mm of RAS."""
    labels = np.zeros((100, 60, 120), np.int16)
    labels[10:70, 10 + shift : 50, 65:110] = 1
    labels[10:70, 10:50, 10:60] = 2
    labels[75:85, 20:30, 10:50] = 3
    return labels


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    """A folder of two people's label maps and one that is none, between them."""
    folder = tmp_path / "maps"
    folder.mkdir()
    for name, labels in (("anna", knee()), ("ben", BAD), ("carl", knee(1))):
        write_labels(folder / f"{name}.nii.gz", labels, np.eye(4))
    return folder


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The seeds that studies were made of: nothing is scanned."""
    seeds: list[int] = []

    def noted(seed: int, *_: object) -> StudyStacks:
        seeds.append(seed)
        return StudyStacks(f"phantom-{seed}", f"patient-{seed}", {}, np.zeros(1, np.float32), None, "knee")

    monkeypatch.setattr(cache, "_phantom", noted)
    return seeds


def turns(folder: Path) -> LabelMapTurns:
    return LabelMapTurns(tuple(sorted(folder.iterdir())))


def test_a_bad_map_is_told_before_any_study_is_made_or_left_out_if_asked(
    maps: Path, made: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def prepared(left_out: LeftOut) -> list[str]:
        studies = prepared_studies(None, "0:7", tmp_path / "cache", 16, left_out=left_out, maps=turns(maps))
        return [study.id for study in studies]

    with pytest.raises(OrthoDiffusionError, match="Label map 2 of 3: The value 40") as refusal:
        prepared(LeftOut(False))
    assert refusal.value.kind is ErrorKind.BAD_LABEL_MAP
    assert "leave the label map out with --skip-unusable" in refusal.value.action
    assert not made
    skipping = LeftOut(True)
    left = [f"phantom-{seed}" for seed in (0, 2, 3, 5, 6)]
    assert prepared(skipping) == left
    told = capsys.readouterr().err
    assert "1 label map is left out:" in told and told.count("value 40") == 1
    assert "ben" not in (tmp_path / "cache" / "unusable-studies.tsv").read_text(encoding="utf-8")
    assert len(made) == 5
    # Of maps whose studies are prepared nothing is read again.
    write_labels(maps / "ben.nii.gz", knee(2), np.eye(4))
    assert len(prepared(LeftOut(False))) == 7 and sorted(made[5:]) == [1, 4]
    assert not (tmp_path / "cache" / "unusable-studies.tsv").exists()


def test_a_single_label_map_is_refused_before_any_study_is_made(maps: Path, made: list[int], tmp_path: Path) -> None:
    (maps / "carl.nii.gz").unlink()
    for some, left_out in ((turns(maps), LeftOut(True)), (LabelMapTurns((maps / "anna.nii.gz",) * 2), LeftOut(False))):
        with pytest.raises(OrthoDiffusionError, match="One label map is too few to train on") as refusal:
            prepared_studies(None, "0:4", tmp_path / "cache", 16, left_out=left_out, maps=some)
        assert refusal.value.kind is ErrorKind.USAGE
    assert not made


@pytest.mark.parametrize("beside", [True, False])
def test_a_label_map_that_is_gone_is_told_as_such(maps: Path, made: list[int], tmp_path: Path, beside: bool) -> None:
    paths = (*((maps / "anna.nii.gz",) if beside else ()), tmp_path / "gone.nii.gz")
    with pytest.raises(OrthoDiffusionError, match="There is no such file or folder") as refusal:
        prepared_studies(None, "0:4", tmp_path, 16, left_out=LeftOut(True), maps=LabelMapTurns(paths))
    assert refusal.value.kind is ErrorKind.FILE_NOT_FOUND
    assert not made


@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
def test_voxels_beside_a_header_are_part_of_the_key(tmp_path: Path, suffix: str) -> None:
    def written(labels: np.ndarray) -> Path:
        image = sitk.GetImageFromArray(labels.transpose(2, 1, 0))
        image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
        sitk.WriteImage(image, str(tmp_path / f"map{suffix}"))
        return tmp_path / f"map{suffix}"

    maps = LabelMapTurns((written(knee()),))
    before, header = label_map_key(maps, 0), maps.key(0)
    kept = maps.paths[0].with_name(f"kept{suffix}")
    shutil.copy2(maps.paths[0], kept)
    written(knee(1))
    shutil.copy2(kept, maps.paths[0])
    assert maps.key(0) == header
    assert label_map_key(maps, 0) != before
    written(knee())
    shutil.copy2(kept, maps.paths[0])
    assert label_map_key(maps, 0) == before


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_voxels_within_a_file_are_not_read_for_its_key(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"map{suffix}"
    sitk.WriteImage(sitk.GetImageFromArray(knee().transpose(2, 1, 0)), str(path))
    maps = LabelMapTurns((path,))
    monkeypatch.setattr(LabelMapTurns, "label_map", lambda *_: pytest.fail("The voxels were read."))
    assert label_map_key(maps, 0) == maps.key(0)


def test_another_reader_makes_studies_of_label_maps_again_and_no_others(
    maps: Path, made: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = LabelMapTurns((maps / "anna.nii.gz",))

    def files() -> list[Path]:
        return [cache.prepare_phantoms([3], tmp_path, 16, maps=one)[0].path for one in (None, some)]

    before, code_hash = files(), cache._code_hash
    monkeypatch.setattr(cache, "_code_hash", lambda of: "another" if of == cache.READING_CODE else code_hash(of))
    after = files()
    assert before[0] == after[0] and before[1] != after[1]
