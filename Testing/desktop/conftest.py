"""The fixtures of the desktop's tests: a running stand-in, and the module's panel in it."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from desktop.environment import prepare, skip_reason

MODULE = Path(__file__).parents[2] / "OrthoDiffusion" / "OrthoDiffusion.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the desktop's tests where it cannot run, and say what to install."""
    reason = skip_reason()
    for item in items:
        if reason and Path(item.path).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def desktop() -> Any:
    """The running program."""
    prepare()
    from desktop import slicerapp

    slicerapp.start()
    return slicerapp


@pytest.fixture
def no_stray_errors(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail the test when a slot or observer raised: Qt and VTK only print it."""
    errors: list[BaseException] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: errors.append(error))
    yield
    if errors:
        raise errors[0]


@pytest.fixture
def private_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files, and one for the person's bundles with a bundle in it that has but a title."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    manifest = tmp_path / "bundles" / "mine" / "configs" / "metadata.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text(json.dumps({"name": "mine", "title": "My own model"}))
    monkeypatch.setenv("ORTHODIFFUSION_BUNDLES", str(tmp_path / "bundles"))
    return tmp_path


@pytest.fixture
def panel(desktop: Any, private_places: Path, no_stray_errors: None) -> Iterator[Any]:
    """The module's panel in an empty scene."""
    import slicer

    slicer.mrmlScene = desktop.new_scene()
    widget = desktop.open_module(MODULE)
    yield widget
    widget.cleanup()
    widget.parent.deleteLater()


@pytest.fixture
def wait(desktop: Any) -> Callable[..., None]:
    """Let the program run until something holds."""
    import slicer

    def until(holds: Callable[[], Any], seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, "it did not come to pass in time"
            slicer.app.processEvents()
            time.sleep(0.005)

    return until
