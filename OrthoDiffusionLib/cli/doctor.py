"""`orthodiffusion doctor`: what is installed, and whether a run works here."""

from __future__ import annotations

import os
import platform
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from OrthoDiffusionLib import __version__
from OrthoDiffusionLib.bundles.opening import open_bundle
from OrthoDiffusionLib.bundles.registry import find_bundle, list_bundles
from OrthoDiffusionLib.cli.reporting import missing_package, out, print_json, reported
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.inference.result_folder import read_result
from OrthoDiffusionLib.resources import resources_folder
from OrthoDiffusionLib.worker.client import WorkerClient
from OrthoDiffusionLib.worker.messages import RunParams

PACKAGES = (
    "torch",
    "numpy",
    "scipy",
    "SimpleITK",
    "nibabel",
    "pydicom",
    "pydantic",
    "safetensors",
    "matplotlib",
    "scikit-learn",
    "slicer-core",
)
SAMPLE = Path("SampleData") / "knee-phantom"


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False) -> None:
    """Say what is installed, which device and bundle there are, and whether a run works."""
    report: dict[str, Any] = {}
    with reported(as_json):
        report["orthodiffusion"] = __version__
        report["python"] = platform.python_version()
        report["system"] = f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors"
        report["memory"] = _memory()
        report["packages"] = {name: _version(name) for name in PACKAGES}
        _, report["devices"] = _attempt(_devices)
        report["bundles"] = [entry.name for entry in list_bundles()]
        bundle, report["bundle"] = _attempt(lambda: open_bundle(find_bundle(None)).manifest.title)
        worked, report["run"] = _attempt(_try_run)
        if as_json:
            print_json(report)
        else:
            _show(report)
        if not (bundle and worked):
            raise typer.Exit(ErrorKind.INTERNAL.exit_code)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _attempt(action: Any) -> tuple[bool, str]:
    try:
        return True, str(action())
    except OrthoDiffusionError as error:
        return False, f"{error.sentence} {error.action}"
    except ModuleNotFoundError as error:
        return False, str(missing_package(error))


def _devices() -> str:
    from OrthoDiffusionLib.inference.devices import available_devices

    return ", ".join(available_devices())


def _memory() -> str:
    if not hasattr(os, "sysconf"):
        return "not told by this system"
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB"


def _try_run() -> str:
    with tempfile.TemporaryDirectory() as folder, WorkerClient() as client:
        params = RunParams(paths=(resources_folder() / SAMPLE,), output=Path(folder) / "result")
        done = client.run(params)
        findings = len(read_result(done.output).findings)
        return f"The sample study ran in {done.seconds:.1f} s: label maps and {findings} findings."


def _show(report: dict[str, Any]) -> None:
    table = Table("what", "here", show_header=False)
    for name, value in report.items():
        if isinstance(value, dict):
            for package, installed in value.items():
                table.add_row(package, installed or "[dim]not installed[/]")
        else:
            table.add_row(name, ", ".join(value) if isinstance(value, list) else value)
    out.print(table)
