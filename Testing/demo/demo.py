"""`make demo`: the bundled study through the background worker, into a real MRML scene, and out as pictures."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "OrthoDiffusion"))

from OrthoDiffusionSlicer.scene import add_result, add_volume  # noqa: E402

from OrthoDiffusionLib.errors import OrthoDiffusionError  # noqa: E402
from OrthoDiffusionLib.evaluation.pictures import findings_figure, overlay_figure  # noqa: E402
from OrthoDiffusionLib.inference.result import Result  # noqa: E402
from OrthoDiffusionLib.inference.result_folder import read_result  # noqa: E402
from OrthoDiffusionLib.resources import resources_folder  # noqa: E402
from OrthoDiffusionLib.volumes.reading import read_series  # noqa: E402
from OrthoDiffusionLib.volumes.volume import Volume  # noqa: E402
from OrthoDiffusionLib.worker.client import WorkerClient  # noqa: E402
from OrthoDiffusionLib.worker.messages import Progress, RunParams  # noqa: E402

SURFACE_SECONDS = 60
STUDY = resources_folder() / "SampleData" / "knee-phantom" / "study"


def main() -> int:
    """Run the demonstration; 0 when all of it worked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "demo-output")
    output: Path = parser.parse_args().output.absolute()
    shutil.rmtree(output, ignore_errors=True)
    began = time.monotonic()
    try:
        result = _run(output)
    except OrthoDiffusionError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.kind.exit_code
    volumes = {record.plane.value: read_series(STUDY / f"{record.plane.value}.nii.gz")[0] for record in result.series}
    _save_scene(output, volumes)
    _draw(output, result, volumes)
    _draw_surfaces(output, result.notice)
    _report(output, result, time.monotonic() - began)
    return 0


def _run(output: Path) -> Result:
    stages: set[str] = set()

    def tell(progress: Progress) -> None:
        if progress.message not in stages:
            stages.add(progress.message)
            print(f"{100 * progress.fraction:3.0f} %  {progress.message}", flush=True)

    with WorkerClient() as client:
        client.run(RunParams(paths=(STUDY,), output=output), tell)
    return read_result(output)


def _save_scene(output: Path, volumes: dict[str, Volume]) -> None:
    import slicer

    scene = slicer.vtkMRMLScene()
    nodes = [add_volume(scene, plane, volume.array, volume.affine) for plane, volume in volumes.items()]
    added = add_result(scene, output, nodes)
    segments = added.segmentation.GetSegmentation().GetNumberOfSegments()
    if not scene.WriteToMRB(str(output / "scene.mrb"), None):
        raise OSError("the scene could not be written")
    print(f"Scene: {len(nodes)} volumes, {segments} segments, {added.table.GetTable().GetNumberOfRows()} findings")


def _draw(output: Path, result: Result, volumes: dict[str, Volume]) -> None:
    for record in result.series:
        assert record.labels is not None
        labels = read_series(output / record.labels)[0].array
        volume = volumes[record.plane.value]
        figure = overlay_figure(volume, labels.astype(np.int16), record.plane, result)
        figure.savefig(output / f"{record.plane.value}.png", dpi=90)
    findings_figure(result).savefig(output / "findings.png", dpi=110)


def _draw_surfaces(output: Path, notice: str) -> None:
    view = [sys.executable, str(Path(__file__).with_name("surface_view.py"))]
    files = [str(output / "segmentation.seg.nrrd"), str(output / "surfaces.png"), notice]
    try:
        done = subprocess.run([*view, *files], capture_output=True, timeout=SURFACE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        print("No 3D view: the drawing took too long.")
        return
    if done.returncode != 0:
        print("No 3D view: it needs an OpenGL library (on Debian or Ubuntu: libegl1 and libgl1-mesa-dri).")


def _report(output: Path, result: Result, seconds: float) -> None:
    for record in result.findings:
        mark = "present" if record.present else ""
        print(f"  {record.name:<40} {record.probability:.2f}  {mark}")
    print(result.notice)
    print(f"Peak memory of the worker: {result.provenance.peak_memory_mb} MB. All in {seconds:.0f} s.")
    print(f"Look at the pictures in {output}:")
    for path in sorted(output.iterdir()):
        print(f"  {path.name}")


if __name__ == "__main__":
    sys.exit(main())
