"""The engine: keeps a bundle's networks in memory and runs studies through them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.bundles.opening import open_bundle
from OrthoDiffusionLib.bundles.registry import find_bundle
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.inference.clinical_reading import clinical_reading
from OrthoDiffusionLib.inference.device_failures import device_failures
from OrthoDiffusionLib.inference.devices import choose_device
from OrthoDiffusionLib.inference.diagnosis import finding_records
from OrthoDiffusionLib.inference.fused_labels import fused_labels
from OrthoDiffusionLib.inference.grids import ScoreVolume, label_grid
from OrthoDiffusionLib.inference.model import LoadedModel, PlaneModel, load_model
from OrthoDiffusionLib.inference.plane_pass import plane_answer
from OrthoDiffusionLib.inference.provenance import provenance
from OrthoDiffusionLib.inference.refining import detail_images
from OrthoDiffusionLib.inference.request import StudyRequest
from OrthoDiffusionLib.inference.result import FindingRecord, Result, SeriesRecord
from OrthoDiffusionLib.inference.result_folder import (
    FINDINGS_FILE,
    FUSED_LABELS_FILE,
    SEGMENTATION_FILE,
    check_output,
    confidence_file,
    labels_file,
    result_folder,
    write_findings_table,
    write_result,
)
from OrthoDiffusionLib.inference.scope import Scope, scope_of
from OrthoDiffusionLib.inference.structure_scores import mean_of_views, own_scores, refined_views
from OrthoDiffusionLib.inference.study import Study, StudySeries, assemble_study
from OrthoDiffusionLib.inference.views import Views, each_alone, views_of_planes
from OrthoDiffusionLib.inference.watch import Watch
from OrthoDiffusionLib.volumes.orientation import to_network_axes
from OrthoDiffusionLib.volumes.resampling import fused_grid
from OrthoDiffusionLib.volumes.segmentation_nrrd import write_segmentation_nrrd
from OrthoDiffusionLib.volumes.writing import write_labels


@dataclass
class PlaneLabels:
    """A plane's label map and confidence (percent) on its volume's own grid."""

    labels: npt.NDArray[np.int16]
    confidence: npt.NDArray[np.uint8]


@dataclass
class _Masks:
    """Which planes belong together, and what label maps are made of.

    Attributes:
        views: which planes take part in which.
        of: for each plane, the class probabilities whose mean its label map says.
        joined: those of the one label map of all planes.
    """

    views: Views
    of: Mapping[Plane, tuple[ScoreVolume, ...]]
    joined: tuple[ScoreVolume, ...]


@dataclass
class _Findings:
    records: tuple[FindingRecord, ...] = ()
    clinical: tuple[str, ...] = ()
    warnings: list[str] = field(default_factory=list)


class Engine:
    """Runs studies; the networks of the last bundle stay loaded.

    Memory: beside the networks, a run holds each plane's class probabilities at the network's resolution (classes x
    slices x size x size float32: 24 MB for 30 slices at 128, 94 MB at 256), its own and the planes' mean; where it
    refines, four times as much for each plane's refined ones. It works on label grids in slabs of `grids.SLAB_VOXELS`.
    `make demo` prints the peak of the whole process.
    """

    def __init__(self) -> None:
        self._model: LoadedModel | None = None

    def load(self, bundle: str | None, device: str = "auto") -> LoadedModel:
        """Load a bundle, or keep it where its manifest has not changed since it was loaded.

        Raises:
            OrthoDiffusionError: what `find_bundle`, `open_bundle`, `choose_device`, `load_model` and `device_failures`
                raise.
        """
        opened = open_bundle(find_bundle(bundle))
        wanted = choose_device(device)
        kept = self._model
        if kept is None or kept.bundle.manifest_sha256 != opened.manifest_sha256 or kept.device != wanted:
            # Before the others are read: no machine needs room for both.
            self._model = kept = None
            with device_failures():
                self._model = load_model(opened, wanted)
        assert self._model is not None
        return self._model

    def run(self, request: StudyRequest, watch: Watch) -> Path:
        """Run one study and write its result.

        Args:
            request: what to run, and where the result goes.
            watch: told of the progress; asked in every layer of the networks whether to go on.

        Returns:
            the output folder.

        Raises:
            OrthoDiffusionError: with a sentence for the person; nothing has been written then.
        """
        if not (request.segment or request.diagnose):
            raise OrthoDiffusionError(
                ErrorKind.NOTHING_TO_DO,
                "Neither segmentation nor diagnosis was asked for.",
                "Leave out one of the two options.",
            )
        check_output(request.output)
        clock = _Clock()
        watch.progress("read", 0.0, "Reading the study")
        study = assemble_study(request)
        clock.lap("read")
        watch.progress("load", 0.05, "Checking and loading the bundle")
        model = self.load(request.bundle, request.device)
        clock.lap("load")
        scope = scope_of(model.bundle.manifest, study, request)
        study = replace(study, warnings=(*study.warnings, *scope.warnings))
        watch.check()
        with device_failures(), torch.inference_mode(), model.watched(watch.check):
            scores = _segment(model, study, scope, request, watch)
            clock.lap("segment")
            masks = _together(model, study, scores, scope, request, watch)
            clock.lap("compare")
            findings = _diagnose(model, study, scores, scope, request, watch)
            clock.lap("diagnose")
        watch.progress("write", 0.7, "Placing the labels on the volumes' own grids")
        with result_folder(request.output) as folder:
            self._write(folder, model, study, masks, findings, request, watch, clock)
            watch.check()
        watch.progress("write", 1.0, "Done")
        return request.output

    def _write(
        self,
        folder: Path,
        model: LoadedModel,
        study: Study,
        masks: _Masks,
        findings: _Findings,
        request: StudyRequest,
        watch: Watch,
        clock: _Clock,
    ) -> None:
        manifest = model.bundle.manifest
        records = []
        placed: dict[Plane, PlaneLabels] = {}
        for index, (plane, series) in enumerate(study.series.items()):
            watch.progress("write", 0.7 + 0.15 * index / len(study.series), f"Writing the {plane.value} label map")
            own = _placed_by(plane, study, masks)
            if own is not None and own not in placed:
                grid = study.series[own].volume
                placed[own] = PlaneLabels(*label_grid(masks.of[own], grid.affine, grid.shape, watch.check))
            labels = placed[own] if own is not None else None
            seen = masks.views.of[own] if own is not None else ()
            records.append(self._series_record(folder, model, plane, series, labels, seen))
        fused_name = segmentation_name = None
        if together := masks.views.together:
            watch.progress("write", 0.85, "Fusing the planes")
            affine, shape = fused_grid({plane: study.series[plane].volume for plane in together})
            fused = fused_labels(masks.joined, affine, shape, watch.check)
            fused_name, segmentation_name = FUSED_LABELS_FILE, SEGMENTATION_FILE
            write_labels(folder / fused_name, fused, affine)
            region = load_joint(manifest.joint).region
            write_segmentation_nrrd(folder / segmentation_name, fused, affine, manifest.structures, region)
        if findings.records:
            write_findings_table(folder / FINDINGS_FILE, findings.records, manifest.notice())
        clock.lap("write")
        write_result(
            folder,
            Result(
                joint=manifest.joint,
                not_assessed=study.not_assessed,
                series=tuple(records),
                labels_fused=fused_name,
                fused_from=masks.views.together,
                segmentation=segmentation_name,
                structures=manifest.structures,
                findings=findings.records,
                clinical=findings.clinical,
                warnings=(*study.warnings, *masks.views.warnings, *findings.warnings),
                notice=manifest.notice(),
                provenance=provenance(model, request.seed, clock.started, clock.seconds),
            ),
        )

    @staticmethod
    def _series_record(
        folder: Path,
        model: LoadedModel,
        plane: Plane,
        series: StudySeries,
        placed: PlaneLabels | None,
        views: tuple[Plane, ...],
    ) -> SeriesRecord:
        volume = series.volume
        labels_name = confidence_name = None
        volumes_ml: dict[str, float] = {}
        if placed is not None:
            labels_name, confidence_name = labels_file(plane), confidence_file(plane)
            write_labels(folder / labels_name, placed.labels, volume.affine)
            write_labels(folder / confidence_name, placed.confidence, volume.affine)
            voxel_ml = abs(float(np.linalg.det(volume.affine[:3, :3]))) / 1000.0
            classes = len(model.bundle.manifest.structures) + 1
            # One slab at a time, for `bincount` makes 8 bytes of each voxel's two.
            counts = np.sum([np.bincount(slab.ravel(), minlength=classes) for slab in placed.labels], axis=0)
            volumes_ml = {
                structure.key: round(float(counts[structure.label]) * voxel_ml, 4)
                for structure in model.bundle.manifest.structures
            }
        return SeriesRecord(
            plane=plane,
            name=volume.source.name,
            series_uid=volume.source.series_uid,
            study_uid=volume.source.study_uid,
            shape=volume.shape,
            spacing=volume.spacing,
            affine=tuple(tuple(float(value) for value in row) for row in volume.affine),
            reformatted_from=series.reformatted_from,
            labels=labels_name,
            segmented_from=views,
            confidence=confidence_name,
            volumes_ml=volumes_ml,
        )


class _Clock:
    def __init__(self) -> None:
        self.started = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self.seconds: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, stage: str) -> None:
        now = time.monotonic()
        self.seconds[stage] = round(now - self._last, 3)
        self._last = now


def _segment(
    model: LoadedModel, study: Study, scope: Scope, request: StudyRequest, watch: Watch
) -> dict[Plane, ScoreVolume]:
    scores = {}
    for index, plane in enumerate(scope.segmented):
        base, share = 0.1 + 0.5 * index / len(scope.segmented), 0.5 / len(scope.segmented)

        def tell(fraction: float, plane: Plane = plane, base: float = base, share: float = share) -> None:
            watch.progress("segment", base + share * fraction, f"Segmenting the {plane.value} plane")

        stack = study.series[plane].stack
        scores[plane] = own_scores(model.planes[plane], stack, request.seed, _in_one_piece(model), tell)
    return scores


def _together(
    model: LoadedModel,
    study: Study,
    scores: Mapping[Plane, ScoreVolume],
    scope: Scope,
    request: StudyRequest,
    watch: Watch,
) -> _Masks:
    """The planes' answers averaged where they show the joint in the same place and refined, bones in one piece."""
    watch.progress("compare", 0.6, "Comparing the planes")
    views = views_of_planes(scores, study, watch.check) if request.combine else each_alone(scores, study)
    if views.apart and len(scope.diagnosed) > 1:
        named = ", ".join(plane.value for plane in scope.diagnosed)
        views = views._replace(warnings=(*views.warnings, f"The findings still come from all planes: {named}."))
    pieces = _in_one_piece(model)
    if model.refinement is None:
        means = {
            plane: (mean_of_views([scores[view] for view in seen], scores[plane], pieces, watch.check),)
            for plane, seen in views.of.items()
        }
        return _Masks(views, means, tuple(means[plane][0] for plane in views.together))
    fine = {}
    for seen in dict.fromkeys(views.of.values()):
        watch.progress("compare", 0.6, "Refining the outlines")
        images = {plane: _detail_images(model.planes[plane], study.series[plane]) for plane in seen}
        fine[seen] = tuple(refined_views(model.refinement, images, scores, seen, pieces, watch.check).values())
    joined = {id(volume): volume for plane in views.together for volume in fine[views.of[plane]]}
    return _Masks(views, {plane: fine[seen] for plane, seen in views.of.items()}, tuple(joined.values()))


def _detail_images(model: PlaneModel, series: StudySeries) -> torch.Tensor:
    return detail_images(to_network_axes(series.stack, model.plane).array, model.window_size)


def _placed_by(plane: Plane, study: Study, masks: _Masks) -> Plane | None:
    """The plane whose answer a plane's label map is made of; None for a plane that the bundle does not segment.

    Planes cut out of one 3D volume share its label map, made on the grid of its own slices where that is segmented.
    """
    if plane not in masks.of:
        return None
    sharing = [other for other in masks.of if study.series[other].volume is study.series[plane].volume]
    return next((other for other in sharing if study.series[other].reformatted_from is None), sharing[0])


def _in_one_piece(model: LoadedModel) -> list[int]:
    return [structure.label for structure in model.bundle.manifest.structures if structure.one_piece]


def _diagnose(
    model: LoadedModel,
    study: Study,
    scores: Mapping[Plane, ScoreVolume],
    scope: Scope,
    request: StudyRequest,
    watch: Watch,
) -> _Findings:
    """Findings of the planes that can be assessed; heads that read structures get masks, made for them if need be."""
    planes = scope.diagnosed
    if not planes:
        return _Findings()
    answers = {}
    for index, plane in enumerate(planes):
        base, share, message = (
            0.6 + 0.1 * index / len(planes),
            0.1 / len(planes),
            f"Diagnosing from the {plane.value} plane",
        )

        def tell(fraction: float, base: float = base, share: float = share, message: str = message) -> None:
            watch.progress("diagnose", base + share * fraction, message)

        tell(0.0)
        head, own = model.planes[plane].networks.diagnosis, scores.get(plane)
        if own is None and head is not None and head.reading is not None:
            own = own_scores(model.planes[plane], study.series[plane].stack, request.seed, _in_one_piece(model), tell)
        answers[plane] = plane_answer(model.planes[plane], study.series[plane].stack, request.seed, own)
    manifest = model.bundle.manifest
    part = manifest.fusion.clinical
    clinical, warning = clinical_reading(part, request.clinical)
    calibrations = manifest.calibration if part is None or clinical is None else part.calibration
    fused = model.fusion.fuse(answers, clinical)
    findings = _Findings(
        finding_records(manifest, answers, fused, calibrations),
        clinical.known() if clinical is not None else (),
        [] if warning is None else [warning],
    )
    if missing := study.not_assessed:
        findings.warnings.append(f"Not assessed by: {', '.join(plane.value for plane in missing)}.")
    return findings
