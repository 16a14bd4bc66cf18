"""A worker whose engine does nothing but take its time: the protocol is the real one, the wait is not."""

from __future__ import annotations

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
        print("a library prints to standard output")
        sys.stdout.flush()
        with result_folder(request.output) as folder:
            (folder / "half.txt").write_text("half")
            for step in range(3000):
                watch.progress("wait", step / 3000, "Wärten")
                time.sleep(0.01)
        return request.output


if __name__ == "__main__":
    main(SlowEngine)  # type: ignore[arg-type]
