"""DICOM files to volumes: one for each series, or for each stack where a series holds several."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from OrthoDiffusionLib.errors import OrthoDiffusionError
from OrthoDiffusionLib.volumes.dicom_headers import SliceHeader, read_slice_headers
from OrthoDiffusionLib.volumes.dicom_pixels import read_stack_pixels
from OrthoDiffusionLib.volumes.dicom_stacks import lie_in_several_directions, split_into_stacks, stack_affine
from OrthoDiffusionLib.volumes.volume import SeriesSource, Volume


def read_dicom(paths: Iterable[Path], refuse: Callable[[str, OrthoDiffusionError], None]) -> list[Volume]:
    """Read DICOM files, one series after the other.

    The axes of a volume are the image column, the image row and the slice; slices follow row x column. Files that are
    no acquired images are passed over.

    Args:
        paths: DICOM files of one or more series.
        refuse: told the name of each series (or of a file) that cannot be read, and why; it may raise.

    Returns:
        volumes in the order of their series' first files.
    """
    series: dict[str, dict[tuple[str, int], SliceHeader]] = {}
    for path in paths:
        try:
            headers = read_slice_headers(path)
        except OrthoDiffusionError as refusal:
            refuse("DICOM file", refusal)
            continue
        for header in headers:
            # The same instance copied twice is one slice.
            identity = header.instance_uid or str(header.path)
            series.setdefault(header.series_uid, {}).setdefault((identity, header.frame), header)
    volumes = []
    for slices in series.values():
        headers = list(slices.values())
        name = f"{headers[0].modality or 'DICOM'} series {headers[0].series_number}".strip()
        try:
            stacks = split_into_stacks(headers)
            # Without a UID, nothing says that the slices are one series: they may be all of an anonymised study.
            several = bool(headers[0].series_uid) and lie_in_several_directions(stacks)
            for number, stack in enumerate(stacks, start=1):
                part = name if len(stacks) == 1 else f"{name} part {number}"
                source = _source(part, stack[0], several)
                volumes.append(Volume(read_stack_pixels(stack), stack_affine(stack), source))
        except OrthoDiffusionError as refusal:
            refuse(name, refusal)
    return volumes


def _source(name: str, header: SliceHeader, of_several_orientations: bool) -> SeriesSource:
    return SeriesSource(
        name=name,
        series_uid=header.series_uid or None,
        study_uid=header.study_uid or None,
        patient_key=header.patient_key,
        modality=header.modality or None,
        of_several_orientations=of_several_orientations,
    )
