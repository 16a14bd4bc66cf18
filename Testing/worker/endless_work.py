"""Two processes whose work would take ten minutes, as an evaluation on phantoms takes long: for what ends it."""

from __future__ import annotations

import signal
import tempfile
import time
from pathlib import Path

from OrthoDiffusionLib.worker.processes import working_processes


def nothing() -> None:
    pass


def work(number: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "working").touch()
        time.sleep(600)


if __name__ == "__main__":
    # A shell has what it starts in the background ignore Ctrl-C, and with that all that follows from there.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with working_processes(2, nothing) as working:
        for _ in working.outcomes(work, range(4)):
            pass
