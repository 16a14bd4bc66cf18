"""The private folder that a worker's temporary files lie in, so that nothing of a patient outlives the job."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

JOB_FOLDER_VARIABLE = "ORTHODIFFUSION_JOB_FOLDER"
STAGING_PREFIX = ".orthodiffusion-"


def make_job_folder() -> Path:
    """A new folder that only this user can enter (mode 0700)."""
    return Path(tempfile.mkdtemp(prefix="orthodiffusion-job-"))


def remove_folder(folder: Path) -> None:
    """Remove a folder and what is in it; one that is gone already is no error."""
    shutil.rmtree(folder, ignore_errors=True)


def remove_staging(output: Path, process: int) -> None:
    """Remove the unfinished results that a dead worker left beside its output."""
    for folder in output.parent.glob(f"{STAGING_PREFIX}{process}-*"):
        remove_folder(folder)
