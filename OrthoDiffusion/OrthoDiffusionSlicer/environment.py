"""Where the library is, which Python runs the worker, and whether it has what it needs."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

LIBRARY = "OrthoDiffusionLib"
PYTHON_VARIABLE = "ORTHODIFFUSION_PYTHON"

REQUIREMENTS = (
    "torch>=2.6",
    "SimpleITK>=2.4",
    "nibabel>=5.3",
    "pydantic>=2.10",
    "pydicom>=3.0",
    "safetensors>=0.5",
    "scipy>=1.14",
    "typer>=0.15",
    "rich>=13",
)
"""What the worker imports, as `pyproject.toml` has it; torch comes last, through the PyTorch extension where it is."""


@dataclass(frozen=True)
class Installation:
    """Where things are.

    Attributes:
        root: folder that holds the library, a source checkout or the installed module's own folder.
        resources: folder with `Schemas`, `Bundles` and `SampleData`.
        python: that runs the worker.
    """

    root: Path
    resources: Path
    python: str

    def worker_command(self) -> tuple[str, list[str]]:
        """Program and arguments that start the worker."""
        return self.python, ["-m", f"{LIBRARY}.worker"]

    def worker_environment(self) -> dict[str, str]:
        """Variables that the worker needs beside the system's own."""
        paths = [str(self.root), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONUNBUFFERED": "1",
            "PYTHONUTF8": "1",
            "ORTHODIFFUSION_RESOURCES": str(self.resources),
        }

    def bundles(self) -> list[str]:
        """Names of the bundles that come with the module."""
        return sorted(path.parent.parent.name for path in self.resources.glob("Bundles/*/configs/metadata.json"))


def find_installation(module_file: str) -> Installation:
    """Find the library and its resources beside the module's file (installed) or one folder up (source checkout).

    Raises:
        FileNotFoundError: with a sentence for the person.
    """
    here = Path(module_file).resolve().parent
    for root in (here, here.parent):
        for resources in (root / "Resources", root / "OrthoDiffusionResources"):
            if (root / LIBRARY / "__init__.py").is_file() and (resources / "Schemas").is_dir():
                return Installation(root, resources, _python())
    raise FileNotFoundError("The OrthoDiffusion library was not found. Install the extension again.")


def _python() -> str:
    named = os.environ.get(PYTHON_VARIABLE)
    return named or shutil.which("PythonSlicer") or sys.executable


def missing_requirements() -> list[str]:
    """Requirements that this Python lacks; the worker's is the same one unless ORTHODIFFUSION_PYTHON names another."""
    if os.environ.get(PYTHON_VARIABLE):
        return []
    return [name for name in REQUIREMENTS if importlib.util.find_spec(name.split(">=")[0]) is None]


def install_requirements() -> None:
    """Install what is missing, after asking the person.

    Raises:
        RuntimeError: when the person says no, or with a sentence when the PyTorch extension is needed first.
    """
    import slicer

    missing = missing_requirements()
    if any(name.startswith("torch") for name in missing):
        try:
            import PyTorchUtils
        except ImportError as error:
            raise RuntimeError(
                "PyTorch is missing. Install the PyTorch extension in the Extensions Manager, restart, and try again."
            ) from error
        if not PyTorchUtils.PyTorchUtilsLogic().torchInstalled():
            PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=True)
    slicer.packaging.pip_ensure(
        [name for name in REQUIREMENTS if not name.startswith("torch")], requester="OrthoDiffusion"
    )
