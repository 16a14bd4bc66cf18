"""Where the library is, which Python runs the worker, and whether it has what it needs."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from OrthoDiffusionSlicer.bundle_offer import EVERYTHING, Offer, bundle_offer
from OrthoDiffusionSlicer.clinical_data import ClinicalPart, clinical_part

LIBRARY = "OrthoDiffusionLib"
PYTHON_VARIABLE = "ORTHODIFFUSION_PYTHON"

TORCH = "torch>=2.6"
REQUIREMENTS = (
    "SimpleITK>=2.4",
    "nibabel>=5.3",
    "pydantic>=2.10",
    "pydicom>=3.0",
    "safetensors>=0.5",
    "scipy>=1.14",
)
"""What the worker imports beside torch, in the versions of `pyproject.toml`."""


@dataclass(frozen=True)
class InstalledBundle:
    """What a bundle's manifest says of it, before the worker has verified it.

    Attributes:
        title: for people.
        clinical: what it reads of clinical data; None where it reads none.
        offer: what it can be asked for.
    """

    title: str
    clinical: ClinicalPart | None = None
    offer: Offer = EVERYTHING


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

    @property
    def has_own_python(self) -> bool:
        """Whether the worker runs in a Python of the person's choice and not in Slicer's."""
        return bool(os.environ.get(PYTHON_VARIABLE))

    def worker_environment(self, private_folder: Path) -> dict[str, str]:
        """Variables that the worker needs beside the system's own.

        Args:
            private_folder: for every temporary file; the worker removes it at its end, even when this program is gone.
        """
        # Slicer's packages are of no use to another Python, and may not load there.
        slicers = None if self.has_own_python else os.environ.get("PYTHONPATH")
        paths = [str(self.root), *filter(None, [slicers])]
        return {
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONUNBUFFERED": "1",
            # Else `-m` would look for modules in whatever folder Slicer was started from, first of all.
            "PYTHONSAFEPATH": "1",
            "PYTHONUTF8": "1",
            "ORTHODIFFUSION_RESOURCES": str(self.resources),
            "ORTHODIFFUSION_JOB_FOLDER": str(private_folder),
            **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(private_folder)),
        }

    def bundles(self) -> dict[str, InstalledBundle]:
        """The bundles by what the worker calls them: a name for ours, a folder for the person's own."""
        found = {}
        for folder, is_ours in ((self.resources / "Bundles", True), (self._user_folder(), False)):
            if folder is None:
                continue
            for manifest in sorted(folder.glob("*/configs/metadata.json")):
                try:
                    content = json.loads(manifest.read_bytes())
                    name = str(content["name"])
                    bundle = InstalledBundle(str(content["title"]), clinical_part(content), bundle_offer(content))
                except (OSError, ValueError, KeyError, TypeError):
                    name = manifest.parents[1].name
                    bundle = InstalledBundle(name)
                found[name if is_ours else str(manifest.parents[1])] = bundle
        return found

    def sample_study(self) -> dict[str, Path]:
        """The bundled study: a file for each plane."""
        files = sorted((self.resources / "SampleData" / "knee-phantom" / "study").glob("*.nii.gz"))
        return {path.name.partition(".")[0]: path for path in files}

    def _user_folder(self) -> Path | None:
        # Needs nothing but the standard library.
        from OrthoDiffusionLib.bundles.registry import user_folder

        return user_folder()

    def make_importable(self) -> None:
        """Let this Python import the library, of which the module takes only what needs no torch."""
        if str(self.root) not in sys.path:
            sys.path.append(str(self.root))


def find_installation(module_file: str) -> Installation:
    """Find the library and its resources beside the module's file (installed) or one folder up (source checkout).

    Raises:
        FileNotFoundError: with a sentence for the person.
    """
    here = Path(module_file).resolve().parent
    for root in (here, here.parent):
        for resources in (root / "Resources", root / "OrthoDiffusionResources"):
            if (root / LIBRARY / "__init__.py").is_file() and (resources / "Schemas").is_dir():
                installation = Installation(root, resources, _python())
                installation.make_importable()
                return installation
    raise FileNotFoundError("The OrthoDiffusion library was not found. Install the extension again.")


def _python() -> str:
    named = os.environ.get(PYTHON_VARIABLE)
    return named or shutil.which("PythonSlicer") or sys.executable


def missing_requirements() -> list[str]:
    """Requirements that this Python lacks; the worker's is the same one unless ORTHODIFFUSION_PYTHON names another.

    Raises:
        RuntimeError: with a sentence for the person, in a Slicer that is too old to say.
    """
    if os.environ.get(PYTHON_VARIABLE):
        return []
    try:
        import slicer.packaging
    except ImportError as error:
        raise RuntimeError("OrthoDiffusion needs 3D Slicer 5.12 or later. Install it, and try again there.") from error

    return [requirement for requirement in (TORCH, *REQUIREMENTS) if not slicer.packaging.pip_check(requirement)]


def install_requirements() -> None:
    """Install what is missing, after asking the person; torch first and through the PyTorch extension.

    That extension picks the build for the machine's graphics card; pip would bring one that may not run.

    Raises:
        RuntimeError: with a sentence for the person, when they say no, when the PyTorch extension is needed first, or
            when an installation fails.
    """
    import slicer.packaging

    if TORCH in missing_requirements():
        try:
            import PyTorchUtils
        except ImportError as error:
            raise RuntimeError(
                "PyTorch is missing. Install the PyTorch extension in the Extensions Manager, restart, and try again."
            ) from error
        version = TORCH.removeprefix("torch")
        with _told("PyTorch"):
            installed = PyTorchUtils.PyTorchUtilsLogic().installTorch(
                askConfirmation=True, torchVersionRequirement=version
            )
        if installed is None:
            raise RuntimeError("PyTorch was not installed, so nothing was run. Click again to install it.")
    with _told("A Python package"):
        slicer.packaging.pip_ensure(list(REQUIREMENTS), requester="OrthoDiffusion")
    # It installs nothing, and says nothing, in Slicer's testing mode.
    if still_missing := missing_requirements():
        raise RuntimeError(f"Not installed: {', '.join(still_missing)}. Restart Slicer, and click again.")


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn what an installation raises into a sentence: RuntimeError when they say no, else pip's or the network's."""
    try:
        yield
    except RuntimeError as error:
        raise RuntimeError(f"{what} is missing, so nothing was run. Click again to install it.") from error
    except Exception as error:
        # Whatever another extension raises, the panel must not wait for ever.
        logging.exception("the installation failed")
        raise RuntimeError(
            f"{what} could not be installed. Check the network connection, look at the log, and click again."
        ) from error
