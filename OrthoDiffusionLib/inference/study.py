"""From files to a study: which volume stands for which plane, and what has to be said about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.inference.request import StudyRequest
from OrthoDiffusionLib.volumes.checks import (
    check_affine,
    check_modality,
    check_one_orientation,
    check_same_patient,
    check_study,
    check_volume,
)
from OrthoDiffusionLib.volumes.names import left_out
from OrthoDiffusionLib.volumes.orientation import clear_plane, is_nearly_isotropic, plane_of, slice_count
from OrthoDiffusionLib.volumes.reading import read_series, survey_series
from OrthoDiffusionLib.volumes.resampling import reformat
from OrthoDiffusionLib.volumes.visits import keep_one_visit, say_several_visits
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

    Series named for a plane must lie in it. Other series are sorted by their affines: those of one visit, as
    `keep_one_visit` says, without localizers and without what is not MR. Where two lie in one plane the one with more
    slices is taken. The person is told of all that was left out. A nearly isotropic volume stands for planes that have
    none.

    Raises:
        OrthoDiffusionError: one of the kinds that `read_series`, `check_volume` and `check_study` raise; USAGE, when a
            named plane is given a folder with several series of that plane, or a series is not MR and was named or is
            all there is; EMPTY_STUDY, when there is nothing to read.
    """
    if not request.paths and not request.series:
        raise OrthoDiffusionError(
            ErrorKind.EMPTY_STUDY, "No volume was given.", "Give at least one series: a file, a DICOM folder or a zip."
        )
    warnings: list[str] = []
    volumes = {plane: _named_series(plane, path, warnings) for plane, path in request.series.items()}
    _sort_into_planes(request.paths, volumes, warnings)
    check_study(volumes)
    warnings += say_several_visits(volumes.values())
    series = {plane: StudySeries(volumes[plane], volumes[plane]) for plane in Plane if plane in volumes}
    complete = with_reformatted_planes(series, warnings)
    return Study(complete, tuple(dict.fromkeys(warnings)))


def _named_series(plane: Plane, path: Path, warnings: list[str]) -> Volume:
    candidates = read_series(path)
    if len(candidates) == 1:
        check_modality(candidates[0])
        check_volume(candidates[0])
        return candidates[0]
    matching: list[Volume] = []
    astray: list[tuple[str, OrthoDiffusionError]] = []
    for candidate in candidates:
        if min(candidate.shape) == 1:
            continue
        try:
            check_modality(candidate)
            # First, for an affine that is no place in space lies in no plane.
            check_affine(candidate.affine)
        except OrthoDiffusionError as refusal:
            astray.append((candidate.source.name, refusal))
            continue
        if clear_plane(candidate.affine, candidate.shape) is plane:
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
    named = dict(volumes)
    candidates: list[Volume] = []
    for volume in _usable(paths, bool(named), warnings):
        clear = clear_plane(volume.affine, volume.shape)
        if clear is not None and clear in named:
            warnings.append(left_out([volume.source.name], f"another series was named for the {clear.value} plane."))
        else:
            candidates.append(volume)
    # Before one visit is chosen, which would choose one of two people without a word of the other.
    check_same_patient([*named.values(), *candidates])
    candidates, said = keep_one_visit(candidates, named.values())
    warnings += said
    for volume in candidates:
        plane = plane_of(volume.affine, volume.shape)
        volumes[plane] = _with_more_slices(plane, volumes[plane], volume, warnings) if plane in volumes else volume


def _with_more_slices(plane: Plane, first: Volume, second: Volume, warnings: list[str]) -> Volume:
    """The one of two series of a plane that is assessed; both must be of one patient and place, and two volumes."""
    # Their keys only tell the two apart here.
    check_study({Plane.AXIAL: first, Plane.SAGITTAL: second}, check_planes=False)
    slices, others = (slice_count(volume.affine, volume.shape) for volume in (first, second))
    kept, left = (second, first) if others > slices else (first, second)
    if kept.source.name != left.source.name:
        choice = f"“{kept.source.name}” was assessed and “{left.source.name}” left out."
    else:
        which = "first one" if slices == others else f"one with {max(slices, others)} slices"
        choice = f"both are called “{kept.source.name}”, and the {which} was assessed."
    warnings.append(f"Two {plane.value} series were given; {choice}")
    return kept


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
                check_modality(volume)
                check_one_orientation(volume)
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
    """Each reason once, with the names of all that it holds for."""
    names: dict[str, list[str]] = {}
    for name, refusal in refusals:
        names.setdefault(refusal.sentence, []).append(name)
    return [left_out(of_one_reason, sentence) for sentence, of_one_reason in names.items()]


def with_reformatted_planes(series: dict[Plane, StudySeries], warnings: list[str]) -> dict[Plane, StudySeries]:
    """The planes with those that have no series cut out of a 3D volume, where there is one; all in pose order.

    Args:
        series: of the planes that have one.
        warnings: gets a sentence for each plane that was cut out.
    """
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
