"""The folder that a result lies in: written apart, and put in its place whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError, is_disk_full
from OrthoDiffusionLib.inference.result import FindingRecord, Result

RESULT_FILE = "result.json"
FUSED_LABELS_FILE = "labels_fused.nii.gz"
SEGMENTATION_FILE = "segmentation.seg.nrrd"
FINDINGS_FILE = "findings.tsv"

STAGING_PREFIX = ".orthodiffusion-"
"""What the names of unfinished results begin with, in an output folder or beside it."""

STAGING_VARIABLE = "ORTHODIFFUSION_STAGING"
"""Names the environment variable by which a client tells its worker what to put into the names of unfinished results,
so that the client can remove them when the worker has died."""

_OWN_TOKEN = secrets.token_hex(4)


def staging_token() -> str:
    """What the unfinished results of this process bear in their names: its client's word, or one of its own.

    A process id would not do: on a file system that containers share, several have the same.
    """
    return os.environ.get(STAGING_VARIABLE) or _OWN_TOKEN


def remove_staging(output: Path, token: str) -> None:
    """Remove the unfinished results that a dead process left in its output or beside it; those of others stay.

    Args:
        output: that the process was to write.
        token: `staging_token()` of the process.
    """
    for place in (output.parent, output):
        with contextlib.suppress(OSError):
            for path in [path for path in place.iterdir() if path.name.startswith(_staging_prefix(token))]:
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)


def _staging_prefix(token: str) -> str:
    return f"{STAGING_PREFIX}{token}-"


def _new_staging(place: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix=_staging_prefix(staging_token()), dir=place))


def check_output(output: Path) -> None:
    """Make sure, before anything is computed, that `result_folder` can make or fill this folder; nothing stays of it.

    Raises:
        OrthoDiffusionError: OUTPUT_NOT_WRITABLE or DISK_FULL.
    """
    try:
        if os.path.lexists(output) and not output.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "a file has the name of the output folder")
        fills = output.is_dir()
        beside = next((folder for folder in output.parents if os.path.lexists(folder)), output.parent)
        staging = _new_staging(output if fills else beside)
        try:
            if fills:
                # There are file systems on which a file may be made but not moved to another folder.
                tried = output / f"{staging.name}-tried"
                (staging / "tried").touch()
                os.replace(staging / "tried", tried)
                tried.unlink()
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise _output_error(error) from error


@contextmanager
def result_folder(output: Path) -> Iterator[Path]:
    """A private folder (mode 0700) whose files are in `output` when the block ends well, and vanish when it does not.

    It stands where the last step is a rename on one file system: inside an `output` that is there already, which may be
    a mount point or a link to another disk, and beside one that is not. Of what is there only the files of an earlier
    result go, in the last step; they come back when that fails.

    Raises:
        OrthoDiffusionError: OUTPUT_NOT_WRITABLE or DISK_FULL; nothing is left behind then.
    """
    try:
        if output.is_dir():
            staging = _new_staging(output)
        else:
            output.parent.mkdir(parents=True, exist_ok=True)
            staging = _new_staging(output.parent)
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
    if output.exists():
        _replace_result(staging, output)
    else:
        staging.chmod(0o777 & ~umask)
        staging.rename(output)


def _replace_result(staging: Path, output: Path) -> None:
    """Move the files of an earlier result out of the way, and then the new ones in.

    result.json goes out first and comes in last: whenever this is cut short, a result.json that is there is that of the
    files beside it.
    """
    new = {path.name for path in staging.iterdir()}
    # A folder of such a name is not ours; it stays, and the new file of that name fails.
    old = {name for name in new | _result_names() if os.path.lexists(output / name) and not (output / name).is_dir()}
    aside = Path(tempfile.mkdtemp(dir=staging))
    outwards = [(output / name, aside / name) for name in sorted(old, key=lambda name: name != RESULT_FILE)]
    inwards = [(staging / name, output / name) for name in sorted(new, key=lambda name: name == RESULT_FILE)]
    try:
        _move_all([*outwards, *inwards])
    except OSError as error:
        if not old or is_disk_full(error):
            raise
        # Windows lets nobody move a file that a program has open.
        raise OrthoDiffusionError(
            ErrorKind.OUTPUT_NOT_WRITABLE,
            "The earlier result in the output folder cannot be replaced.",
            "Close the programs that have its files open, or choose another folder.",
            detail=str(error),
        ) from error


def _move_all(moves: Sequence[tuple[Path, Path]]) -> None:
    """Make these moves in order, or none of them: where one fails, those before it are taken back, the last first."""
    begun = []
    try:
        for source, target in moves:
            begun.append((source, target))
            os.replace(source, target)
    except BaseException:
        # It ends with the first that cannot be taken back: an earlier result.json returns last, or not at all.
        with contextlib.suppress(OSError):
            for source, target in reversed(begun):
                if not os.path.lexists(source):
                    os.replace(target, source)
        raise


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
    if is_disk_full(error):
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
