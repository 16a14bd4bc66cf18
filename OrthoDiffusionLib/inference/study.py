"""From files to a study: which volume stands for which plane, and what has to be said about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.inference.request import StudyRequest
from OrthoDiffusionLib.volumes.checks import check_affine, check_study, check_volume
from OrthoDiffusionLib.volumes.orientation import is_nearly_isotropic, plane_of, slice_axis
from OrthoDiffusionLib.volumes.reading import read_series, survey_series
from OrthoDiffusionLib.volumes.resampling import reformat
from OrthoDiffusionLib.volumes.volume import Volume


@dataclass(frozen=True)
class StudySeries:
    """A plane of a study.

    Attributes:
        volume: the person's own volume; label maps go back to its grid.
        stack: what the network looks at: the same volume, or slices of this plane cut out of it.
        reformatted_from: the plane of the 3D volume that stands for this one, or None.
    """

    volume: Volume
    stack: Volume
    reformatted_from: Plane | None = None


@dataclass(frozen=True)
class Study:
    """One visit: a series for each plane that can be assessed, in pose order, and what to tell the person."""

    series: Mapping[Plane, StudySeries]
    warnings: tuple[str, ...] = field(default=())

    @property
    def not_assessed(self) -> tuple[Plane, ...]:
        """Planes without a series."""
        return tuple(plane for plane in Plane if plane not in self.series)


def assemble_study(request: StudyRequest) -> Study:
    """Read what the request names, check it, and give each plane its volume.

    Series named for a plane must lie in it. Other series are sorted by their affines; where two lie in one plane the
    one with more slices is taken, and the person is told. A nearly isotropic volume stands for planes that have none.

    Raises:
        OrthoDiffusionError: one of the kinds that `read_series`, `check_volume` and `check_study` raise; USAGE, when a
            named plane is given a folder with several series of that plane; EMPTY_STUDY, when there is nothing to read.
    """
    if not request.paths and not request.series:
        raise OrthoDiffusionError(
            ErrorKind.EMPTY_STUDY, "No volume was given.", "Give at least one series: a file, a DICOM folder or a zip."
        )
    warnings: list[str] = []
    volumes = {plane: _named_series(plane, path, warnings) for plane, path in request.series.items()}
    _sort_into_planes(request.paths, volumes, warnings)
    check_study(volumes)
    series = {plane: StudySeries(volumes[plane], volumes[plane]) for plane in Plane if plane in volumes}
    return Study(_with_reformatted_planes(series, warnings), tuple(warnings))


def _named_series(plane: Plane, path: Path, warnings: list[str]) -> Volume:
    candidates = read_series(path)
    if len(candidates) == 1:
        check_volume(candidates[0])
        return candidates[0]
    matching: list[Volume] = []
    astray: list[tuple[str, OrthoDiffusionError]] = []
    for candidate in candidates:
        if min(candidate.shape) == 1:
            continue
        try:
            # First, for an affine that is no place in space lies in no plane.
            check_affine(candidate.affine)
        except OrthoDiffusionError as refusal:
            astray.append((candidate.source.name, refusal))
            continue
        if _plane_or_none(candidate) is plane:
            matching.append(candidate)
    if astray and not matching:
        raise astray[0][1]
    if len(matching) != 1:
        raise OrthoDiffusionError(
            ErrorKind.USAGE if matching else ErrorKind.WRONG_PLANE,
            f"The folder given as {plane.value} holds {len(matching) or 'no'} {plane.value} series"
            f" among {len(candidates)}.",
            "Name the folder or file of one series.",
        )
    check_volume(matching[0])
    warnings += _left_out(astray)
    return matching[0]


def _sort_into_planes(paths: tuple[Path, ...], volumes: dict[Plane, Volume], warnings: list[str]) -> None:
    named = set(volumes)
    for volume in _usable(paths, bool(named), warnings):
        plane = plane_of(volume.affine, volume.shape)
        if plane in named:
            warnings.append(
                f"“{volume.source.name}” was left out: another series was named for the {plane.value} plane."
            )
        elif plane not in volumes:
            volumes[plane] = volume
        else:
            check_study_of_one_plane(volumes[plane], volume)
            kept, left = volumes[plane], volume
            if _slices(volume) > _slices(kept):
                kept, left = volume, kept
            volumes[plane] = kept
            warnings.append(
                f"Two {plane.value} series were given; “{kept.source.name}” was assessed and"
                f" “{left.source.name}” left out."
            )


def _usable(paths: tuple[Path, ...], others_named: bool, warnings: list[str]) -> list[Volume]:
    """Volumes that can be assessed; a series that cannot is left out with a warning where others remain."""
    usable: list[Volume] = []
    refusals: list[tuple[str, OrthoDiffusionError]] = []
    for path in paths:
        survey = survey_series(path)
        refusals += [(refusal.name, refusal.error) for refusal in survey.refusals]
        alone = len(survey.volumes) + len(survey.refusals) == 1
        if alone and survey.refusals:
            raise survey.refusals[0].error
        for volume in survey.volumes:
            try:
                check_volume(volume)
                usable.append(volume)
            except OrthoDiffusionError as refusal:
                # A file that was chosen by itself is meant; one of many in a folder may be a localizer.
                if alone:
                    raise
                refusals.append((volume.source.name, refusal))
    if refusals and not usable and not others_named:
        raise refusals[0][1]
    warnings += _left_out(refusals)
    return usable


def _left_out(refusals: list[tuple[str, OrthoDiffusionError]]) -> list[str]:
    return [f"“{name}” was left out: {refusal.sentence}" for name, refusal in refusals]


def _slices(volume: Volume) -> int:
    return volume.shape[slice_axis(volume.affine, volume.shape)]


def check_study_of_one_plane(first: Volume, second: Volume) -> None:
    """Refuse two series of one plane that are the same volume, of two patients or of two places.

    Raises:
        OrthoDiffusionError: as `check_study` does.
    """
    check_study({Plane.AXIAL: first, Plane.SAGITTAL: second}, check_planes=False)


def _plane_or_none(volume: Volume) -> Plane | None:
    try:
        return plane_of(volume.affine, volume.shape)
    except OrthoDiffusionError as refusal:
        if refusal.kind is ErrorKind.AMBIGUOUS_PLANE:
            return None
        raise


def _with_reformatted_planes(series: dict[Plane, StudySeries], warnings: list[str]) -> dict[Plane, StudySeries]:
    source = next((plane for plane in series if is_nearly_isotropic(series[plane].volume)), None)
    if source is None:
        return series
    complete = dict(series)
    for plane in Plane:
        if plane not in series:
            volume = series[source].volume
            complete[plane] = StudySeries(volume, reformat(volume, plane, taken_for=source), reformatted_from=source)
            warnings.append(f"The {plane.value} plane was reformatted from the {source.value} 3D series.")
    return {plane: complete[plane] for plane in Plane if plane in complete}
