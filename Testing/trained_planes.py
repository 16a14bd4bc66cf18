"""Diagnosis heads of three planes on tiny studies, and what is made of them."""

from __future__ import annotations

from pathlib import Path

import torch
from tiny_dataset import write_dataset

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.bundles.clinical_data import ClinicalRecord
from OrthoDiffusionLib.datasets.cache import prepare_manifest
from OrthoDiffusionLib.datasets.manifest import DatasetManifest, read_manifest
from OrthoDiffusionLib.inference.engine import Engine
from OrthoDiffusionLib.inference.request import StudyRequest
from OrthoDiffusionLib.inference.result import Result
from OrthoDiffusionLib.inference.result_folder import read_result
from OrthoDiffusionLib.inference.watch import Unwatched
from OrthoDiffusionLib.training.clinical_training import train_clinical
from OrthoDiffusionLib.training.diagnosis_training import train_diagnosis
from OrthoDiffusionLib.training.exporting import BundleCard
from OrthoDiffusionLib.training.fusion_data import HELD_OUT, FusionStudy, fusion_data
from OrthoDiffusionLib.training.fusion_training import train_fusion
from OrthoDiffusionLib.training.pooled_features import save_pooled
from OrthoDiffusionLib.training.settings import DiagnosisSettings, FusionSettings
from OrthoDiffusionLib.training.trained_fusion import described_fusion, save_fusion
from OrthoDiffusionLib.training.trained_plane import (
    PlaneDescription,
    TrainedPlane,
    empty_networks,
    load_plane,
    save_plane,
)

FINDINGS = [finding.key for finding in load_joint("knee").findings]
CARD = BundleCard(
    name="tiny", version="0.0.1", title="Tiny", license="MIT", license_text="MIT", authors="nobody", copyright="nobody",
    data="Bright balls.", studies=8, synthetic=True, known_limits=("Knows nothing but balls.",),
)  # fmt: skip


class TrainedPlanes:
    """Three planes' diagnosis heads on tiny studies, the first of which lacks its coronal series."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        whole = read_manifest(write_dataset(folder, tuple(Plane)))
        first = whole.studies[0].model_copy(update={"series": whole.studies[0].series[:2]})
        self.manifest: DatasetManifest = whole.model_copy(update={"studies": (first, *whole.studies[1:])})
        prepared = prepare_manifest(self.manifest, folder / "cache", 40)
        self.planes = {}
        for plane in Plane:
            torch.manual_seed(plane.pose_id)
            described = PlaneDescription(
                joint="knee", plane=plane, base_channels=32, channel_multipliers=(1, 1, 1, 1), block="mid_0",
                timestep=50, window_size=32, history=("Not trained.",),
            )  # fmt: skip
            start = TrainedPlane(described, empty_networks(described, segmentation=False, diagnosis=False).eval())
            settings = DiagnosisSettings(
                folds=3, epochs=4, views=1, learning_rate=5e-3,
                pooling="global_local" if plane is Plane.AXIAL else "self_attention",
            )  # fmt: skip
            trained, held_out, pooled = train_diagnosis(start, prepared, settings, lambda *_: None)
            self.planes[plane] = folder / plane.value
            save_pooled(self.planes[plane], pooled)
            save_plane(self.planes[plane], trained, {HELD_OUT: held_out})

    def studies(self) -> list[FusionStudy]:
        return [FusionStudy.of_entry(entry, FINDINGS) for entry in self.manifest.studies]

    def fusion(self, kind: str, *, clinical: bool = False) -> Path:
        settings = FusionSettings(epochs=3, batch=4)
        data = fusion_data(kind, self.planes, self.studies())
        training = train_fusion(kind, data, settings, lambda *_: None)
        mixing = train_clinical(training, data, settings, lambda *_: None) if clinical else None
        planes = {plane: load_plane(folder) for plane, folder in self.planes.items()}
        folder = self.folder / f"{kind}-clinical-{clinical}"
        save_fusion(folder, described_fusion(kind, training, data, planes, settings.plane_dropout, mixing))
        return folder

    def image(self, plane: Plane) -> Path:
        return self.folder / f"7-{plane.value}-image.nii.gz"


def ran(
    trained: TrainedPlanes,
    bundle: Path,
    planes: tuple[Plane, ...],
    output: Path,
    clinical: ClinicalRecord | None = None,
) -> Result:
    series = {plane: trained.image(plane) for plane in planes}
    Engine().run(
        StudyRequest(output, series=series, bundle=str(bundle), segment=False, device="cpu", clinical=clinical),
        Unwatched(),
    )
    return read_result(output)
