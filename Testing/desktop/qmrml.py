"""The widgets of CTK and Slicer that our `.ui` file uses, on plain Qt."""

from __future__ import annotations

from typing import Any

import slicer
from PySide6 import QtCore, QtWidgets

from desktop.pythonqt import stand_in


class ctkCollapsibleButton(stand_in(QtWidgets.QGroupBox)):  # type: ignore[misc]
    """A titled box that can be folded: its children are hidden then."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._text = ""
        self._is_collapsed = False

    def _get_text(self) -> str:
        return self._text

    def _set_text(self, text: str) -> None:
        self._text = text
        self._fold()

    def _get_collapsed(self) -> bool:
        return self._is_collapsed

    def _set_collapsed(self, collapsed: bool) -> None:
        self._is_collapsed = collapsed
        self._fold()

    def _fold(self) -> None:
        self.setTitle(f"{'▸' if self._is_collapsed else '▾'} {self._text}")
        for child in self.findChildren(QtWidgets.QWidget, options=QtCore.Qt.FindChildOption.FindDirectChildrenOnly):
            child.setVisible(not self._is_collapsed)

    def childEvent(self, event: QtCore.QChildEvent) -> None:
        """A child comes; called by Qt."""
        # A `.ui` file sets the box's properties before it makes the box's children.
        if event.type() == QtCore.QEvent.Type.ChildPolished and self._is_collapsed:
            event.child().hide()  # type: ignore[attr-defined]

    text = QtCore.Property(str, _get_text, _set_text)
    collapsed = QtCore.Property(bool, _get_collapsed, _set_collapsed)


class qMRMLWidget(stand_in(QtWidgets.QWidget)):  # type: ignore[misc]
    """A panel that tells its children of the scene."""

    mrmlSceneChanged = QtCore.Signal(object)

    def setMRMLScene(self, scene: Any) -> None:
        """Take a scene."""
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)


class qMRMLNodeComboBox(stand_in(QtWidgets.QWidget)):  # type: ignore[misc]
    """Chooses one node of the scene, or none."""

    currentNodeChanged = QtCore.Signal(object)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._values: dict[str, Any] = {}
        self._scene: Any = None
        self._nodes: list[Any] = []
        self._tags: list[int] = []
        self._box = QtWidgets.QComboBox(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        self._current: Any = None
        self._box.currentIndexChanged.connect(self._on_index)

    @staticmethod
    def _property(name: str, kind: Any, default: Any) -> Any:
        return QtCore.Property(
            kind,
            lambda self: self._values.get(name, default),
            lambda self, value: self._values.__setitem__(name, value),
        )

    nodeTypes = _property("nodeTypes", "QStringList", [])
    addEnabled = _property("addEnabled", bool, True)
    removeEnabled = _property("removeEnabled", bool, True)
    noneEnabled = _property("noneEnabled", bool, False)
    noneDisplay = _property("noneDisplay", str, "None")
    showChildNodeTypes = _property("showChildNodeTypes", bool, True)

    def setMRMLScene(self, scene: Any) -> None:
        """Follow a scene."""
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._scene = scene
        self._tags = [scene.AddObserver(event, self._fill) for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent)]
        self._fill()

    def currentNode(self) -> Any:
        """The node that is chosen, or None."""
        return self._current

    def setCurrentNode(self, node: Any) -> None:
        """Choose a node, or None."""
        self._box.setCurrentIndex(self._nodes.index(node) if node in self._nodes else 0)

    def _fill(self, caller: Any = None, event: Any = None) -> None:
        found = [node for kind in self.nodeTypes for node in slicer.util.getNodesByClass(kind, self._scene)]
        self._box.blockSignals(True)
        self._nodes = [None, *found] if self.noneEnabled else found
        self._box.clear()
        self._box.addItems([node.GetName() if node else self.noneDisplay for node in self._nodes])
        if self._current in self._nodes:
            self._box.setCurrentIndex(self._nodes.index(self._current))
        self._box.blockSignals(False)
        self._on_index(self._box.currentIndex())

    def _on_index(self, index: int) -> None:
        node = self._nodes[index] if 0 <= index < len(self._nodes) else None
        if node is not self._current:
            self._current = node
            self.currentNodeChanged.emit(node)


WIDGETS: dict[str, type] = {kind.__name__: kind for kind in (ctkCollapsibleButton, qMRMLWidget, qMRMLNodeComboBox)}
