"""OrthoDiffusion: the module that 3D Slicer loads."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

import slicer
import vtk
from OrthoDiffusionSlicer.bundle_offer import EVERYTHING, Offer
from OrthoDiffusionSlicer.clinical_section import ClinicalSection
from OrthoDiffusionSlicer.clinical_words import filled_in, title
from OrthoDiffusionSlicer.dicom_person import come_from_dicom, read_person
from OrthoDiffusionSlicer.environment import (
    InstalledBundle,
    find_installation,
    install_requirements,
    missing_requirements,
)
from OrthoDiffusionSlicer.panels import show_findings, show_structures
from OrthoDiffusionSlicer.parameters import OrthoDiffusionParameterNode, chosen_volumes, missing_for_run
from OrthoDiffusionSlicer.patients import patient_mark
from OrthoDiffusionSlicer.protocol import WorkerError
from OrthoDiffusionSlicer.sample_data import register_sample_data
from OrthoDiffusionSlicer.scene import SceneResult, show_in_views
from OrthoDiffusionSlicer.study_runner import StudyRunner
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

RELOADED = ("OrthoDiffusionSlicer", "OrthoDiffusionLib")
"""Packages that a developer's Reload takes from their sources again."""


class OrthoDiffusion(ScriptedLoadableModule):
    """What the module says about itself."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("OrthoDiffusion")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = []
        self.parent.contributors = ["The OrthoDiffusion for 3D Slicer maintainers"]
        self.parent.helpText = _(
            "Segments 11 structures of the knee and gives probabilities of 8 findings from up to three MR series,"
            " with diffusion encoders that run in the background. Research use only, not for diagnosis."
        )
        self.parent.acknowledgementText = _("Implements the method of arXiv 2602.20752.")
        slicer.app.connect("startupCompleted()", lambda: register_sample_data(__file__))


class OrthoDiffusionLogic(StudyRunner, ScriptedLoadableModuleLogic):
    """Runs studies through the worker and puts results into the scene; needs no window."""

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        StudyRunner.__init__(self, find_installation(__file__))

    def getParameterNode(self) -> Any:
        """The module's parameters in the scene."""
        return OrthoDiffusionParameterNode(super().getParameterNode())

    def loadSampleStudy(self) -> dict[str, Any]:
        """Load the bundled study; a volume node for each plane."""
        study = self.installation.sample_study()
        return {plane: slicer.util.loadVolume(str(path)) for plane, path in study.items()}


class OrthoDiffusionWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Connects the panel with the logic."""

    def __init__(self, parent: Any = None) -> None:
        self.logic: OrthoDiffusionLogic | None = None
        self._parameterNode: Any = None
        self._parameterNodeGuiTag: Any = None
        self._bundles: dict[str, InstalledBundle] = {}
        self._busy = False
        self._findingsOf: dict[str, Any] | None = None
        self._structuresOf: dict[str, Any] | None = None
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)

    def setup(self) -> None:
        """Called when the module is opened for the first time."""
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/OrthoDiffusion.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self._hideResult()
        self.ui.progressBar.visible = False
        self._clinical = ClinicalSection(self.ui, self._updatePanel)
        self.ui.clinicalDicomButton.connect("clicked(bool)", lambda _checked: self._fillFromDicom())
        try:
            self.logic = OrthoDiffusionLogic()
        except FileNotFoundError as error:
            uiWidget.enabled = False
            self._showStatus(str(error))
            return
        self.logic.onProgress = self._showProgress
        self._bundles = self.logic.installation.bundles()
        for name, bundle in self._bundles.items():
            self.ui.bundleComboBox.addItem(bundle.title, name)
        self.ui.bundleComboBox.connect("currentIndexChanged(int)", self._onBundleChosen)
        for name, text in (("auto", _("Automatic")), ("cpu", _("CPU"))):
            self.ui.deviceComboBox.addItem(text, name)
        self.ui.deviceComboBox.connect("currentIndexChanged(int)", self._onDeviceChosen)
        self.ui.sampleButton.connect("clicked(bool)", lambda _checked: self._openSampleStudy())
        self.ui.segmentButton.connect("clicked(bool)", lambda _checked: self._run(segment=True))
        self.ui.diagnoseButton.connect("clicked(bool)", lambda _checked: self._run(segment=False))
        self.ui.cancelButton.connect("clicked(bool)", lambda _checked: self._cancel())
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.initializeParameterNode()

    def cleanup(self) -> None:
        """Called when the program ends or the module is reloaded."""
        self.setParameterNode(None)
        self.removeObservers()
        if self.logic is not None:
            self.logic.close()

    def onReload(self) -> None:
        """Load the module anew from its sources, and not this file alone."""
        for name in [name for name in sys.modules if name.partition(".")[0] in RELOADED]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def enter(self) -> None:
        """Called each time the module is opened."""
        self.initializeParameterNode()

    def exit(self) -> None:
        """Called each time another module is opened; what is being run goes on."""
        self.setParameterNode(None)

    def onSceneStartClose(self, caller: Any, event: Any) -> None:
        """The scene goes: what is being run would have no place to go to."""
        self.setParameterNode(None)
        self._clinical.clear()
        # It may say what DICOM has of the person.
        self._showStatus("")
        if self.logic is not None:
            self.logic.dropJob()

    def onSceneEndClose(self, caller: Any, event: Any) -> None:
        """The scene is empty."""
        self._hideResult()
        if self.parent.isEntered:
            self.initializeParameterNode()

    def initializeParameterNode(self) -> None:
        """Take the scene's parameters, and follow them."""
        if self.logic is not None:
            self.setParameterNode(self.logic.getParameterNode())

    def setParameterNode(self, parameterNode: Any) -> None:
        """Follow these parameters and no others; None follows none."""
        if self._parameterNode is not None:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self.removeObserver(self._parameterNode.parameterNode, vtk.vtkCommand.ModifiedEvent, self._updatePanel)
        self._parameterNode = parameterNode
        if self._parameterNode is not None:
            self._parameterNodeGuiTag = self._parameterNode.connectGui(self.ui)
            # Not the wrapper: the mixin would keep each one, with its own observers, for as long as the program runs.
            self.addObserver(self._parameterNode.parameterNode, vtk.vtkCommand.ModifiedEvent, self._updatePanel)
            self._updatePanel()

    def _updatePanel(self, caller: Any = None, event: Any = None) -> None:
        parameters = self._parameterNode
        if parameters is None:
            return
        self.ui.bundleComboBox.currentIndex = (
            self.ui.bundleComboBox.findData(parameters.bundle) if parameters.bundle else 0
        )
        self.ui.bundleComboBox.toolTip = "\n".join(bundle.title for bundle in self._bundles.values())
        self.ui.deviceComboBox.currentIndex = self.ui.deviceComboBox.findData(parameters.device)
        volumes = chosen_volumes(parameters)
        model = self._model()
        self._clinical.showModel(model, self._bundles[model].clinical if model in self._bundles else None)
        self._clinical.setEnabled(not self._busy)
        self._clinical.offerDicom(come_from_dicom(volumes.values()))
        if self._clinical.showPatient(patient_mark(volumes.values())) and not self._busy:
            # It may say what DICOM has of the person before.
            self._showStatus("")
        # Beside other series the tables would be taken for theirs.
        self.ui.findingsCollapsibleButton.visible = self._findingsOf == volumes
        self.ui.structuresCollapsibleButton.visible = self._structuresOf == volumes
        missing = missing_for_run(volumes, parameters.bundle, self._bundles, self._busy) + self._clinical.problems()
        offer = self._offer()
        lacks = [] if offer.segmented else [_("Choose another model; this one does not segment.")]
        action = (
            _("Segment all slices, and give the probabilities of the findings.")
            if offer.diagnosed & volumes.keys()
            else _("Segment all slices; the model gives no findings for the chosen series.")
        )
        self._offerAction(self.ui.segmentButton, action, missing + lacks)
        lacks = [] if offer.diagnosed else [_("Choose another model; this one gives no findings.")]
        action = _("Give the probabilities of the findings, without a segmentation.")
        self._offerAction(self.ui.diagnoseButton, action, missing + lacks)
        self.ui.sampleButton.enabled = not self._busy
        self.ui.cancelButton.enabled = self._busy

    @staticmethod
    def _offerAction(button: Any, action: str, missing: list[str]) -> None:
        button.enabled = not missing
        button.toolTip = "\n".join(missing) if missing else action

    def _model(self) -> str:
        """What the worker calls the chosen bundle; the first one stands for none."""
        return self._parameterNode.bundle or next(iter(self._bundles), "")

    def _offer(self) -> Offer:
        model = self._model()
        return self._bundles[model].offer if model in self._bundles else EVERYTHING

    def _onDeviceChosen(self, index: int) -> None:
        if self._parameterNode is not None and index >= 0:
            self._parameterNode.device = self.ui.deviceComboBox.itemData(index)

    def _onBundleChosen(self, index: int) -> None:
        if self._parameterNode is not None and index >= 0:
            self._parameterNode.bundle = self.ui.bundleComboBox.itemData(index)

    def _openSampleStudy(self) -> None:
        try:
            volumes = self.logic.loadSampleStudy()
        except RuntimeError as error:
            logging.error(str(error))
            self._showStatus(_("The sample study could not be loaded. Install the extension again."))
            return
        for plane, node in volumes.items():
            setattr(self._parameterNode, f"{plane}Volume", node)
        show_in_views(slicer.mrmlScene, volumes)
        slicer.app.applicationLogic().FitSliceToAll(False, False)

    def _fillFromDicom(self) -> None:
        part = self._clinical.part
        if part is None or self._parameterNode is None:
            return
        try:
            person = read_person(chosen_volumes(self._parameterNode).values(), part.seen)
        except ValueError as error:
            self._showStatus(str(error))
            return
        self._clinical.fill(person.values)
        self._showStatus(filled_in(part.seen, person.values, person.sex))

    def _run(self, segment: bool) -> None:
        volumes, bundle = chosen_volumes(self._parameterNode), self._parameterNode.bundle
        device = self._parameterNode.device
        # Findings beside a segmentation only where the model is sure to give some: else the worker refuses the run.
        diagnose = not segment or bool(self._offer().diagnosed & volumes.keys())
        clinical = self._clinical.values()
        # At once: events are handled during an installation, and a second click must not start another.
        self._busy = True
        self._updatePanel()
        self._hideResult()
        if not self._install():
            return
        if not all(slicer.mrmlScene.IsNodePresent(node) for node in volumes.values()):
            self._endRun()
            self._showStatus(_("The scene was closed, so nothing was run."))
            return
        self.ui.cancelButton.enabled = True
        self._showProgress(0.0, _("Starting; the first time takes longer"))
        self.ui.progressBar.visible = True
        self.logic.run(
            volumes,
            bundle,
            segment=segment,
            diagnose=diagnose,
            onDone=lambda result, added: self._onDone(volumes, result, added),
            onError=self._onError,
            clinical=clinical,
            device=device,
        )

    def _install(self) -> bool:
        """Whether everything is installed that a run needs; else the panel says why not, and is ready again."""
        self.ui.cancelButton.enabled = False
        try:
            if not missing_requirements():
                return True
            self._showStatus(_("Installing Python packages; this takes minutes, and Slicer does not answer meanwhile"))
            slicer.app.processEvents()
            install_requirements()
        except RuntimeError as error:
            self._endRun()
            self._showStatus(str(error))
            return False
        return True

    def _cancel(self) -> None:
        self.ui.cancelButton.enabled = False
        self._showStatus(_("Stopping"))
        self.logic.cancel()

    def _onDone(self, volumes: dict[str, Any], result: dict[str, Any], added: SceneResult) -> None:
        self._endRun()
        self._clinical.endRun()
        show_findings(self.ui.findingsTable, result)
        show_structures(self.ui.structuresTable, result)
        self._findingsOf = volumes if result["findings"] else None
        self._structuresOf = volumes if added.segmentation is not None else None
        self._updatePanel()
        self.ui.noticeLabel.text = result["notice"]
        nodes = [node.GetName() for node in (added.segmentation, added.table) if node is not None]
        said = [_("Done. In the scene: {nodes}.").format(nodes=", ".join(nodes))]
        if result["clinical"]:
            names = ", ".join(map(title, result["clinical"]))
            said.append(_("Clinical data that took part: {names}.").format(names=names))
        self._showStatus("\n".join([*said, *result["warnings"]]))

    def _onError(self, error: WorkerError) -> None:
        self._endRun()
        self._showStatus(error.text())

    def _endRun(self) -> None:
        self._busy = False
        self.ui.progressBar.visible = False
        self._updatePanel()

    def _hideResult(self) -> None:
        self._findingsOf = self._structuresOf = None
        self.ui.findingsCollapsibleButton.visible = False
        self.ui.structuresCollapsibleButton.visible = False

    def _showProgress(self, fraction: float, message: str) -> None:
        self.ui.progressBar.value = round(100 * fraction)
        self._showStatus(message)

    def _showStatus(self, text: str) -> None:
        self.ui.statusLabel.text = text


class OrthoDiffusionTest(ScriptedLoadableModuleTest):
    """Runs in Slicer: the bundled sample study through the real worker, into the scene."""

    SECONDS = 300

    def setUp(self) -> None:
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear()

    def test_SampleStudyCanBeRun(self) -> None:
        """The sample study opens, can be chosen, and then nothing stands in the way; needs no further package."""
        logic = OrthoDiffusionLogic()
        parameters = logic.getParameterNode()
        bundles = logic.installation.bundles()
        self.assertTrue(bundles, "the demonstration model is missing")
        for plane, node in logic.loadSampleStudy().items():
            self.assertGreaterEqual(min(node.GetImageData().GetDimensions()), 16)
            setattr(parameters, f"{plane}Volume", node)
        volumes = chosen_volumes(parameters)
        self.assertEqual(set(volumes), {"sagittal", "coronal", "axial"})
        self.assertEqual(missing_for_run(volumes, parameters.bundle, bundles, busy=False), [])

    def test_SampleStudy(self) -> None:
        """Segment and diagnose the sample study, without its coronal series."""
        if missing := missing_requirements():
            logging.warning(f"NOT TESTED: no study was run, for these packages are missing: {missing}")
            return
        logic = OrthoDiffusionLogic()
        volumes = logic.loadSampleStudy()
        del volumes["coronal"]
        ended: list[Any] = []
        deadline = time.monotonic() + self.SECONDS
        try:
            logic.run(volumes, "", True, True, lambda *answer: ended.append(answer), ended.append)
            while not ended and time.monotonic() < deadline:
                slicer.app.processEvents()
                time.sleep(0.01)
            self.assertTrue(ended, "the run took too long")
            self.assertIsInstance(ended[0], tuple, str(ended[0]))
            result, added = ended[0]
            self.assertEqual(added.segmentation.GetSegmentation().GetNumberOfSegments(), 11)
            self.assertEqual(len(result["findings"]), 8)
            self.assertEqual(result["not_assessed"], ["coronal"])
        finally:
            logic.close()
