"""Clinical data in the panel: shown where the model reads them, read from DICOM when asked, used and kept nowhere."""

from __future__ import annotations

import logging
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_files import oblique_volume, write_series
from pydantic import ValidationError
from trained_planes import CARD, TrainedPlanes, ran

slicer = pytest.importorskip("slicer", reason="needs the wheel slicer-core")

from OrthoDiffusionSlicer.clinical_data import LIMITS, clinical_part  # noqa: E402
from OrthoDiffusionSlicer.scene import add_volume  # noqa: E402

from OrthoDiffusionLib.anatomy import Plane  # noqa: E402
from OrthoDiffusionLib.bundles.clinical_data import FIELDS, ClinicalRecord  # noqa: E402
from OrthoDiffusionLib.training.exporting import export_bundle  # noqa: E402

CODES = "Sex: 0 female, 1 male. <b>Event</b>: 1 fall, 2 sport."
AGE = "37.625"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedPlanes:
    return TrainedPlanes(tmp_path_factory.mktemp("clinical-planes"))


@pytest.fixture(scope="module")
def exported(trained: TrainedPlanes) -> Path:
    folder = trained.folder / "bundle"
    card = CARD.model_copy(update={"title": "Tiny, with clinical data", "clinical_codes": CODES})
    export_bundle(folder, trained.planes, card, trained.fusion("project_add", clinical=True))
    return folder


@pytest.fixture
def panel_with_model(exported: Path, private_places: Path, request: pytest.FixtureRequest) -> Any:
    """The panel with the model chosen that reads age and sex."""
    shutil.copytree(exported, private_places / "bundles" / "clinical")
    panel = request.getfixturevalue("panel")
    panel.ui.bundleComboBox.currentIndex = panel.ui.bundleComboBox.findText("Tiny, with clinical data")
    return panel


def type_in_a_person(ui: Any) -> None:
    ui.ageLineEdit.text = AGE
    ui.sexComboBox.currentIndex = ui.sexComboBox.findData(1)


def dicom_node(folder: Path, **elements: Any) -> Any:
    """A volume node that was loaded from DICOM."""
    paths = write_series(folder, oblique_volume(), **elements)
    node = add_volume(slicer.mrmlScene, folder.name, np.zeros((4, 4, 4), np.int16), np.eye(4))
    node.SetAttribute("DICOM.instanceUIDs", " ".join(str(path) for path in paths))
    return node


def test_only_a_model_that_reads_them_shows_them(panel_with_model: Any) -> None:
    ui = panel_with_model.ui
    assert not ui.clinicalCollapsibleButton.isHidden()
    assert ui.clinicalCollapsibleButton.collapsed
    assert ui.clinicalCodesLabel.text == CODES
    assert [ui.sexComboBox.itemText(index) for index in range(ui.sexComboBox.count)] == ["not known", "0", "1"]
    assert (ui.ageLineEdit.enabled, ui.ageLineEdit.placeholderText) == (True, "not known")
    assert (ui.heightLineEdit.enabled, ui.heightLineEdit.placeholderText) == (False, "not used"), "no study has one"
    type_in_a_person(ui)
    panel_with_model.exit()
    panel_with_model.enter()
    assert ui.ageLineEdit.text == AGE
    ui.bundleComboBox.currentIndex = ui.bundleComboBox.findText("My own model")
    assert ui.clinicalCollapsibleButton.isHidden()
    ui.bundleComboBox.currentIndex = ui.bundleComboBox.findText("Tiny, with clinical data")
    assert (ui.ageLineEdit.text, ui.sexComboBox.currentIndex) == ("", 0), "another model's codes mean something else"


def test_what_cannot_be_keeps_a_run_from_starting(panel_with_model: Any) -> None:
    ui = panel_with_model.ui
    ui.sagittalSelector.setCurrentNode(add_volume(slicer.mrmlScene, "some", np.zeros((4, 4, 4), np.int16), np.eye(4)))
    assert ui.diagnoseButton.enabled, "all of them are optional"
    assert ui.segmentButton.toolTip == "Choose another model; this one does not segment."
    for text in ("777.125", "-1", "nan", "old"):
        ui.ageLineEdit.text = text
        assert not ui.diagnoseButton.enabled
        assert ui.diagnoseButton.toolTip == "Correct the age: a number from 0 to 120, or nothing."
    ui.ageLineEdit.text = " 37,5"
    assert ui.diagnoseButton.enabled
    assert panel_with_model._clinical.values() == {"age": 37.5}
    ui.clinicalClearButton.click()
    assert panel_with_model._clinical.values() == {}
    ui.ageLineEdit.text = AGE
    slicer.mrmlScene.Clear()
    assert ui.ageLineEdit.text == "", "the next scene is of someone else"


def test_a_run_uses_them_and_keeps_them_nowhere(
    panel_with_model: Any,
    trained: TrainedPlanes,
    exported: Path,
    wait: Callable[..., None],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    ui = panel_with_model.ui
    planes = (Plane.AXIAL, Plane.SAGITTAL)
    for plane in planes:
        node = slicer.util.loadVolume(str(trained.image(plane)))
        getattr(ui, f"{plane.value}Selector").setCurrentNode(node)
    _picture(panel_with_model, tmp_path / "folded.png")
    ui.clinicalCollapsibleButton.collapsed = False
    type_in_a_person(ui)
    _picture(panel_with_model, tmp_path / "open.png")
    ui.diagnoseButton.click()
    assert not ui.clinicalCollapsibleButton.enabled
    wait(lambda: ui.diagnoseButton.enabled, 100)
    assert "Clinical data that took part: age, sex." in ui.statusLabel.text
    assert (ui.ageLineEdit.text, ui.sexComboBox.currentIndex) == ("", 0)
    assert ui.clinicalCollapsibleButton.enabled
    (table,) = slicer.util.getNodesByClass("vtkMRMLTableNode")
    assert table.GetAttribute("OrthoDiffusion.ClinicalData") == "age, sex"
    shown = [table.GetTable().GetValueByName(row, "probability").ToDouble() for row in range(8)]
    person = ClinicalRecord(age=float(AGE), sex=1)
    for record, is_same in ((person, True), (None, False)):
        direct = ran(trained, exported, planes, tmp_path / f"direct-{is_same}", record)
        expected = [finding.probability for finding in direct.findings]
        assert (shown == pytest.approx(expected, abs=1e-5)) is is_same
    assert slicer.mrmlScene.WriteToMRB(str(tmp_path / "scene.mrb"), None)
    with zipfile.ZipFile(tmp_path / "scene.mrb") as archive:
        assert not [name for name in archive.namelist() if AGE.encode() in archive.read(name)]
    assert AGE not in caplog.text + ui.statusLabel.text
    left = [path for path in (tmp_path / "temporary").rglob("*") if path.is_file()]
    assert not [path for path in left if AGE.encode() in path.read_bytes()]

    ui.clinicalKeepCheckBox.checked = True
    type_in_a_person(ui)
    ui.diagnoseButton.click()
    wait(lambda: ui.diagnoseButton.enabled, 100)
    assert ui.ageLineEdit.text == AGE, "the person wanted it kept"


def test_dicom_is_read_when_asked_and_what_series_disagree_on_is_left_out(
    panel_with_model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ui = panel_with_model.ui
    opened: list[str] = []
    database = SimpleNamespace(fileForInstance=lambda uid: opened.append(uid) or uid)
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    assert not ui.clinicalDicomButton.enabled
    assert ui.clinicalDicomButton.toolTip == "The chosen series did not come from DICOM."
    alike = {"PatientAge": "018M", "PatientSex": "M", "PatientSize": "1.815"}
    ui.sagittalSelector.setCurrentNode(dicom_node(tmp_path / "a", **alike))
    ui.axialSelector.setCurrentNode(dicom_node(tmp_path / "b", **alike))
    assert ui.clinicalDicomButton.enabled
    assert opened == [], "nothing is read unasked"
    ui.clinicalDicomButton.click()
    assert len(opened) == 2
    assert (ui.ageLineEdit.text, ui.heightLineEdit.text) == ("1.5", ""), "the model does not use the height"
    assert ui.sexComboBox.currentIndex == 0, "which code is male is for the person to say"
    told = "Filled in from DICOM: age. DICOM has the sex M: choose its code yourself."
    assert ui.statusLabel.text == told
    ui.clinicalClearButton.click()
    ui.coronalSelector.setCurrentNode(dicom_node(tmp_path / "c", PatientAge="045Y"))
    ui.clinicalDicomButton.click()
    assert ui.ageLineEdit.text == ""
    assert "Nothing was filled in from DICOM. Not there, or not the same in all series: age." in ui.statusLabel.text
    for path in (tmp_path / "c").iterdir():
        path.write_bytes(b"Doe^Jane")
    ui.clinicalDicomButton.click()
    assert "cannot be read. Import them again" in ui.statusLabel.text
    assert "Jane" not in caplog.text
    slicer.mrmlScene.Clear()
    assert ui.statusLabel.text == ""


def test_another_patient_is_not_given_their_values(panel_with_model: Any) -> None:
    ui, hierarchy = panel_with_model.ui, slicer.mrmlScene.GetSubjectHierarchyNode()
    nodes = {}
    for name in ("4711", "4711 again", "4712"):
        nodes[name] = add_volume(slicer.mrmlScene, name, np.zeros((4, 4, 4), np.int16), np.eye(4))
        patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), name)
        hierarchy.SetItemUID(patient, "DICOM", name.partition(" ")[0])
        hierarchy.SetItemParent(hierarchy.GetItemByDataNode(nodes[name]), patient)
    ui.clinicalKeepCheckBox.checked = True
    type_in_a_person(ui)
    ui.sagittalSelector.setCurrentNode(nodes["4711"])
    panel_with_model._showStatus("DICOM has the sex M: choose its code yourself.")
    ui.axialSelector.setCurrentNode(nodes["4711 again"])
    ui.sagittalSelector.setCurrentNode(None)
    assert ui.ageLineEdit.text == AGE
    ui.sagittalSelector.setCurrentNode(nodes["4712"])
    assert ui.ageLineEdit.text == AGE, "of two patients, none is run"
    ui.axialSelector.setCurrentNode(None)
    assert (ui.ageLineEdit.text, ui.sexComboBox.currentIndex, ui.statusLabel.text) == ("", 0, "")
    type_in_a_person(ui)
    ui.sagittalSelector.setCurrentNode(None)
    ui.sagittalSelector.setCurrentNode(nodes["4712"])
    assert ui.ageLineEdit.text == AGE


def test_units_of_dicom(panel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from OrthoDiffusionSlicer.dicom_person import read_person

    monkeypatch.setattr(slicer, "dicomDatabase", SimpleNamespace(fileForInstance=str), raising=False)
    usual = dicom_node(tmp_path / "usual", PatientAge="034Y", PatientSize="1.785", PatientWeight="81.25")
    person = read_person([usual], FIELDS)
    assert person.values == pytest.approx({"age": 34, "height": 178.5, "weight": 81.25})
    pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE
    try:
        odd = dicom_node(tmp_path / "odd", PatientAge="000Y", PatientSize="178", PatientWeight="0", PatientSex="X")
    finally:
        pydicom.config.settings.writing_validation_mode = None
    assert read_person([odd], FIELDS) == type(person)({}, ""), "zero stands for unknown; no one is 178 m high"


def test_limits_and_names_are_the_librarys() -> None:
    for name, (low, high) in LIMITS.items():
        for value in (low, high):
            ClinicalRecord.model_validate({name: value})
        for value in (low - 1, high + 1):
            with pytest.raises(ValidationError):
                ClinicalRecord.model_validate({name: value})
    for nonsense in ({}, {"fusion": None}, {"fusion": {"clinical": {"seen": 3}}}, {"fusion": {"clinical": None}}):
        assert clinical_part(nonsense) is None


def _picture(panel: Any, path: Path) -> None:
    panel.parent.resize(440, 560)
    assert panel.parent.grab().save(str(path))
