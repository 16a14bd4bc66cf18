"""The panel with a real worker process: progress, cancel, death, the end; and no file of it left behind."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="needs the wheel slicer-core")

from OrthoDiffusionSlicer.environment import Installation  # noqa: E402
from OrthoDiffusionSlicer.scene import add_volume  # noqa: E402

SLOW = (str(Path(__file__).parents[1] / "worker" / "slow_worker.py"),)
DEAF = ("-c", "import sys, time; print('{}', flush=True); time.sleep(60)")


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def files_left(places: Path) -> list[Path]:
    return list((places / "temporary").rglob("*"))


@pytest.fixture
def use_worker(monkeypatch: pytest.MonkeyPatch) -> Callable[[tuple[str, ...]], None]:
    """Have the module start another program for its worker."""

    def use(arguments: tuple[str, ...], program: str = sys.executable) -> None:
        monkeypatch.setattr(Installation, "worker_command", lambda self: (program, list(arguments)))

    return use


@pytest.fixture
def running(panel: Any, use_worker: Any, wait: Any) -> Any:
    """The panel with the slow worker in the middle of a run."""
    use_worker(SLOW)
    node = add_volume(slicer.mrmlScene, "Jane Doe", np.zeros((4, 4, 4), np.int16), np.eye(4))
    panel.ui.sagittalSelector.setCurrentNode(node)
    panel.ui.segmentButton.click()
    wait(lambda: panel.ui.statusLabel.text == "Wärten")
    return panel


def test_while_it_runs(running: Any, private_places: Path) -> None:
    assert running.ui.progressBar.visible or not running.parent.visible
    assert running.ui.cancelButton.enabled
    assert not running.ui.segmentButton.enabled
    assert "Wait until the study" in running.ui.segmentButton.toolTip
    (folder,) = (private_places / "temporary").glob("orthodiffusion-*")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert not any("Jane" in path.name for path in folder.rglob("*"))


def test_cancel_keeps_the_worker(running: Any, wait: Any, private_places: Path) -> None:
    pid = running.logic.worker.pid
    running.ui.cancelButton.click()
    wait(lambda: running.ui.segmentButton.enabled, 2)
    assert "cancelled" in running.ui.statusLabel.text
    assert not list((private_places / "temporary").glob("*/orthodiffusion-job-*"))
    running.ui.segmentButton.click()
    wait(lambda: running.ui.statusLabel.text == "Wärten")
    assert running.logic.worker.pid == pid


def test_cancel_of_a_worker_that_does_not_listen(
    panel: Any, use_worker: Any, wait: Any, monkeypatch: pytest.MonkeyPatch, private_places: Path
) -> None:
    monkeypatch.setattr("OrthoDiffusionSlicer.worker_client.CANCEL_GRACE_MS", 100)
    use_worker(DEAF)
    panel.ui.sagittalSelector.setCurrentNode(
        add_volume(slicer.mrmlScene, "some", np.zeros((4, 4, 4), np.int16), np.eye(4))
    )
    panel.ui.segmentButton.click()
    wait(lambda: panel.logic.worker.pid)
    pid = panel.logic.worker.pid
    panel.ui.cancelButton.click()
    wait(lambda: panel.ui.segmentButton.enabled, 5)
    assert "was cancelled" in panel.ui.statusLabel.text
    assert gone(pid)
    assert files_left(private_places) == []


def test_a_stuck_worker_behind_a_launcher_is_killed_too(
    panel: Any, use_worker: Any, wait: Any, monkeypatch: pytest.MonkeyPatch, private_places: Path
) -> None:
    """As PythonSlicer is one: the process that Qt can kill is not the worker."""
    monkeypatch.setattr("OrthoDiffusionSlicer.worker_client.CANCEL_GRACE_MS", 100)
    worker = shlex.join([sys.executable, *SLOW])
    use_worker(("-c", f"exec 3<&0; {worker} <&3 & wait"), "/bin/sh")
    panel.ui.sagittalSelector.setCurrentNode(
        add_volume(slicer.mrmlScene, "some", np.zeros((4, 4, 4), np.int16), np.eye(4))
    )
    panel.ui.segmentButton.click()
    wait(lambda: panel.ui.statusLabel.text == "Wärten")
    launcher, pid = panel.logic.worker.pid, panel.logic.worker._workerPid
    assert pid not in (0, launcher)
    os.kill(pid, signal.SIGSTOP)
    panel.ui.cancelButton.click()
    wait(lambda: panel.ui.segmentButton.enabled, 5)
    assert "was cancelled" in panel.ui.statusLabel.text
    wait(lambda: gone(launcher) and gone(pid), 5)
    assert files_left(private_places) == []


def test_a_result_that_cannot_be_shown_leaves_a_working_panel(running: Any) -> None:
    job = running.logic.job
    job.output.mkdir()
    (job.output / "result.json").write_text('{"segmentation": null, "findings": [{}]}')
    running.logic._finish(lambda *_: None, running._onError)
    assert "could not be shown" in running.ui.statusLabel.text
    assert running.ui.segmentButton.enabled
    assert running.logic.job is None
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLTableNode") == 0


def test_killed_in_the_middle(running: Any, wait: Any, private_places: Path) -> None:
    pid = running.logic.worker.pid
    os.kill(pid, signal.SIGKILL)
    wait(lambda: running.ui.segmentButton.enabled)
    assert "ended in the middle of its work. Click again" in running.ui.statusLabel.text
    assert files_left(private_places) == []
    running.ui.segmentButton.click()
    wait(lambda: running.ui.statusLabel.text == "Wärten")
    assert running.logic.worker.pid not in (0, pid)


def test_a_program_that_is_not_there(panel: Any, use_worker: Any, wait: Any, private_places: Path) -> None:
    use_worker((), "/no/such/program")
    panel.ui.sagittalSelector.setCurrentNode(
        add_volume(slicer.mrmlScene, "some", np.zeros((4, 4, 4), np.int16), np.eye(4))
    )
    panel.ui.segmentButton.click()
    wait(lambda: panel.ui.segmentButton.enabled)
    assert "could not be started" in panel.ui.statusLabel.text
    assert files_left(private_places) == []


def test_scene_close_drops_the_run(running: Any, wait: Any) -> None:
    slicer.mrmlScene.Clear()
    wait(lambda: not running.ui.cancelButton.enabled)
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_another_module_may_be_opened_meanwhile(running: Any, wait: Any) -> None:
    running.exit()
    running.ui.cancelButton.click()
    wait(lambda: running.logic.job is None)
    running.enter()
    assert running.ui.segmentButton.enabled
    assert not running.ui.cancelButton.enabled


def test_cleanup_ends_the_worker(running: Any, wait: Any, private_places: Path) -> None:
    pid = running.logic.worker.pid
    running.cleanup()
    assert gone(pid)
    assert files_left(private_places) == []
