"""OrthoDiffusion: the module that 3D Slicer loads."""

from __future__ import annotations

import json
import logging
from typing import Any

import slicer
import vtk
from OrthoDiffusionSlicer.environment import find_installation, install_requirements, missing_requirements
from OrthoDiffusionSlicer.job import Job
from OrthoDiffusionSlicer.panels import show_findings
from OrthoDiffusionSlicer.parameters import OrthoDiffusionParameterNode, chosen_volumes, missing_for_run
from OrthoDiffusionSlicer.protocol import WorkerError
from OrthoDiffusionSlicer.scene import SceneResult, add_result
from OrthoDiffusionSlicer.worker_client import WorkerClient
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


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


class OrthoDiffusionLogic(ScriptedLoadableModuleLogic):
    """Runs studies through the worker and puts results into the scene; needs no window."""

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        self.installation = find_installation(__file__)
        self.onProgress = lambda fraction, message: None
        self.worker = WorkerClient(self.installation, lambda fraction, message: self.onProgress(fraction, message))
        self.job: Job | None = None

    def getParameterNode(self) -> Any:
        """The module's parameters in the scene."""
        return OrthoDiffusionParameterNode(super().getParameterNode())

    def run(
        self, volumes: dict[str, Any], bundle: str, segment: bool, diagnose: bool, onDone: Any, onError: Any
    ) -> None:
        """Start a run; `onDone(result, SceneResult)` or `onError(WorkerError)` is called when it has ended."""
        try:
            self.job = Job(volumes)
        except (ValueError, OSError) as error:
            onError(WorkerError("unreadable-file", str(error), ""))
            return
        params = {
            "series": self.job.series,
            "output": str(self.job.output),
            "bundle": bundle or None,
            "segment": segment,
            "diagnose": diagnose,
        }
        self.worker.request(
            "run", params, lambda _answer: self._finish(onDone, onError), lambda error: self._fail(error, onError)
        )

    def cancel(self) -> None:
        """Ask the worker to stop; the run ends with an error of the kind `cancelled`."""
        if self.worker.running:
            self.worker.request("cancel", {}, lambda _answer: None, lambda error: logging.warning(error.text()))

    def close(self) -> None:
        """End the worker and remove the job's folder."""
        self.worker.close()
        self._closeJob()

    def _finish(self, onDone: Any, onError: Any) -> None:
        job = self.job
        assert job is not None
        try:
            result = json.loads((job.output / "result.json").read_text(encoding="utf-8"))
            inScene = [node for node in job.volumes.values() if slicer.mrmlScene.GetNodeByID(node.GetID()) is node]
            added = add_result(slicer.mrmlScene, job.output, inScene)
        except (OSError, ValueError) as error:
            logging.exception("the result could not be read")
            onError(WorkerError("unreadable-file", "The result could not be read.", "Run the study again.", str(error)))
            return
        finally:
            self._closeJob()
        onDone(result, added)

    def _fail(self, error: WorkerError, onError: Any) -> None:
        self._closeJob()
        if error.detail:
            logging.error(error.detail)
        onError(error)

    def _closeJob(self) -> None:
        if self.job is not None:
            self.job.close()
            self.job = None


class OrthoDiffusionWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Connects the panel with the logic."""

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic: OrthoDiffusionLogic | None = None
        self._parameterNode: Any = None
        self._parameterNodeGuiTag: Any = None
        self._busy = False

    def setup(self) -> None:
        """Called when the module is opened for the first time."""
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/OrthoDiffusion.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = OrthoDiffusionLogic()
        self.logic.onProgress = self._showProgress
        for name in self.logic.installation.bundles():
            self.ui.bundleComboBox.addItem(name)
        self.ui.segmentButton.connect("clicked(bool)", lambda _checked: self._run(segment=True))
        self.ui.diagnoseButton.connect("clicked(bool)", lambda _checked: self._run(segment=False))
        self.ui.cancelButton.connect("clicked(bool)", lambda _checked: self.logic.cancel())
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.ui.findingsTable.visible = False
        self.ui.progressBar.visible = False
        self.initializeParameterNode()

    def cleanup(self) -> None:
        """Called when the program ends or the module is reloaded."""
        self.removeObservers()
        if self.logic is not None:
            self.logic.close()

    def enter(self) -> None:
        """Called each time the module is opened."""
        self.initializeParameterNode()

    def exit(self) -> None:
        """Called each time another module is opened."""
        self.setParameterNode(None)

    def onSceneStartClose(self, caller: Any, event: Any) -> None:
        """The scene goes: what is being run would have no place to go to."""
        self.setParameterNode(None)
        if self.logic is not None:
            self.logic.cancel()

    def onSceneEndClose(self, caller: Any, event: Any) -> None:
        """The scene is empty."""
        self.ui.findingsTable.visible = False
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
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._updateButtons)
        self._parameterNode = parameterNode
        if self._parameterNode is not None:
            self._parameterNodeGuiTag = self._parameterNode.connectGui(self.ui)
            self.addObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._updateButtons)
            self._updateButtons()

    def _updateButtons(self, caller: Any = None, event: Any = None) -> None:
        volumes = chosen_volumes(self._parameterNode) if self._parameterNode is not None else {}
        missing = missing_for_run(volumes, self._busy)
        actions = {
            self.ui.segmentButton: _("Segment all slices, and give the probabilities of the findings."),
            self.ui.diagnoseButton: _("Give the probabilities of the findings, without a segmentation."),
        }
        for button, action in actions.items():
            button.enabled = not missing
            button.toolTip = "\n".join(missing) if missing else action
        self.ui.cancelButton.enabled = self._busy

    def _run(self, segment: bool) -> None:
        if missing_requirements():
            try:
                install_requirements()
            except RuntimeError as error:
                self._showStatus(str(error))
                return
        self._busy = True
        self._updateButtons()
        self._showProgress(0.0, _("Starting"))
        self.ui.progressBar.visible = True
        self.logic.run(
            chosen_volumes(self._parameterNode),
            self.ui.bundleComboBox.currentText,
            segment=segment,
            diagnose=True,
            onDone=self._onDone,
            onError=self._onError,
        )

    def _onDone(self, result: dict[str, Any], added: SceneResult) -> None:
        self._endRun()
        show_findings(self.ui.findingsTable, result)
        self.ui.findingsTable.visible = bool(result["findings"])
        self.ui.noticeLabel.text = result["notice"]
        self._showStatus("\n".join([_("Done."), *result["warnings"]]))

    def _onError(self, error: WorkerError) -> None:
        self._endRun()
        self._showStatus(error.text())

    def _endRun(self) -> None:
        self._busy = False
        self.ui.progressBar.visible = False
        self._updateButtons()

    def _showProgress(self, fraction: float, message: str) -> None:
        self.ui.progressBar.value = round(100 * fraction)
        self._showStatus(message)

    def _showStatus(self, text: str) -> None:
        self.ui.statusLabel.text = text


class OrthoDiffusionTest(ScriptedLoadableModuleTest):
    """Runs in Slicer: the bundled sample study through the real worker, into the scene."""

    def setUp(self) -> None:
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear()

    def test_SampleStudy(self) -> None:
        """Segment and diagnose the sample study."""
        logic = OrthoDiffusionLogic()
        folder = logic.installation.resources / "SampleData" / "knee-phantom" / "study"
        volumes = {plane: slicer.util.loadVolume(str(folder / f"{plane}.nii.gz")) for plane in ("sagittal", "axial")}
        ended: list[Any] = []
        try:
            logic.run(volumes, "", True, True, lambda *answer: ended.append(answer), ended.append)
            while not ended:
                slicer.app.processEvents()
            self.assertIsInstance(ended[0], tuple, str(ended[0]))
            result, added = ended[0]
            self.assertEqual(added.segmentation.GetSegmentation().GetNumberOfSegments(), 11)
            self.assertEqual(len(result["findings"]), 8)
            self.assertEqual(result["not_assessed"], ["coronal"])
        finally:
            logic.close()
