"""Series of several visits of one patient: which of them are assessed together, and what is said about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from OrthoDiffusionLib.volumes.names import left_out
from OrthoDiffusionLib.volumes.orientation import clear_plane, slice_count
from OrthoDiffusionLib.volumes.volume import Volume


def keep_one_visit(volumes: Sequence[Volume], named: Iterable[Volume] = ()) -> tuple[list[Volume], list[str]]:
    """Of series that nobody named for a plane, those of one visit: one DICOM StudyInstanceUID.

    Where the series come from several studies, one is kept: the study of a series that was named for a plane, for the
    person pointed at it; else the one whose series lie in most planes; where that ties, the one with most slices, and
    last the one whose UID comes first in the alphabet, so that the answer does not hang on names of files. What DICOM
    says of time is not asked: the newest visit may be a single repeated series. Planes are never filled up from another
    study, for a knee before and after an operation is not one knee; a site that spreads one visit over several studies
    names the series of each plane. Series that tell no study, such as NIfTI files, stay, as nothing parts them.

    Args:
        volumes: series to choose from.
        named: series that the person named for other planes.

    Returns:
        the series kept, in their order, and a warning where others were left out.
    """
    studies: dict[str, list[Volume]] = {}
    for volume in volumes:
        if volume.source.study_uid is not None:
            studies.setdefault(volume.source.study_uid, []).append(volume)
    if len(studies) < 2:
        return list(volumes), []
    pointed_at = {volume.source.study_uid for volume in named}

    def rank(uid: str) -> tuple[bool, int, int]:
        planes = {clear_plane(volume.affine, volume.shape) for volume in studies[uid]} - {None}
        slices = sum(slice_count(volume.affine, volume.shape) for volume in studies[uid])
        return uid in pointed_at, len(planes), slices

    chosen = max(sorted(studies), key=rank)
    names = [volume.source.name for volume in volumes if volume.source.study_uid not in (None, chosen)]
    which = "the one of a series named for a plane" if chosen in pointed_at else "the one with most planes and slices"
    warning = left_out(
        names,
        f"only one visit (DICOM study) is assessed, {which}; name a series for its plane to choose another.",
        "of another visit" if len(studies) == 2 else "of other visits",
    )
    return [volume for volume in volumes if volume.source.study_uid in (None, chosen)], [warning]


def say_several_visits(volumes: Iterable[Volume]) -> list[str]:
    """A warning, where the series that are assessed come from several DICOM studies; none may be wrong, for some sites
    store one visit as several."""
    studies = {volume.source.study_uid for volume in volumes} - {None}
    if len(studies) < 2:
        return []
    return ["The series that were assessed come from several DICOM studies; make sure that all are of the same visit."]
