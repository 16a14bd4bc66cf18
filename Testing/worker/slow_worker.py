"""A worker whose engine does nothing but take its time: the protocol is the real one, the wait is not.

The request's bundle names what the engine does.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

from OrthoDiffusionLib.inference.request import StudyRequest
from OrthoDiffusionLib.inference.result_folder import result_folder
from OrthoDiffusionLib.inference.watch import Watch
from OrthoDiffusionLib.worker.server import main


class SlowEngine:
    """Writes half a result, and then waits for 30 s or a cancel."""

    def load(self, bundle: str | None, device: str = "auto") -> None:
        raise RuntimeError("a secret of the patient Jane Doe")

    def run(self, request: StudyRequest, watch: Watch) -> Path:
        if request.bundle == "quick":
            return request.output
        if request.bundle == "no memory":
            raise MemoryError
        if request.bundle == "no memory in torch":
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1099511627776 bytes")
        if request.bundle == "full disk":
            raise OSError(errno.ENOSPC, "No space left on device", "/home/jane-doe")
        if request.bundle == "more than all":
            watch.progress("wait", 1.0000001, "Done")
            return request.output
        _make_noise()
        if request.bundle == "with a child":
            # It outlives its parent, unless the whole group is ended.
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
            watch.progress("child", 0.0, str(child.pid))
        with result_folder(request.output) as folder:
            (folder / "half.txt").write_text("half")
            watch.progress("wait", 0.0, "Wärten")
            if request.bundle == "deaf":
                time.sleep(30)
            for step in range(3000):
                watch.progress("wait", step / 3000, "Wärten")
                time.sleep(0.01)
        return request.output


def _make_noise() -> None:
    print("a library prints to standard output", flush=True)
    os.write(1, b"so does a library in C, without an end of line")
    subprocess.run([sys.executable, "-c", "print('and so does a program that it starts')"], check=True)


if __name__ == "__main__":
    main(SlowEngine)  # type: ignore[arg-type]
