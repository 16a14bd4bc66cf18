"""A job's private folder: the volumes that the worker reads and the result that it writes; removed whatever happens."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import slicer

from OrthoDiffusionSlicer.patients import check_one_patient, say_several_studies
from OrthoDiffusionSlicer.scene import check_volume, place_of


class Job:
    """One run: its folder (mode 0700), its input files and its output folder.

    Attributes:
        volumes: volume node of each plane.
        wanted: whether the result still has a place to go to; not after the scene was closed.
        folder: that goes with the job.
        output: that the worker writes the result to.
        series: file of each plane.
    """

    def __init__(self, volumes: Mapping[str, Any], parent: Path | None = None) -> None:
        """Write each plane's volume node into a new private folder.

        Args:
            volumes: volume node of each plane.
            parent: folder that the job's folder is made in; the system's for temporary files if left out.

        Raises:
            ValueError, OSError: with a sentence for the person, when a volume cannot be used, or when they are of
                different patients; nothing is left then.
        """
        check_one_patient(volumes.values())
        self.volumes = dict(volumes)
        self._places = {plane: place_of(node) for plane, node in volumes.items()}
        self._said = say_several_studies(volumes.values())
        self.wanted = True
        self.folder = Path(tempfile.mkdtemp(prefix="orthodiffusion-job-", dir=parent))
        self.output = self.folder / "result"
        self.series: dict[str, str] = {}
        try:
            for plane, node in volumes.items():
                self.series[plane] = str(self._write(plane, node))
        except BaseException:
            self.close()
            raise

    def volumes_in(self, scene: Any) -> list[Any]:
        """The job's volume nodes that are still in a scene."""
        return [node for node in self.volumes.values() if scene.IsNodePresent(node)]

    def remarks(self) -> list[str]:
        """What the worker cannot know, as warnings: series of several studies, and one that was moved meanwhile."""
        if all(place_of(node) == self._places[plane] for plane, node in self.volumes.items()):
            return self._said
        moved = "A series was moved while it was being assessed, and the result lies where it was. Run the study again."
        return [*self._said, moved]

    def close(self) -> None:
        """Remove the folder; twice is fine."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self, plane: str, node: Any) -> Path:
        check_volume(node)
        path = self.folder / f"{plane}.nrrd"
        storage = slicer.vtkMRMLNRRDStorageNode()
        storage.SetFileName(str(path))
        storage.SetUseCompression(0)
        if not storage.WriteData(node):
            raise OSError(f"The volume “{node.GetName()}” could not be handed over. Free disk space and try again.")
        return path
