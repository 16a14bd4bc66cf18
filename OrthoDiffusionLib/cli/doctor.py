"""`orthodiffusion doctor`: what is installed, and whether a run works here."""

from __future__ import annotations

import os
import platform
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from OrthoDiffusionLib import __version__
from OrthoDiffusionLib.bundles.opening import open_bundle
from OrthoDiffusionLib.bundles.registry import find_bundle, list_bundles
from OrthoDiffusionLib.cli.reporting import missing_package, out, print_json, reported
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.inference.machine_memory import machine_memory_gib
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
    "PyYAML",
    "lightning-fabric",
    "tensorboard",
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
        report["memory_gib"] = machine_memory_gib()
        report["packages"] = {name: _version(name) for name in PACKAGES}
        report["devices"] = []
        known, problem = _attempt(lambda: report["devices"].extend(_devices()))
        if not known:
            report["devices_problem"] = problem
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


def _devices() -> list[dict[str, Any]]:
    from OrthoDiffusionLib.inference.devices import described_devices

    return [device._asdict() for device in described_devices()]


def _try_run() -> str:
    with tempfile.TemporaryDirectory() as folder, WorkerClient() as client:
        params = RunParams(paths=(resources_folder() / SAMPLE,), output=Path(folder) / "result")
        done = client.run(params)
        findings = len(read_result(done.output).findings)
        return f"The sample study ran in {done.seconds:.1f} s: label maps and {findings} findings."


def _show(report: dict[str, Any]) -> None:
    table = Table("what", "here", show_header=False)
    for name, value in report.items():
        if name == "packages":
            for package, installed in value.items():
                table.add_row(package, installed or "[dim]not installed[/]")
        elif name == "devices":
            for device in value:
                table.add_row(escape(device["name"]), escape(f"{device['kind']}, {_memory(device['memory_gib'])}"))
        elif name == "memory_gib":
            table.add_row("memory", _memory(value))
        else:
            text = ", ".join(value) if isinstance(value, list) else value
            table.add_row(name.replace("_", " "), escape(text))
    out.print(table)


def _memory(gib: float | None) -> str:
    return "memory not told" if gib is None else f"{gib:.1f} GiB"
