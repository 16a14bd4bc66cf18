"""The module's panel: what can be pressed, and what a tooltip says when it cannot."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="needs the wheel slicer-core")

from OrthoDiffusionSlicer.protocol import WorkerError  # noqa: E402
from OrthoDiffusionSlicer.scene import add_volume  # noqa: E402

from OrthoDiffusionLib.anatomy import Plane  # noqa: E402
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError  # noqa: E402
from OrthoDiffusionLib.volumes.checks import check_study  # noqa: E402
from OrthoDiffusionLib.volumes.visits import say_several_visits  # noqa: E402
from OrthoDiffusionLib.volumes.volume import SeriesSource, Volume  # noqa: E402


def some_volume(name: str = "some") -> Any:
    return add_volume(slicer.mrmlScene, name, np.zeros((4, 4, 4), np.int16), np.eye(4))


def test_the_stand_in_refuses_what_pythonqt_refuses(panel: Any) -> None:
    button = panel.ui.segmentButton
    with pytest.raises(AttributeError, match="enbled"):
        button.enbled = True
    with pytest.raises(ValueError, match="no signal"):
        button.connect("pushed(bool)", lambda _checked: None)
    assert (button.text, button.name, button.className()) == ("Segment", "segmentButton", "QPushButton")


def test_buttons_say_all_that_is_missing(panel: Any) -> None:
    ui = panel.ui
    assert not ui.segmentButton.enabled
    assert ui.segmentButton.toolTip == "Choose at least one volume."
    assert not ui.cancelButton.enabled
    node = some_volume()
    assert not ui.segmentButton.enabled, "no volume is chosen unasked"
    ui.sagittalSelector.setCurrentNode(node)
    assert ui.segmentButton.enabled and ui.diagnoseButton.enabled
    assert "Segment all slices" in ui.segmentButton.toolTip
    ui.axialSelector.setCurrentNode(node)
    node.SetAndObserveTransformNodeID(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode").GetID())
    panel.exit()
    panel.enter()
    assert not ui.diagnoseButton.enabled
    assert "different volume for each plane" in ui.diagnoseButton.toolTip
    assert "Harden the transform of “some”" in ui.diagnoseButton.toolTip


def volume_of(patient: str, uid: str, study_uid: str = "") -> Any:
    """A volume under a folder under a study under a patient, as DICOM and a person who tidies up leave it."""
    node = some_volume(f"of {patient}")
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    subject = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), patient)
    if uid:
        hierarchy.SetItemUID(subject, slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMUIDName(), uid)
    study = hierarchy.CreateStudyItem(subject, "knee")
    if study_uid:
        hierarchy.SetItemUID(study, slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMUIDName(), study_uid)
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(node), hierarchy.CreateFolderItem(study, "series"))
    return node


def test_series_of_different_patients_are_not_combined(panel: Any, caplog: pytest.LogCaptureFixture) -> None:
    ui = panel.ui
    someone, another = volume_of("Jane Doe", "4711"), volume_of("John Doe", "4712")
    ui.sagittalSelector.setCurrentNode(someone)
    ui.axialSelector.setCurrentNode(another)
    with pytest.raises(OrthoDiffusionError) as caught:
        check_study(
            {
                plane: Volume(np.full((4, 4, 4), number), np.eye(4), SeriesSource(patient_key=str(number)))
                for number, plane in enumerate((Plane.SAGITTAL, Plane.AXIAL))
            },
            check_planes=False,
        )
    assert caught.value.kind is ErrorKind.DIFFERENT_PATIENTS
    assert ui.segmentButton.toolTip == ui.diagnoseButton.toolTip == str(caught.value)
    assert not ui.segmentButton.enabled
    errors: list[WorkerError] = []
    volumes = {"sagittal": someone, "axial": another}
    panel.logic.run(volumes, "", True, True, lambda *_: None, errors.append)
    assert [error.text() for error in errors] == [str(caught.value)], "also for scripts that ask no panel"
    assert "471" not in caplog.text + str(errors)
    for same_or_unknown in (volume_of("Jane Doe", "4711"), volume_of("Jane Doe", ""), some_volume()):
        ui.axialSelector.setCurrentNode(same_or_unknown)
        assert ui.segmentButton.enabled


def result_for(folder: Path) -> None:
    """What a worker leaves of a run: findings, and no segmentation."""
    finding = {"key": "ACL", "name": "ACL injury", "probability": 0.9, "threshold": 0.5, "present": True}
    content = {
        "segmentation": None,
        "structures": [],
        "series": [],
        "findings": [finding | {"plane_probabilities": {}, "plane_weights": {}}],
        "notice": "Research use only.",
        "not_assessed": [],
        "clinical": [],
        "warnings": ["Not assessed by: coronal."],
        "provenance": {
            "bundle": {"name": "tiny", "version": "1", "manifest_sha256": "0" * 64},
            "code_version": "0",
            "seed": 0,
            "device": "cpu",
        },
    }
    folder.mkdir()
    (folder / "result.json").write_text(json.dumps(content))


@pytest.fixture
def answers(panel: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The runs that wait; each is a function that has the worker answer with a result."""
    waiting: list[Any] = []

    def request(method: str, params: dict[str, Any], onResult: Any, onError: Any) -> None:
        waiting.append(lambda: (result_for(Path(params["output"])), onResult({})))

    monkeypatch.setattr(panel.logic.worker, "request", request)
    monkeypatch.setattr("OrthoDiffusion.missing_requirements", list)
    return waiting


def test_findings_stand_beside_no_other_series(panel: Any, answers: list[Any]) -> None:
    ui, findings = panel.ui, panel.ui.findingsCollapsibleButton
    first, second = some_volume("first"), some_volume("second")
    ui.sagittalSelector.setCurrentNode(first)
    ui.diagnoseButton.click()
    answers.pop()()
    assert not findings.isHidden()
    ui.sagittalSelector.setCurrentNode(second)
    assert findings.isHidden(), "they would be taken for those of the second study"
    ui.sagittalSelector.setCurrentNode(first)
    assert not findings.isHidden()
    ui.diagnoseButton.click()
    ui.sagittalSelector.setCurrentNode(second)
    answers.pop()()
    assert findings.isHidden(), "of a study that is not chosen any more"
    assert "Done. In the scene: OrthoDiffusion findings_1" in ui.statusLabel.text
    panel.exit()
    panel.enter()
    assert findings.isHidden()
    ui.sagittalSelector.setCurrentNode(first)
    assert not findings.isHidden()
    slicer.mrmlScene.RemoveNode(first)
    assert findings.isHidden()


def test_what_only_the_scene_knows_is_said(panel: Any, answers: list[Any]) -> None:
    ui = panel.ui
    before, after = volume_of("Jane Doe", "4711", "2.25.1"), volume_of("Jane Doe", "4711", "2.25.2")
    ui.sagittalSelector.setCurrentNode(before)
    ui.axialSelector.setCurrentNode(after)
    ui.diagnoseButton.click()
    answers.pop()()
    studies = say_several_visits(
        Volume(np.zeros((4, 4, 4)), np.eye(4), SeriesSource(study_uid=uid)) for uid in ("2.25.1", "2.25.2")
    )
    (table,) = slicer.util.getNodesByClass("vtkMRMLTableNode")
    assert table.GetAttribute("OrthoDiffusion.Warnings") == "\n".join(["Not assessed by: coronal.", *studies])
    assert studies[0] in ui.statusLabel.text
    ui.axialSelector.setCurrentNode(None)
    ui.diagnoseButton.click()
    before.SetOrigin(5, 0, 0)
    answers.pop()()
    assert "was moved while it was being assessed" in ui.statusLabel.text
    assert studies[0] not in ui.statusLabel.text
    ui.diagnoseButton.click()
    before.SetAndObserveTransformNodeID(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode").GetID())
    answers.pop()()
    assert "was moved while it was being assessed" in ui.statusLabel.text


def test_names_are_shown_as_they_are_and_fields_have_names(panel: Any) -> None:
    import qt

    assert panel.ui.statusLabel.textFormat == qt.Qt.PlainText, "a volume may be called “T1 <i>”"
    labels = ("sagittal", "coronal", "axial", "bundle", "device", "age", "height", "weight", "sex", "event")
    fields = [getattr(panel.ui, f"{name}Label").buddy() for name in labels]
    assert all(field.name.startswith(name) for field, name in zip(fields, labels, strict=True))


def test_only_what_the_model_offers_can_be_asked_for(private_places: Path, request: pytest.FixtureRequest) -> None:
    for title, recipes in (
        ("Masks", {"sagittal": {"segmentation": "x"}, "axial": {"segmentation": "x", "diagnosis": None}}),
        ("Findings", {"sagittal": {"diagnosis": "x"}}),
        ("Both", {"sagittal": {"segmentation": "x", "diagnosis": "x"}, "axial": {"segmentation": "x"}}),
    ):
        manifest = private_places / "bundles" / title / "configs" / "metadata.json"
        manifest.parent.mkdir(parents=True)
        manifest.write_text(json.dumps({"name": title, "title": title, "planes": recipes}))
    panel = request.getfixturevalue("panel")
    ui, asked = panel.ui, []
    panel.logic.run = lambda volumes, bundle, **options: asked.append((options["segment"], options["diagnose"]))
    ui.sagittalSelector.setCurrentNode(some_volume())

    def choose(title: str) -> None:
        panel._endRun()
        ui.bundleComboBox.currentIndex = ui.bundleComboBox.findText(title)

    choose("Masks")
    assert ui.segmentButton.enabled and not ui.diagnoseButton.enabled
    assert ui.diagnoseButton.toolTip == "Choose another model; this one gives no findings."
    assert "gives no findings" in ui.segmentButton.toolTip
    ui.segmentButton.click()
    choose("Findings")
    assert ui.diagnoseButton.enabled and not ui.segmentButton.enabled
    assert ui.segmentButton.toolTip == "Choose another model; this one does not segment."
    ui.diagnoseButton.click()
    choose("Both")
    ui.segmentButton.click()
    choose("Both")
    ui.sagittalSelector.setCurrentNode(None)
    ui.axialSelector.setCurrentNode(some_volume())
    ui.segmentButton.click()
    assert asked == [(True, False), (False, True), (True, True), (True, False)]


def test_what_computes_can_be_chosen(panel: Any) -> None:
    ui, asked = panel.ui, []
    panel.logic.run = lambda volumes, bundle, **options: asked.append(options["device"])
    ui.sagittalSelector.setCurrentNode(some_volume())
    assert ui.deviceComboBox.currentText == "Automatic"
    ui.segmentButton.click()
    panel._endRun()
    ui.deviceComboBox.currentIndex = ui.deviceComboBox.findText("CPU")
    assert panel.logic.getParameterNode().device == "cpu"
    ui.segmentButton.click()
    assert asked == ["auto", "cpu"]


def test_choices_are_kept_in_the_scene(panel: Any, private_places: Path) -> None:
    ui = panel.ui
    node = some_volume()
    ui.coronalSelector.setCurrentNode(node)
    mine = str(private_places / "bundles" / "mine")
    ui.bundleComboBox.currentIndex = ui.bundleComboBox.findData(mine)
    assert ui.bundleComboBox.currentText == "My own model"
    kept = panel.logic.getParameterNode()
    assert (kept.coronalVolume, kept.sagittalVolume, kept.bundle) == (node, None, mine)
    kept.bundle = "gone"
    assert not ui.segmentButton.enabled
    assert "not installed" in ui.segmentButton.toolTip
    slicer.mrmlScene.RemoveNode(node)
    assert "Choose at least one volume." in ui.segmentButton.toolTip


def test_scene_close_leaves_a_working_panel(panel: Any) -> None:
    panel.ui.sagittalSelector.setCurrentNode(some_volume())
    slicer.mrmlScene.Clear()
    assert not panel.ui.segmentButton.enabled
    panel.ui.sagittalSelector.setCurrentNode(some_volume())
    assert panel.ui.segmentButton.enabled


def test_what_was_followed_is_let_go(panel: Any) -> None:
    followed = [weakref.ref(panel._parameterNode)]
    for _ in range(3):
        panel.exit()
        panel.enter()
        followed.append(weakref.ref(panel._parameterNode))
    gc.collect()
    assert [parameters() for parameters in followed] == [None, None, None, panel._parameterNode]


def test_sample_study_is_opened_and_chosen(panel: Any) -> None:
    panel.ui.sampleButton.click()
    names = [
        getattr(panel.ui, f"{plane}Selector").currentNode().GetName() for plane in ("sagittal", "coronal", "axial")
    ]
    assert names == ["sagittal", "coronal", "axial"]
    assert panel.ui.segmentButton.enabled


def test_sample_data_is_registered_with_checksums(panel: Any, desktop: Any) -> None:
    desktop.SampleDataLogic.sources.clear()
    slicer.app.startupCompleted.emit()
    source = desktop.SampleDataLogic.sources[0]
    assert len(source["uris"]) == len(source["files"]) == len(source["checksums"]) == 3
    assert all(uri.startswith("file:") for uri in source["uris"])
    assert all(checksum.startswith("SHA256:") for checksum in source["checksums"])


def test_missing_packages_are_a_sentence(panel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from OrthoDiffusionSlicer import environment

    monkeypatch.delenv(environment.PYTHON_VARIABLE, raising=False)
    panel.ui.sagittalSelector.setCurrentNode(some_volume())
    monkeypatch.setattr(environment, "REQUIREMENTS", ("no-such-package>=1",))
    panel.ui.segmentButton.click()
    assert "package is missing, so nothing was run" in panel.ui.statusLabel.text

    def other_extension(*_arguments: Any, **_options: Any) -> None:
        raise KeyError("cu130")

    monkeypatch.setattr(slicer.packaging, "pip_ensure", other_extension)
    panel.ui.segmentButton.click()
    assert "could not be installed" in panel.ui.statusLabel.text
    assert panel.ui.segmentButton.enabled
    with monkeypatch.context() as older:
        older.setitem(sys.modules, "slicer.packaging", None)
        panel.ui.segmentButton.click()
        assert "needs 3D Slicer 5.12 or later" in panel.ui.statusLabel.text
        assert panel.ui.segmentButton.enabled

    def no_network(*_arguments: Any, **_options: Any) -> None:
        raise subprocess.CalledProcessError(1, "pip install")

    monkeypatch.setattr(slicer.packaging, "pip_ensure", no_network)
    panel.ui.segmentButton.click()
    assert "could not be installed. Check the network connection" in panel.ui.statusLabel.text

    def second_click(*_arguments: Any, **_options: Any) -> None:
        assert not panel.ui.segmentButton.enabled
        assert not panel.ui.cancelButton.enabled
        slicer.mrmlScene.Clear()

    monkeypatch.setattr(slicer.packaging, "pip_ensure", second_click)
    panel.ui.segmentButton.click()
    assert "Not installed: no-such-package>=1" in panel.ui.statusLabel.text
    panel.ui.sagittalSelector.setCurrentNode(some_volume())
    monkeypatch.setattr(environment, "TORCH", "no-such-torch>=1")
    panel.ui.segmentButton.click()
    assert "Install the PyTorch extension" in panel.ui.statusLabel.text
    assert panel.ui.segmentButton.enabled
    assert panel.logic.worker.pid == 0


def test_every_file_of_the_module_is_packaged() -> None:
    folder = Path(__file__).parents[2] / "OrthoDiffusion"
    listed = (folder / "CMakeLists.txt").read_text().replace("${MODULE_NAME}", "OrthoDiffusion").split()
    files = [path for path in folder.rglob("*") if path.suffix in (".py", ".ui", ".png")]
    assert len(files) > 10
    assert [path for path in files if path.relative_to(folder).as_posix() not in listed] == []
