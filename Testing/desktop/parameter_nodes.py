"""`slicer.parameterNodeWrapper` for what our module keeps in the scene: node references, texts and switches."""

from __future__ import annotations

import typing
from typing import Any

import slicer
import vtk
from PySide6 import QtWidgets

PROPERTY = "SlicerParameterName"


def parameterNodeWrapper(cls: type) -> type:
    """The class decorator: annotated members become parameters that are kept in a MRML node."""
    kinds = typing.get_type_hints(cls)
    defaults = {name: getattr(cls, name, None) for name in kinds}
    members: dict[str, Any] = {name: _member(name, kind, defaults[name]) for name, kind in kinds.items()}
    return type(cls.__name__, (_Parameters,), {"__doc__": cls.__doc__, "_kinds": kinds, **members})


def _member(name: str, kind: type, default: Any) -> property:
    if issubclass(kind, slicer.vtkMRMLNode):
        return property(
            lambda self: self.parameterNode.GetNodeReference(name),
            lambda self, node: self.parameterNode.SetNodeReferenceID(name, node.GetID() if node else None),
        )
    if kind not in (str, bool):
        raise TypeError(f"the stand-in keeps no parameters of {kind}")
    read = (lambda text: text == "True") if kind is bool else str

    def get(self: Any) -> Any:
        text = self.parameterNode.GetParameter(name)
        return read(text) if self.parameterNode.GetParameterCount() and text != "" else (default or kind())

    return property(get, lambda self, value: self.parameterNode.SetParameter(name, str(value)))


class _Parameters:
    _kinds: dict[str, type]

    def __init__(self, node: Any) -> None:
        self.parameterNode = node
        self._connected: dict[int, tuple[int, list[tuple[Any, Any]]]] = {}
        self._showing = False

    def AddObserver(self, event: Any, callback: Any, priority: float = 0.0) -> int:
        """Observe the node."""
        return int(self.parameterNode.AddObserver(event, callback, priority))

    def RemoveObserver(self, tag: int) -> None:
        """Observe it no more."""
        self.parameterNode.RemoveObserver(tag)

    def connectGui(self, gui: Any) -> int:
        """Connect every widget of the panel that names a parameter."""
        widgets = {w.property(PROPERTY): w for w in gui.__dict__.values() if w.property(PROPERTY)}
        for name, widget in widgets.items():
            if name not in self._kinds:
                raise ValueError(f"there is no parameter {name!r}")
            if not isinstance(widget, slicer.qMRMLNodeComboBox | QtWidgets.QCheckBox):
                raise RuntimeError(f"no connector between {type(widget).__name__} and {name!r}")
        self._show(widgets)
        links = []
        for name, widget in widgets.items():
            is_box = isinstance(widget, QtWidgets.QCheckBox)
            signal = widget.toggled if is_box else widget.currentNodeChanged
            link = lambda value, name=name: None if self._showing else setattr(self, name, value)  # noqa: E731
            signal.connect(link)
            links.append((signal, link))
        tag = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda _caller, _event: self._show(widgets))
        self._connected[tag] = (tag, links)
        return tag

    def disconnectGui(self, tag: int) -> None:
        """Undo `connectGui`."""
        if tag in self._connected:
            observer, links = self._connected.pop(tag)
            self.RemoveObserver(observer)
            for signal, link in links:
                signal.disconnect(link)

    def _show(self, widgets: dict[str, Any]) -> None:
        if self._showing:
            return
        self._showing = True
        try:
            for name, widget in widgets.items():
                value = getattr(self, name)
                if isinstance(widget, QtWidgets.QCheckBox):
                    widget.setChecked(value)
                else:
                    widget.setCurrentNode(value)
        finally:
            self._showing = False
