"""How each plane is scanned: sequence timing, fat suppression and slice geometry, drawn from clinical ranges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.phantom.tissues import Relaxation


@dataclass(frozen=True)
class SeriesProtocol:
    """A spin-echo series.

    Attributes:
        name: of the contrast.
        repetition: TR in ms.
        echo: TE in ms.
        fat_left: share of the fat signal that suppression leaves, 0 to 1; 1 without suppression.
        pixel: in-plane, mm.
        pixels: along i and j.
        slices: of the stack.
        slice_distance: between slice centres, mm.
        slice_thickness: mm; the rest of the distance is gap.
        signal_to_noise: of the brightest tissue.
    """

    name: str
    repetition: float
    echo: float
    fat_left: float
    pixel: float
    pixels: tuple[int, int]
    slices: int
    slice_distance: float
    slice_thickness: float
    signal_to_noise: float

    def signal(self, tissue: Relaxation) -> float:
        """Spin-echo signal of a tissue, 0 to 1: density (1 - exp(-TR/T1)) exp(-TE/T2), less suppressed fat."""
        relaxed = (1 - np.exp(-self.repetition / tissue.t1)) * np.exp(-self.echo / tissue.t2)
        suppressed = 1 - tissue.fat * (1 - self.fat_left)
        return float(tissue.density * relaxed * suppressed)


# Contrast: TR range, TE range (ms), and share of the fat signal left.
CONTRASTS = {
    "PD-FS": ((2500, 4000), (30, 45), (0.06, 0.25)),
    "T2-FS": ((3000, 5000), (50, 80), (0.06, 0.25)),
    "T1": ((500, 700), (10, 20), (1.0, 1.0)),
    "PD": ((2500, 4000), (25, 40), (1.0, 1.0)),
}
PLANE_CONTRASTS = {
    Plane.SAGITTAL: (("PD-FS", 0.85), ("PD", 0.15)),
    Plane.CORONAL: (("PD-FS", 0.6), ("T2-FS", 0.2), ("T1", 0.2)),
    Plane.AXIAL: (("T2-FS", 0.7), ("PD-FS", 0.3)),
}


def draw_protocol(plane: Plane, generator: np.random.Generator) -> SeriesProtocol:
    """A protocol for a plane; pixels are coarser than a scanner's, for the phantom's anatomy is drawn at 0.8 mm."""
    names, shares = zip(*PLANE_CONTRASTS[plane], strict=True)
    name = str(generator.choice(names, p=shares))
    repetition, echo, fat = CONTRASTS[name]
    distance = float(generator.uniform(3.4, 4.2))
    pixel = float(generator.uniform(0.85, 1.0))
    field = generator.uniform(138, 154, size=2)
    return SeriesProtocol(
        name=name,
        repetition=float(generator.uniform(*repetition)),
        echo=float(generator.uniform(*echo)),
        fat_left=float(generator.uniform(*fat)),
        pixel=pixel,
        pixels=(int(field[0] / pixel), int(field[1] / pixel)),
        slices=int(generator.integers(20, 27)),
        slice_distance=distance,
        slice_thickness=distance - float(generator.uniform(0.2, 0.6)),
        signal_to_noise=float(generator.uniform(18, 45)),
    )
