"""`slicer.app`, `slicer.modules` and the rest of the running program; `start` puts all of it where a module looks."""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import slicer
import slicer.util
import vtk
from packaging.requirements import Requirement
from PySide6 import QtCore, QtWidgets

from desktop import parameter_nodes, qmrml, scripted_module
from desktop.pythonqt import QtModule, stand_in


class Application(stand_in(QtWidgets.QApplication)):  # type: ignore[misc]
    """`slicer.app`."""

    startupCompleted = QtCore.Signal()

    def translate(self, context: str, text: str) -> str:
        """No language but the source's."""
        return text

    def testingEnabled(self) -> bool:
        """Slicer was started to test."""
        return True

    def startupEnvironment(self) -> Any:
        """The variables that the program was started with."""
        return QtCore.QProcessEnvironment.systemEnvironment()

    def applicationLogic(self) -> Any:
        """Slicer's own, for the scene of the moment."""
        logic = slicer.vtkMRMLApplicationLogic()
        logic.SetMRMLScene(slicer.mrmlScene)
        return logic

    def coreIOManager(self) -> Any:
        """Reads files."""
        return SimpleNamespace(fileType=lambda path: "VolumeFile", loadNodes=_load_nodes)


def start() -> Application:
    """Start the program once; further calls give the same one."""
    running = QtWidgets.QApplication.instance()
    if running is not None:
        assert isinstance(running, Application)
        return running
    app = Application(["Slicer"])
    modules: dict[str, Any] = {
        "qt": QtModule("qt"),
        "ctk": _module("ctk", ctkCollapsibleButton=qmrml.ctkCollapsibleButton),
        "slicer.ScriptedLoadableModule": scripted_module,
        "slicer.parameterNodeWrapper": parameter_nodes,
        "slicer.i18n": _module("i18n", tr=lambda text: text, translate=app.translate),
        "slicer.packaging": _module("packaging", pip_check=_pip_check, pip_ensure=_pip_ensure),
        "SampleData": _module("SampleData", SampleDataLogic=SampleDataLogic),
    }
    sys.modules.update(modules)
    for name, module in modules.items():
        if name.startswith("slicer."):
            setattr(slicer, name.removeprefix("slicer."), module)
    slicer.app = app
    slicer.modules = SimpleNamespace(segmentations=SimpleNamespace(logic=slicer.vtkSlicerSegmentationsModuleLogic))
    slicer.qMRMLWidget, slicer.qMRMLNodeComboBox = qmrml.qMRMLWidget, qmrml.qMRMLNodeComboBox
    slicer.mrmlScene = new_scene()
    return app


def new_scene() -> Any:
    """An empty scene whose data nodes get an item in the subject hierarchy, as Slicer's plugins see to."""
    scene = slicer.vtkMRMLScene()
    hierarchy = scene.GetSubjectHierarchyNode()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def on_added(caller: Any, event: str, node: Any) -> None:
        kinds = ("vtkMRMLVolumeNode", "vtkMRMLSegmentationNode", "vtkMRMLTableNode")
        if any(node.IsA(kind) for kind in kinds) and not hierarchy.GetItemByDataNode(node):
            hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)

    scene.AddObserver(scene.NodeAddedEvent, on_added)
    return scene


def open_module(path: Path) -> Any:
    """Load a scripted module and open its panel; the module widget that Slicer would make."""
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    module = importlib.import_module(path.stem)
    description = SimpleNamespace(path=str(path))
    setattr(slicer.modules, path.stem.lower(), description)
    getattr(module, path.stem)(description)
    parent = ModulePanel()
    parent.setLayout(QtWidgets.QVBoxLayout())
    widget = getattr(module, f"{path.stem}Widget")(parent)
    widget.setup()
    parent._entered = True
    widget.enter()
    return widget


class ModulePanel(qmrml.qMRMLWidget):
    """The frame that Slicer shows a module in."""

    _entered = False

    @property
    def isEntered(self) -> bool:
        """Whether the person looks at the module."""
        return self._entered


class SampleDataLogic:
    """Keeps what modules register with Sample Data."""

    sources: list[dict[str, Any]] = []  # noqa: RUF012

    @staticmethod
    def registerCustomSampleDataCategory(category: str, title: str) -> None:
        """Name a category."""

    @staticmethod
    def registerCustomSampleDataSource(
        category: str, sampleName: str, uris: Any, fileNames: Any, nodeNames: Any, checksums: Any
    ) -> None:
        """Keep a source."""
        SampleDataLogic.sources.append({"name": sampleName, "uris": uris, "files": fileNames, "checksums": checksums})


def _module(name: str, **members: Any) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(members)
    return module


def _pip_check(requirement: str | list[str]) -> bool:
    for text in [requirement] if isinstance(requirement, str) else requirement:
        wanted = Requirement(text)
        try:
            if version(wanted.name) not in wanted.specifier:
                return False
        except PackageNotFoundError:
            return False
    return True


def _pip_ensure(requirements: list[str], requester: str | None = None) -> None:
    raise RuntimeError("User declined package installation")


def _load_nodes(kind: str, properties: dict[str, Any], loaded: Any, messages: Any) -> bool:
    path = Path(properties["fileName"])
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(path))
    node = slicer.mrmlScene.AddNewNodeByClass(
        "vtkMRMLScalarVolumeNode", properties.get("name") or path.name.partition(".")[0]
    )
    if not storage.ReadData(node):
        slicer.mrmlScene.RemoveNode(node)
        return False
    node.CreateDefaultDisplayNodes()
    loaded.AddItem(node)
    return True
