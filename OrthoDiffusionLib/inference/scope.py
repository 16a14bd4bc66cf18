"""What of a study a bundle can do: known before anything is computed."""

from __future__ import annotations

from typing import NamedTuple

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.bundles.manifest import BundleManifest
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.inference.request import StudyRequest
from OrthoDiffusionLib.inference.study import Study


class Scope(NamedTuple):
    """Which planes take part in what, in pose order; `warnings` name those that were given and cannot."""

    segmented: tuple[Plane, ...]
    diagnosed: tuple[Plane, ...]
    warnings: tuple[str, ...]


def scope_of(manifest: BundleManifest, study: Study, request: StudyRequest) -> Scope:
    """What this bundle can do of what is asked.

    Raises:
        OrthoDiffusionError: NOTHING_TO_DO, when it can segment, or diagnose from, none of the planes and is asked to.
    """
    segmented = tuple(plane for plane in study.series if request.segment and manifest.segments(plane))
    if request.segment and not segmented:
        raise OrthoDiffusionError(
            ErrorKind.NOTHING_TO_DO,
            "This bundle cannot segment any of the planes given.",
            "Choose a bundle with a segmentation decoder, or leave segmentation out.",
        )
    diagnosed = tuple(plane for plane in study.series if request.diagnose and manifest.diagnoses(plane))
    if request.diagnose and not diagnosed:
        raise OrthoDiffusionError(
            ErrorKind.NOTHING_TO_DO,
            "This bundle cannot diagnose from any of the planes given.",
            "Choose a bundle with a diagnosis head, or leave diagnosis out.",
        )
    warnings = []
    if request.segment and (unable := _others(study, segmented)):
        warnings.append(f"The bundle cannot segment these planes: {unable}.")
    if request.diagnose and (unable := _others(study, diagnosed)):
        warnings.append(f"The bundle cannot diagnose from these planes: {unable}.")
    return Scope(segmented, diagnosed, tuple(warnings))


def _others(study: Study, able: tuple[Plane, ...]) -> str:
    return ", ".join(plane.value for plane in study.series if plane not in able)
