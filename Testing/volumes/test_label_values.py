"""Which structure each value of a label map is: what a file says, and what it must not leave open."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from OrthoDiffusionLib.anatomy import load_joint
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.resources import resources_folder
from OrthoDiffusionLib.volumes.label_values import read_label_values
from OrthoDiffusionLib.volumes.volume import Volume

KNEE = load_joint("knee").structures


def written(folder: Path, text: str) -> Path:
    path = folder / "values.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_values_become_labels(tmp_path: Path) -> None:
    path = written(tmp_path, "values: {1: femur, 2: cartilage, 300: cartilage, 4: ignored, 5: background, 7: acl}")
    array = np.array([0, 1, 2, 300, 4, 5, -1], np.float32).reshape(1, 1, -1)
    labels = read_label_values(path, KNEE).applied(Volume(array, np.eye(4))).array
    assert labels.dtype == np.int16
    assert labels.ravel().tolist() == [0, 1, 5, 5, -1, 0, -1]


@pytest.mark.parametrize("value", [3.0, 1.5, 65537.0])
def test_a_value_that_is_not_named_is_told_with_the_file(tmp_path: Path, value: float) -> None:
    values = read_label_values(written(tmp_path, "values: {1: femur}"), KNEE)
    with pytest.raises(
        OrthoDiffusionError, match=f"holds the value {value:g}, which values.yaml does not name"
    ) as error:
        values.applied(Volume(np.array([[[1.0, value]]]), np.eye(4)))
    assert error.value.kind is ErrorKind.BAD_LABEL_MAP


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("values: {2: femurr}", "In values.yaml, the value 2 is “femurr”, which is no structure"),
        ("values: {1: femur, 1: tibia}", "values.yaml is not valid .it names 1 twice"),
        ("values: {one: femur}", "values.yaml is not valid .values.one: "),
        ("values: {1: femur}\nignored: [2]", "values.yaml is not valid .ignored: "),
        ("values: {}", "values.yaml is not valid .values: "),
        ("", "values.yaml is not valid"),
        ("- femur", "values.yaml is not valid"),
        ("values: [", "values.yaml is not valid .line 1 is no YAML"),
    ],
)
def test_a_file_that_says_nothing_clear_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(OrthoDiffusionError, match=sentence) as error:
        read_label_values(written(tmp_path, text), KNEE)
    assert error.value.kind is ErrorKind.BAD_SETTINGS


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(OrthoDiffusionError, match=r"none\.yaml cannot be read") as error:
        read_label_values(tmp_path / "none.yaml", KNEE)
    assert error.value.kind is ErrorKind.FILE_NOT_FOUND


def test_the_files_that_come_with_the_library_are_valid() -> None:
    files = list((resources_folder() / "LabelValues").glob("*.yaml"))
    assert files
    for file in files:
        assert read_label_values(file, KNEE).labels
