"""Reads a `.ui` file with stand-ins for every widget in it."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from PySide6 import QtCore, QtUiTools, QtWidgets

from desktop.pythonqt import stand_in
from desktop.qmrml import WIDGETS

LOADERS_OWN = frozenset({"buddy"})
"""Properties that no widget has: Qt's loader makes something else of them."""


class UiLoader(QtUiTools.QUiLoader):
    """Qt's loader; besides, it refuses properties that a widget does not have, where Qt would take any."""

    def load(self, file: Any, parent: Any = None) -> Any:
        """The top-level widget of an open file."""
        tree = ElementTree.fromstring(bytes(file.readAll().data()))
        # Qt cannot connect vtkMRMLScene* between Python classes: that is done here.
        connections = list(tree.iter("connection"))
        if (element := tree.find("connections")) is not None:
            tree.remove(element)
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(tree))
        buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        self._made: dict[str, Any] = {}
        root = super().load(buffer, parent)
        # Qt owns the children; Python must keep their Python halves.
        root._children = list(self._made.values())
        self._check_properties(tree)
        self._connect_scene(connections)
        return root

    def createWidget(self, className: str, parent: Any = None, name: str = "") -> Any:
        """A widget of a class; called by Qt."""
        kind = WIDGETS.get(className) or stand_in(getattr(QtWidgets, className))
        widget = kind(parent)
        widget.setObjectName(name)
        self._made[name] = widget
        return widget

    def _check_properties(self, tree: ElementTree.Element) -> None:
        for element in tree.iter("widget"):
            meta = self._made[element.attrib["name"]].metaObject()
            for entry in element.findall("property"):
                if entry.attrib["name"] in LOADERS_OWN or entry.get("stdset") == "0":
                    continue
                if meta.indexOfProperty(entry.attrib["name"]) < 0:
                    raise ValueError(f"{element.get('class')} {element.get('name')} has no {entry.get('name')}")

    def _connect_scene(self, connections: list[ElementTree.Element]) -> None:
        for entry in connections:
            sender, signal, receiver, slot = (
                entry.findtext(key, "") for key in ("sender", "signal", "receiver", "slot")
            )
            source = getattr(self._made[sender], signal.partition("(")[0])
            source.connect(getattr(self._made[receiver], slot.partition("(")[0]))
