"""PySide6 as PythonQt shows Qt to Python: the module `qt`.

Properties are attributes (`button.enabled = True`), `connect` takes a C++ signature, and a name that does not exist is
refused where PySide6 would quietly make a new attribute.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

VIRTUAL_PROPERTIES = {QtWidgets.QWidget: {"sizeHint", "minimumSizeHint"}, QtWidgets.QProgressBar: {"text"}}
"""C++ calls these by their Python names: they must stay methods."""


class _Property:
    """A Qt property as an attribute of objects; on the class it stays what PySide6 has there."""

    def __init__(self, name: str, original: Any) -> None:
        self._name = name
        self._original = original

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self._original
        return instance.property(self._name)

    def __set__(self, instance: Any, value: Any) -> None:
        if not instance.setProperty(self._name, value):
            raise TypeError(f"{type(instance).__name__}.{self._name} cannot be set to {value!r}")


class PythonQtObject:
    """What every QObject can do under PythonQt."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # PySide6 takes its own `connect` unless the object's very class holds another.
        cls.connect = PythonQtObject.connect  # type: ignore[method-assign]

    def __setattr__(self, name: str, value: Any) -> None:
        # PySide6's loader of `.ui` files hangs every child onto its panel by name.
        is_child = isinstance(value, QtCore.QObject) and QtCore.QObject.objectName(value) == name
        if not name.startswith("_") and not is_child and not hasattr(type(self), name):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        super().__setattr__(name, value)

    def connect(self, signal: str, slot: Callable[..., Any]) -> bool:
        """Connect a signal given by its C++ signature, such as `clicked(bool)`; the slot gets just these arguments."""
        meta: Any = self.metaObject()  # type: ignore[attr-defined]
        index = meta.indexOfSignal(QtCore.QMetaObject.normalizedSignature(signal).data().decode())
        if index < 0:
            raise ValueError(f"{type(self).__name__} has no signal {signal}")
        count = meta.method(index).parameterCount()
        # PySide6 counts the parameters of what it calls.
        taking: list[Callable[..., Any]] = [lambda: slot(), lambda a: slot(a), lambda a, b: slot(a, b)]
        getattr(self, signal.partition("(")[0]).connect(taking[count])
        return True

    def className(self) -> str:
        """The C++ class."""
        return str(self.metaObject().className())  # type: ignore[attr-defined]


@cache
def stand_in(base: type) -> type:
    """The class that stands for a QObject class: the same name, with PythonQt's manners."""
    meta = base.staticMetaObject  # type: ignore[attr-defined]
    names = {meta.property(index).name() for index in range(meta.propertyCount())}
    for kind, virtual in VIRTUAL_PROPERTIES.items():
        names -= virtual if issubclass(base, kind) else set()
    namespace: dict[str, Any] = {name: _Property(name, inspect.getattr_static(base, name, None)) for name in names}
    namespace["name"] = _Property("objectName", None)
    return type(base.__name__, (PythonQtObject, base), namespace)


class QtModule(ModuleType):
    """The module `qt`: all of Qt's modules in one."""

    def __getattr__(self, name: str) -> Any:
        if name == "QUiLoader":
            from desktop.uiloader import UiLoader

            return UiLoader
        for module in (QtCore, QtGui, QtWidgets, QtUiTools):
            found = getattr(module, name, None)
            if found is not None:
                is_object = isinstance(found, type) and issubclass(found, QtCore.QObject)
                return stand_in(found) if is_object else found
        raise AttributeError(f"Qt has no {name}")
