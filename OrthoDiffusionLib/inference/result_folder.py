"""The folder that a result lies in: written beside its place, and put there whole or not at all."""

from __future__ import annotations

import csv
import errno
import io
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.inference.result import FindingRecord, Result

RESULT_FILE = "result.json"
FUSED_LABELS_FILE = "labels_fused.nii.gz"
SEGMENTATION_FILE = "segmentation.seg.nrrd"
FINDINGS_FILE = "findings.tsv"
_FULL_DISK = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}


def check_output(output: Path) -> None:
    """Make sure, before anything is computed, that `result_folder` can make or fill this folder; nothing stays of it.

    Raises:
        OrthoDiffusionError: OUTPUT_NOT_WRITABLE or DISK_FULL.
    """
    try:
        if os.path.lexists(output) and not output.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "a file has the name of the output folder")
        there = next((folder for folder in output.parents if folder.exists()), output.parent)
        for folder in (there, output) if output.exists() else (there,):
            with tempfile.TemporaryDirectory(prefix=f".orthodiffusion-{os.getpid()}-", dir=folder):
                pass
    except OSError as error:
        raise _output_error(error) from error


@contextmanager
def result_folder(output: Path) -> Iterator[Path]:
    """A private folder (mode 0700) that becomes `output` when the block ends well, and vanishes when it does not.

    It stands beside `output`, on the same disk, so that the last step is a rename. An `output` that is there already
    is kept until then; of its content only the files of an earlier result go.

    Raises:
        OrthoDiffusionError: OUTPUT_NOT_WRITABLE or DISK_FULL; nothing is left behind then.
    """
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".orthodiffusion-{os.getpid()}-", dir=output.parent))
    except OSError as error:
        raise _output_error(error) from error
    try:
        yield staging
        _publish(staging, output)
    except OSError as error:
        raise _output_error(error) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _publish(staging: Path, output: Path) -> None:
    umask = os.umask(0)
    os.umask(umask)
    for path in staging.iterdir():
        path.chmod(0o666 & ~umask)
    if not output.exists():
        staging.chmod(0o777 & ~umask)
        staging.rename(output)
        return
    names = {path.name for path in staging.iterdir()}
    # result.json goes last: a folder whose result.json is new is complete.
    for name in sorted(names, key=lambda name: name == RESULT_FILE):
        if name == RESULT_FILE:
            for old in sorted(_result_names() - names):
                (output / old).unlink(missing_ok=True)
        os.replace(staging / name, output / name)


def _result_names() -> set[str]:
    """Every name that a run may give to a file."""
    maps = {name for plane in Plane for name in (labels_file(plane), confidence_file(plane))}
    return maps | {FUSED_LABELS_FILE, SEGMENTATION_FILE, FINDINGS_FILE, RESULT_FILE}


def labels_file(plane: Plane) -> str:
    """Name of a plane's label map."""
    return f"labels_{plane.value}.nii.gz"


def confidence_file(plane: Plane) -> str:
    """Name of the map of the winning class's probability, in percent."""
    return f"confidence_{plane.value}.nii.gz"


def _output_error(error: OSError) -> OrthoDiffusionError:
    if error.errno in _FULL_DISK:
        return OrthoDiffusionError(
            ErrorKind.DISK_FULL,
            "The disk is full; no result was written.",
            "Free some space, or choose an output folder on another disk.",
            detail=str(error),
        )
    return OrthoDiffusionError(
        ErrorKind.OUTPUT_NOT_WRITABLE,
        "The output folder cannot be written.",
        "Choose a folder that you may write to.",
        detail=str(error),
    )


def write_findings_table(path: Path, findings: Sequence[FindingRecord], notice: str) -> None:
    """Write the findings as tab-separated values: probabilities, plane weights where there are, and the notice.

    Args:
        path: of the file.
        findings: a row each.
        notice: what must stand wherever a result is. It stands in a column, for a table is taken apart by rows, and
            programs read it with their usual settings.

    Raises:
        OSError: when the file cannot be written.
    """
    planes = sorted({plane for record in findings for plane in record.plane_probabilities}, key=lambda p: p.pose_id)
    columns = ["finding", "name", "probability", "threshold", "present"]
    weighed = [plane for plane in planes if all(plane in record.plane_weights for record in findings)]
    columns += [f"probability_{plane.value}" for plane in planes] + [f"weight_{plane.value}" for plane in weighed]
    text = io.StringIO()
    table = csv.writer(text, dialect="excel-tab", lineterminator="\n")
    table.writerow([*columns, "notice"])
    for record in findings:
        cells = [record.key, record.name, f"{record.probability:.4f}", f"{record.threshold:.4f}"]
        cells.append("yes" if record.present else "no")
        cells += [f"{record.plane_probabilities[plane]:.4f}" for plane in planes]
        cells += [f"{record.plane_weights[plane]:.4f}" for plane in weighed]
        # On one line: tools that read line by line must find as many rows as findings.
        table.writerow([*cells, " ".join(notice.split())])
    path.write_bytes(text.getvalue().encode())


def write_result(folder: Path, result: Result) -> None:
    """Write `result.json` into the folder."""
    (folder / RESULT_FILE).write_text(result.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read_result(folder: Path) -> Result:
    """Read and check the `result.json` of a folder.

    Raises:
        OrthoDiffusionError: FILE_NOT_FOUND or UNREADABLE_FILE.
    """
    path = folder / RESULT_FILE
    if not path.is_file():
        raise OrthoDiffusionError(
            ErrorKind.FILE_NOT_FOUND, "The folder holds no result.json.", "Choose the output folder of a run."
        )
    try:
        return Result.model_validate_json(path.read_bytes())
    except ValueError as error:
        raise OrthoDiffusionError(
            ErrorKind.UNREADABLE_FILE,
            "The result.json in this folder is damaged or of another version.",
            "Run the study again.",
            detail=str(error),
        ) from error
