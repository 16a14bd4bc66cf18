"""Label maps that take turns as the anatomy of studies."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from OrthoDiffusionLib.errors import OrthoDiffusionError
from OrthoDiffusionLib.phantom.label_map_files import read_label_map
from OrthoDiffusionLib.phantom.label_maps import Side, anatomy_from_labels, check_label_map
from OrthoDiffusionLib.phantom.study import Anatomy
from OrthoDiffusionLib.volumes.label_values import LabelValues
from OrthoDiffusionLib.volumes.volume import Volume


@dataclass(frozen=True)
class LabelMapTurns:
    """Label maps of knees in an order, so that a seed always takes the same one.

    Attributes:
        paths: of the files, one or more.
        values: what the label maps' values stand for; None for the joint's own labels.
        side: of the label maps; None where each tells its own.
    """

    paths: tuple[Path, ...]
    values: LabelValues | None = None
    side: Side | None = None

    def label_map(self, seed: int) -> Volume:
        """The label map whose anatomy a study has, checked.

        Raises:
            OrthoDiffusionError: what is wrong with it; its number tells which it is, for its name may be a patient's.
        """
        index = seed % len(self.paths)
        try:
            labels = read_label_map(self.paths[index], self.values)
            check_label_map(labels, self.side)
        except OrthoDiffusionError as error:
            which = f"Label map {index + 1} of {len(self.paths)}: " if len(self.paths) > 1 else ""
            raise OrthoDiffusionError(
                error.kind, which + error.sentence, error.action, error.detail or str(self.paths[index])
            ) from error
        return labels

    def anatomy(self, seed: int) -> Anatomy:
        """The anatomy that a study has; errors as `label_map`."""
        return anatomy_from_labels(self.label_map(seed), seed, self.side)

    def key(self, seed: int) -> str:
        """Changes with the label map of a seed, as far as its file's size and time tell, and with what it is read as.

        Raises:
            OSError: when the file is gone.
        """
        path = self.paths[seed % len(self.paths)]
        stat = os.stat(path)
        values = None if self.values is None else sorted(self.values.labels.items())
        about = [str(path.resolve()), stat.st_size, stat.st_mtime_ns, values, self.side]
        return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]
