"""From the button to the scene: the sample study through the real worker with the bundle that comes with the module."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

slicer = pytest.importorskip("slicer", reason="needs the wheel slicer-core")

BUNDLES = Path(__file__).parents[2] / "Resources" / "Bundles"
pytestmark = pytest.mark.skipif(
    not list(BUNDLES.glob("*/configs/metadata.json")), reason="no bundle in Resources/Bundles"
)


def test_segment_the_sample_study(panel: Any, wait: Callable[..., None], private_places: Path) -> None:
    panel.ui.sampleButton.click()
    panel.ui.segmentButton.click()
    said: set[str] = set()
    wait(lambda: said.add(panel.ui.statusLabel.text) or panel.ui.segmentButton.enabled, 200)
    assert panel.ui.statusLabel.text.startswith("Done."), panel.ui.statusLabel.text
    assert len(said) > 4
    (segmentation,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    (table,) = slicer.util.getNodesByClass("vtkMRMLTableNode")
    assert segmentation.GetSegmentation().GetNumberOfSegments() == 11
    assert table.GetTable().GetNumberOfRows() == panel.ui.findingsTable.rowCount == 8
    assert panel.ui.structuresTable.rowCount == 11
    assert panel.ui.structuresTable.columnCount == 4
    assert "not for diagnosis" in panel.ui.noticeLabel.text
    assert segmentation.GetAttribute("OrthoDiffusion.Notice") == panel.ui.noticeLabel.text
    assert not list((private_places / "temporary").glob("*/orthodiffusion-job-*"))
    _picture(panel, private_places / "panel.png")


def test_the_test_that_slicer_runs(panel: Any) -> None:
    test = sys.modules["OrthoDiffusion"].OrthoDiffusionTest()
    test.runTest()


def _picture(panel: Any, path: Path) -> None:
    panel.parent.resize(440, 900)
    assert panel.parent.grab().save(str(path))
    assert path.stat().st_size > 5000
