"""One study at a time: volumes out of the scene, through the worker, and the result back into the scene."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

import slicer

from OrthoDiffusionSlicer.environment import Installation
from OrthoDiffusionSlicer.job import Job
from OrthoDiffusionSlicer.protocol import OnError, OnProgress, WorkerError
from OrthoDiffusionSlicer.scene import SceneResult, add_result
from OrthoDiffusionSlicer.worker_client import CANCELLED, WorkerClient

LOOK_AT_THE_LOG = "Look at the log, and report it with the steps that led here."

OnDone = Callable[[dict[str, Any], SceneResult], None]


class StudyRunner:
    """Runs studies; set `onProgress` to be told how far a run is."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.onProgress: OnProgress = lambda fraction, message: None
        self.worker = WorkerClient(installation, lambda fraction, message: self.onProgress(fraction, message))
        self.job: Job | None = None

    def run(
        self,
        volumes: dict[str, Any],
        bundle: str,
        segment: bool,
        diagnose: bool,
        onDone: OnDone,
        onError: OnError,
        clinical: Mapping[str, float] | None = None,
        device: str = "auto",
    ) -> None:
        """Start a run; one of the two functions is called when it has ended, or at once if it cannot begin.

        Args:
            volumes: volume node of each plane: `sagittal`, `coronal`, `axial`.
            bundle: what the worker calls the bundle; empty for the first one.
            segment: make a segmentation.
            diagnose: make a table of findings.
            onDone: gets the content of `result.json`, with warnings of ours, and what it became in the scene.
            onError: gets a sentence for the person.
            clinical: what is known of the person besides the images, by the worker's names; it goes to the worker
                through its standard input, and is kept nowhere.
            device: what computes, by the worker's name.
        """
        if self.job is not None:
            onError(WorkerError("worker-busy", "Another study is being run.", "Wait until it is done, or cancel it."))
            return
        try:
            self.job = Job(volumes, self.worker.privateFolder())
        except (ValueError, OSError) as error:
            onError(WorkerError("unreadable-file", str(error), ""))
            return
        except Exception as error:
            logging.exception("the volumes could not be handed over")
            onError(WorkerError("internal", "The volumes could not be handed over.", LOOK_AT_THE_LOG, str(error)))
            return
        params = {
            "series": self.job.series,
            "output": str(self.job.output),
            "bundle": bundle or None,
            "segment": segment,
            "diagnose": diagnose,
            "clinical": dict(clinical) if clinical else None,
            "device": device,
        }
        self.worker.request(
            "run", params, lambda _answer: self._finish(onDone, onError), lambda error: self._fail(error, onError)
        )

    def cancel(self) -> None:
        """Stop the run; it ends with an error of the kind `cancelled`."""
        if self.job is not None:
            self.worker.cancel()

    def dropJob(self) -> None:
        """Stop the run, and put no result of it into the scene even if it is done by now."""
        if self.job is not None:
            self.job.wanted = False
            self.cancel()

    def close(self) -> None:
        """End the worker and remove every file of the job."""
        self.worker.close()
        self._closeJob()

    def _finish(self, onDone: OnDone, onError: OnError) -> None:
        job = self.job
        assert job is not None
        try:
            if not job.wanted:
                onError(CANCELLED)
                return
            result = json.loads((job.output / "result.json").read_text(encoding="utf-8"))
            remarks = job.remarks()
            added = add_result(slicer.mrmlScene, job.output, job.volumes_in(slicer.mrmlScene), remarks)
            result["warnings"] = [*result["warnings"], *remarks]
        except (OSError, ValueError) as error:
            logging.exception("the result could not be read")
            onError(WorkerError("unreadable-file", "The result could not be read.", "Run the study again.", str(error)))
            return
        except Exception as error:
            # Whatever it is, the panel must not wait for ever.
            logging.exception("the result could not be shown")
            onError(WorkerError("internal", "The result could not be shown.", LOOK_AT_THE_LOG, str(error)))
            return
        finally:
            self._closeJob()
        onDone(result, added)

    def _fail(self, error: WorkerError, onError: OnError) -> None:
        self._closeJob()
        if error.detail:
            logging.error(error.detail)
        onError(error)

    def _closeJob(self) -> None:
        if self.job is not None:
            self.job.close()
            self.job = None
