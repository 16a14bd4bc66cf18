"""What a run found, and how it came to find it: the model of `result.json`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from OrthoDiffusionLib.anatomy import Plane, Structure

SCHEMA_VERSION = 1
Probability = Annotated[float, Field(ge=0.0, le=1.0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SeriesRecord(_Part):
    """A series that was given.

    Attributes:
        plane: the plane it was given for, or found to lie in.
        name: the file's name as it was given, or the modality and number of a DICOM series.
        series_uid: DICOM SeriesInstanceUID, where there is one.
        study_uid: DICOM StudyInstanceUID, where there is one.
        shape: voxels along i, j and k.
        spacing: mm.
        affine: voxel index to RAS position in mm, rows.
        reformatted_from: the plane of the 3D volume that stood for this plane, or None for a series of its own.
        labels: file of the label map on this volume's own grid, or None.
        segmented_from: planes whose answers are averaged in it; empty without a label map.
        confidence: file of the winning class's probability on the same grid, or None.
        volumes_ml: volume of each structure in this plane's label map, in ml, by structure key.
    """

    plane: Plane
    name: str
    series_uid: str | None = None
    study_uid: str | None = None
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    affine: tuple[tuple[float, ...], ...]
    reformatted_from: Plane | None = None
    labels: str | None = None
    segmented_from: tuple[Plane, ...] = ()
    confidence: str | None = None
    volumes_ml: dict[str, float] = {}


class FindingRecord(_Part):
    """A finding's probability and what each plane said.

    Attributes:
        key: the finding's key.
        name: its full name.
        probability: calibrated, 0 to 1, over all planes assessed.
        threshold: the probability from which the bundle calls it present.
        present: probability >= threshold.
        plane_probabilities: what each plane alone says, 0 to 1.
        plane_weights: how much each plane counts for this finding; they sum to one. Empty where the bundle fuses the
            planes' features, for then no plane has a weight of its own.
    """

    key: str
    name: str
    probability: Probability
    threshold: Probability
    present: bool
    plane_probabilities: dict[Plane, Probability]
    plane_weights: dict[Plane, Probability]


class BundleRecord(_Part):
    """The bundle that was used; `manifest_sha256` covers every file, for the manifest holds their hashes."""

    name: str
    version: str
    title: str
    intended_use: str
    manifest_sha256: str


class Provenance(_Part):
    """How the result came about: enough to make it again."""

    code_version: str
    bundle: BundleRecord
    device: str
    precision: str
    seed: int
    python: str
    libraries: dict[str, str]
    started: str
    seconds: dict[str, float]
    peak_memory_mb: float | None = None


class Result(_Part):
    """A run's result; files are named relative to the folder that holds `result.json`.

    Attributes:
        schema_version: 1.
        joint: the joint's name.
        not_assessed: planes without a volume, said and never guessed. Planes that have one and that the bundle cannot
            read are named in the warnings.
        series: one record for each plane with a volume, in pose order.
        labels_fused: file of the one 3D label map made of all planes that fit together, or None.
        fused_from: the planes that it is made of.
        segmentation: file of the `.seg.nrrd`, or None.
        structures: what the labels mean.
        findings: in the bundle's order; empty where nothing was diagnosed.
        clinical: names of the clinical values that took part in the findings, never the values; empty where the
            images alone did.
        warnings: sentences for the person.
        notice: what must be shown wherever the result is.
        provenance: how the result came about.
    """

    schema_version: Literal[1] = 1
    joint: str
    not_assessed: tuple[Plane, ...]
    series: tuple[SeriesRecord, ...]
    labels_fused: str | None = None
    fused_from: tuple[Plane, ...] = ()
    segmentation: str | None = None
    structures: tuple[Structure, ...]
    findings: tuple[FindingRecord, ...] = ()
    clinical: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    notice: str
    provenance: Provenance
