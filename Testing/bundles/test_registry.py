"""Bundles are found whatever else lies in their folder, and whoever asks."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_bundle import DIAGNOSES, write_tiny_bundle

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.bundles.opening import open_bundle
from OrthoDiffusionLib.bundles.registry import (
    USER_FOLDER_VARIABLE,
    BundleEntry,
    bundle_folders,
    find_bundle,
    list_bundles,
    user_folder,
)
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The person's own folder, with one good bundle and another folder beside it."""
    folder = tmp_path / "own"
    monkeypatch.setenv(USER_FOLDER_VARIABLE, str(folder))
    write_tiny_bundle(folder / "good", {Plane.AXIAL: (DIAGNOSES,)})
    shutil.copytree(folder / "good", folder / "closed")
    return folder


@pytest.fixture
def closed(own: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that nobody may enter: the real thing where rights are asked, a stand-in for the superuser."""
    folder = own / "closed"
    if os.name == "posix" and os.geteuid() != 0:
        folder.chmod(0)
        yield folder
        folder.chmod(0o700)
        return
    stat = os.stat

    def refuse(path: Any, *arguments: Any, **more: Any) -> os.stat_result:
        if isinstance(path, (str, os.PathLike)) and folder in Path(path).parents:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, *arguments, **more)

    monkeypatch.setattr(os, "stat", refuse)
    yield folder


def own_entries() -> list[BundleEntry]:
    return [entry for entry in list_bundles() if entry.origin == "user"]


def kind_of(action: Callable[[], object]) -> ErrorKind:
    with pytest.raises(OrthoDiffusionError) as caught:
        action()
    return caught.value.kind


def test_a_folder_that_cannot_be_entered_stops_no_other(own: Path, closed: Path) -> None:
    refused, good = own_entries()
    assert (refused.name, refused.problem) == ("closed", "Its folder cannot be read.")
    assert (good.name, good.problem) == ("good", None)
    assert find_bundle("good") == own / "good"
    assert find_bundle(None) != closed


def test_a_bundle_that_cannot_be_entered_is_told_by_a_sentence(closed: Path) -> None:
    assert find_bundle("closed") == closed
    assert kind_of(lambda: open_bundle(closed)) is ErrorKind.BUNDLE_MISSING_FILE
    assert kind_of(lambda: find_bundle(str(closed / "within"))) is ErrorKind.BUNDLE_NOT_FOUND


def test_what_is_no_bundle_is_passed_over(own: Path) -> None:
    (own / "a file.txt").touch()
    (own / "a folder").mkdir()
    (own / "a link to nowhere").symlink_to(own / "nowhere")
    (own / "a manifest that is a folder" / "configs" / "metadata.json").mkdir(parents=True)
    assert [entry.name for entry in own_entries()] == ["good", "good"]


@pytest.mark.parametrize("obstacle", ["a file", "cannot be listed"])
def test_a_users_folder_that_cannot_be_listed_is_as_if_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, obstacle: str
) -> None:
    monkeypatch.setenv(USER_FOLDER_VARIABLE, str(tmp_path / "own"))
    if obstacle == "a file":
        (tmp_path / "own").touch()
    else:
        iterdir = Path.iterdir

        def refuse(folder: Path) -> Any:
            if folder == tmp_path / "own":
                raise PermissionError(errno.EACCES, "Permission denied", str(folder))
            return iterdir(folder)

        (tmp_path / "own").mkdir()
        monkeypatch.setattr(Path, "iterdir", refuse)
    assert own_entries() == []


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    for name in (USER_FOLDER_VARIABLE, "LOCALAPPDATA", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("system", ["linux", "darwin", "win32"])
def test_a_user_without_a_home_has_the_bundled_ones(
    homeless: None, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", system)
        assert user_folder() is None
    assert list(bundle_folders()) == ["bundled"]
    assert own_entries() == []


@pytest.mark.parametrize(("system", "variable"), [("linux", "XDG_DATA_HOME"), ("win32", "LOCALAPPDATA")])
def test_a_home_is_not_asked_for_where_the_folder_is_named(
    homeless: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, system: str, variable: str
) -> None:
    monkeypatch.setenv(variable, str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", system)
        assert user_folder() == tmp_path / "orthodiffusion" / "bundles"
    monkeypatch.setenv(variable, "")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", system)
        assert user_folder() is None, "an empty name is none"
