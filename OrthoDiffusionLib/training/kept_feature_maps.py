"""Feature maps of a frozen encoder, computed once for each study and kept in files: at the published size those of
20,000 exams are some 20 GB a plane, and an interrupted training goes on with what is there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from OrthoDiffusionLib.bundles.weights import weights_bytes
from OrthoDiffusionLib.datasets.cache import CachedStudy
from OrthoDiffusionLib.datasets.whole_files import write_whole
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.training.diagnosis_views import SeriesViews, study_feature_maps
from OrthoDiffusionLib.training.settings import DiagnosisSettings
from OrthoDiffusionLib.training.trained_plane import TrainedPlane

FORMAT = 2
"""Of the files; another one computes all of them again."""


class KeptFeatureMaps:
    """The feature maps of studies, by their numbers; each is read from its file whenever it is asked for.

    Args:
        studies: each with a series of the plane.
        start: the networks; they end on the CPU.
        settings: of the training.
        folder: of the files, made when it is not there.
        tell: told the share of the studies done, 0 to 1, before each.
        device: to compute on.

    Raises:
        OSError: when they cannot be kept.
    """

    def __init__(
        self,
        studies: Sequence[CachedStudy],
        start: TrainedPlane,
        settings: DiagnosisSettings,
        folder: Path,
        tell: Callable[[float], None],
        device: torch.device | str,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        digest = _digest(start, settings)
        self._paths = [folder / f"maps-{study.path.stem}-{digest}.safetensors" for study in studies]
        start.networks.to(device)
        for number, (study, path) in enumerate(zip(studies, self._paths, strict=True)):
            tell(number / len(studies))
            if _read(path) is None:
                write_whole(path, _packed(study_feature_maps(study, start, settings, device)))
        start.networks.to("cpu")

    def __call__(self, number: int) -> list[SeriesViews]:
        """The series of a study.

        Raises:
            OrthoDiffusionError: UNREADABLE_FILE, when its file is gone or broken since it was written.
        """
        found = _read(self._paths[number])
        if found is None:
            raise OrthoDiffusionError(
                ErrorKind.UNREADABLE_FILE,
                "Feature maps that were kept cannot be read again.",
                "Check that the folder of prepared studies is still there, and start the same command again.",
                detail=str(self._paths[number]),
            )
        return found


def _digest(start: TrainedPlane, settings: DiagnosisSettings) -> str:
    """Changes with whatever the maps depend on."""
    about = {
        "format": FORMAT,
        "plane": start.description.plane.value,
        "block": start.description.block,
        "timestep": settings.timestep,
        "start_timestep": start.description.timestep,
        "window_size": start.description.window_size,
        "views": settings.views,
        "seed": settings.seed,
        "reads_structures": settings.reads_structures,
    }
    if settings.reads_around:
        about["reads_around"] = True
    parts = [start.networks.encoder] + ([start.networks.segmentation] if settings.reads_structures else [])
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for part in parts:
        assert part is not None
        digest.update(weights_bytes(part.state_dict()))
    return digest.hexdigest()[:16]


def _packed(maps: Sequence[SeriesViews]) -> bytes:
    tensors = {f"{number}/views": series.views for number, series in enumerate(maps)}
    tensors |= {f"{n}/statistics": series.statistics for n, series in enumerate(maps) if series.statistics is not None}
    return weights_bytes(tensors)


def _read(path: Path) -> list[SeriesViews] | None:
    """The series of a file; None for one that is not there or broken."""
    try:
        tensors = load_file(path)
    except (FileNotFoundError, SafetensorError):
        return None
    count = sum(name.endswith("/views") for name in tensors)
    return [SeriesViews(tensors[f"{number}/views"], tensors.get(f"{number}/statistics")) for number in range(count)]
