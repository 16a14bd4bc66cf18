"""A study as training takes it: stacks at the network's resolution, in the network's axes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.datasets.manifest import LABEL_VALUES, ClinicalRecord, SeriesEntry, StudyEntry
from OrthoDiffusionLib.datasets.named_study import named_study
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.phantom import PhantomStudy
from OrthoDiffusionLib.volumes.checks import check_volume
from OrthoDiffusionLib.volumes.label_values import named_values
from OrthoDiffusionLib.volumes.orientation import planes_near, to_network_axes
from OrthoDiffusionLib.volumes.plausible_anatomy import check_bones
from OrthoDiffusionLib.volumes.reading import read_series
from OrthoDiffusionLib.volumes.segment_names import by_segment_names
from OrthoDiffusionLib.volumes.volume import Volume
from OrthoDiffusionLib.volumes.windows import resize_slices

GRID_TOLERANCE = 1e-3
"""mm by which the affines of an image and its label map may differ."""


@dataclass(frozen=True)
class Stack:
    """One series.

    Attributes:
        image: float16, (k, size, size), intensities as scanned, scaled to at most 1000.
        labels: int8, the same shape, -1 for not annotated; None without a mask.
    """

    image: npt.NDArray[np.float16]
    labels: npt.NDArray[np.int8] | None = None


@dataclass(frozen=True)
class StudyStacks:
    """One study.

    Attributes:
        id: of the study.
        patient: whose it is.
        planes: one or more series of each plane that there is.
        present: findings, float32 (findings,): 0, 1 or NaN for unknown, in the joint's order.
        clinical: None when nothing is known.
        joint: whose findings `present` holds, in that joint's order.
    """

    id: str
    patient: str
    planes: Mapping[Plane, tuple[Stack, ...]]
    present: npt.NDArray[np.float32]
    clinical: ClinicalRecord | None = None
    joint: str = "knee"


class LabelledSeries(NamedTuple):
    """A series of a study on its own grid, and its label map on the same one; None without a mask."""

    plane: Plane
    image: Volume
    labels: Volume | None


def stacks_of_entry(entry: StudyEntry, joint: str, size: int) -> StudyStacks:
    """The series of a manifest's study at size x size pixels.

    Raises:
        OrthoDiffusionError: what `named_series_of_entry` raises.
    """
    planes: dict[Plane, list[Stack]] = {}
    for series in named_series_of_entry(entry, joint):
        planes.setdefault(series.plane, []).append(prepared_stack(series.image, series.labels, series.plane, size))
    keys = [finding.key for finding in load_joint(joint).findings]
    present = [entry.findings.get(key) for key in keys]
    return StudyStacks(
        entry.id,
        entry.patient,
        {plane: tuple(stacks) for plane, stacks in planes.items()},
        np.array([np.nan if value is None else value for value in present], np.float32),
        entry.clinical,
        joint,
    )


def named_series_of_entry(entry: StudyEntry, joint: str) -> Iterator[LabelledSeries]:
    """Read the series of a manifest's study, one after the other; errors name the study and the plane.

    Raises:
        OrthoDiffusionError: what `series_of_entry` raises.
    """
    for one in entry.series:
        with named_study(entry.id, one.plane):
            (series,) = series_of_entry(entry.model_copy(update={"series": (one,)}), joint)
        yield series


def series_of_entry(entry: StudyEntry, joint: str) -> Iterator[LabelledSeries]:
    """Read the series of a manifest's study, one after the other.

    Raises:
        OrthoDiffusionError: what reading and checking a series raises; BAD_LABEL_MAP for a label map on another grid
            than its image, with values that are not named or, where none are, other than -1, 0 and the joint's labels,
            with bones that cannot be the joint's, or, from Slicer, with segments that are no structures of the joint.
    """
    for series in entry.series:
        try:
            image = _single(Path(series.image))
            check_volume(image)
        except OrthoDiffusionError as error:
            # Of thousands of studies, the person must know which; the manifest's name for it is no patient's.
            raise OrthoDiffusionError(
                error.kind, f"Study {entry.id}, {series.plane.value}: {error.sentence}", error.action, error.detail
            ) from error
        near = planes_near(image.affine, image.shape)
        if series.plane not in near:
            raise OrthoDiffusionError(
                ErrorKind.WRONG_PLANE,
                f"Study {entry.id}: its {series.plane.value} series is {near[0].value}.",
                "Correct the plane in the dataset manifest.",
                detail=series.image,
            )
        labels = None
        if series.labels is not None:
            labels = _label_map(Path(series.labels), series, joint, entry.id)
            if labels.shape != image.shape or not np.allclose(labels.affine, image.affine, atol=GRID_TOLERANCE):
                raise OrthoDiffusionError(
                    ErrorKind.BAD_LABEL_MAP,
                    f"A label map of the study {entry.id} does not lie on its image's grid.",
                    "Resample it to the image, with nearest neighbours.",
                    detail=series.labels,
                )
            _check_labels(labels, entry.id, joint)
            with named_study(entry.id):
                check_bones(labels, joint, load_joint(joint).structures)
        yield LabelledSeries(series.plane, image, labels)


def series_of_phantom(scan: PhantomStudy) -> Iterator[LabelledSeries]:
    """The series of a phantom."""
    for plane, series in scan.planes.items():
        yield LabelledSeries(plane, series.volume, Volume(series.labels, series.volume.affine))


def stacks_of_phantom(scans: Sequence[PhantomStudy], size: int) -> StudyStacks:
    """A phantom at size x size pixels, with a series of each plane from each of its scans; the first one names it.

    Those made from one label map are one person's.
    """
    planes = {
        plane: tuple(
            prepared_stack(series.image, series.labels, plane, size)
            for scan in scans
            for series in series_of_phantom(scan)
            if series.plane is plane
        )
        for plane in scans[0].planes
    }
    joint, findings = scans[0].joint, scans[0].findings
    # Of a label map's findings nothing is known.
    present = [findings[finding.key] > 0 if findings else np.nan for finding in load_joint(joint).findings]
    name = f"phantom-{scans[0].seed}"
    patient = name if scans[0].label_map is None else f"label-map-{scans[0].label_map}"
    return StudyStacks(name, patient, planes, np.array(present, np.float32), joint=joint)


def _single(path: Path) -> Volume:
    volumes = read_series(path)
    if len(volumes) != 1:
        raise OrthoDiffusionError(
            ErrorKind.USAGE,
            f"{len(volumes)} series were found where the dataset manifest names one.",
            "Name the file or folder of one series.",
            detail=str(path),
        )
    return volumes[0]


def _label_map(path: Path, series: SeriesEntry, joint: str, study: str) -> Volume:
    """With the joint's labels: by its segments' names, where it is a segmentation of Slicer, else by `label_values`."""
    volume, structures = _single(path), load_joint(joint).structures
    named = by_segment_names(volume, path, structures)
    if named is not volume or series.label_values is None:
        return named
    with named_study(study):
        return named_values(series.label_values, structures, LABEL_VALUES).applied(volume)


def _check_labels(labels: Volume, study: str, joint: str) -> None:
    known = len(load_joint(joint).structures)
    array = labels.array
    if not (array.min() >= -1 and array.max() <= known and (array == np.rint(array)).all()):
        raise OrthoDiffusionError(
            ErrorKind.BAD_LABEL_MAP,
            f"A label map of the study {study} holds values that are no labels of the {joint}.",
            f"Use -1 for not annotated, 0 for background and 1 to {known} for the structures, or say in the dataset"
            " manifest's label_values which structure each value is.",
        )


def prepared_stack(image: Volume, labels: Volume | None, plane: Plane, size: int) -> Stack:
    """A series of a plane, and its label map on the same grid, at size x size pixels in the network's axes."""
    array = resize_slices(to_network_axes(image, plane).array, size)
    # float16 ends at 65504 and has 11 bits: every series is scaled to the same range.
    array *= np.float32(1000.0 / max(float(np.abs(array).max()), 1e-6))
    mask = None if labels is None else nearest_labels(to_network_axes(labels, plane).array, size)
    return Stack(array.astype(np.float16), mask)


def nearest_labels(labels: npt.NDArray[np.int16], size: int) -> npt.NDArray[np.int8]:
    """Labels (i, j, k) at the centres of size x size network pixels, slices first: (k, size, size)."""
    rows, columns = (
        np.rint((np.arange(size) + 0.5) * n / size - 0.5).clip(0, n - 1).astype(int) for n in labels.shape[:2]
    )
    return np.moveaxis(labels[rows][:, columns], 2, 0).astype(np.int8)
