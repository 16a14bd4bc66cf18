"""The fixtures of the desktop's tests: a running stand-in, and the module's panel in it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from desktop.environment import prepare, skip_reason

MODULE = Path(__file__).parents[2] / "OrthoDiffusion" / "OrthoDiffusion.py"

REASON = skip_reason()
collect_ignore_glob = ["test_*.py"] if REASON else []


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
def panel(desktop: Any, no_stray_errors: None) -> Iterator[Any]:
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
