"""What a person asks of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.bundles.clinical_data import ClinicalRecord


@dataclass(frozen=True)
class StudyRequest:
    """One study to be run.

    Attributes:
        output: folder that receives the result, all or nothing, at the end.
        paths: files or folders whose series are sorted into planes by their geometry.
        series: files or folders that hold one named plane each.
        bundle: a registered bundle's name, a bundle's folder, or None for the default one.
        segment: write label maps.
        diagnose: write findings.
        combine: average the answers of all planes that show the joint in the same place, on each plane's grid.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        seed: of the noise in the feature extraction.
        clinical: what is known of the person besides the images; None for nothing.
    """

    output: Path
    paths: tuple[Path, ...] = ()
    series: Mapping[Plane, Path] = field(default_factory=dict)
    bundle: str | None = None
    segment: bool = True
    diagnose: bool = True
    combine: bool = True
    device: str = "auto"
    seed: int = 0
    clinical: ClinicalRecord | None = field(default=None, repr=False)
