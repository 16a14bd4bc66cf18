"""What the stand-in needs of the machine: variables set before Qt starts, and a reason where it cannot start."""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.metadata import version

from desktop.system_libraries import PACKAGES, missing_libraries


def prepare() -> None:
    """Set the variables that Qt reads once: windows without a screen."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


def skip_reason() -> str | None:
    """Why the desktop's tests cannot run here, and what to run; None where they can."""
    for package, wheel in (("slicer", "slicer-core"), ("PySide6", "PySide6-Essentials")):
        if importlib.util.find_spec(package) is None:
            return f"needs the wheel {wheel}: pip install {wheel}"
    if sys.version_info < (3, 12) and version("PySide6-Essentials").startswith("6.12"):
        # It takes a reference to None, True and False with each call; as of Python 3.12 these cannot run out.
        return "PySide6 6.12 crashes Python before 3.12: pip install PySide6-Essentials==6.11.3"
    if missing := missing_libraries():
        return f"needs {', '.join(missing)}: sudo apt-get install -y {' '.join(PACKAGES)}"
    return None
