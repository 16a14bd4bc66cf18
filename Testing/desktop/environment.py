"""What the stand-in needs of the machine: variables set before Qt starts, and a reason where it cannot start."""

from __future__ import annotations

import importlib.util
import os

from desktop.system_libraries import PACKAGES, missing_libraries


def prepare() -> None:
    """Set the variables that Qt reads once: windows without a screen."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


def skip_reason() -> str | None:
    """Why the desktop's tests cannot run here, and what to run; None where they can."""
    for package, wheel in (("slicer", "slicer-core"), ("PySide6", "PySide6-Essentials")):
        if importlib.util.find_spec(package) is None:
            return f"needs the wheel {wheel}: pip install {wheel}"
    if missing := missing_libraries():
        return f"needs {', '.join(missing)}: sudo apt-get install -y {' '.join(PACKAGES)}"
    return None
