"""How a series is scanned: a preset's timing and a centre's habits, drawn from clinical ranges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.phantom.centres import Centre, Range
from OrthoDiffusionLib.phantom.sequences import Family, Sequence


class Preset(NamedTuple):
    """Timing ranges of a contrast: TR, TE in ms, flip angle in degrees, and whether fat is suppressed."""

    family: Family
    repetition: Range
    echo: Range
    flip: Range
    suppressed: bool


PRESETS = {
    "PD-FS": Preset("spin echo", (2500, 4000), (28, 45), (90, 90), True),
    "T2-FS": Preset("spin echo", (3000, 5000), (50, 80), (90, 90), True),
    "PD-FS early echo": Preset("spin echo", (2600, 4000), (15, 25), (90, 90), True),
    "T2-FS late echo": Preset("spin echo", (5200, 6500), (88, 105), (90, 90), True),
    "PD": Preset("spin echo", (2000, 4000), (15, 40), (90, 90), False),
    "T1": Preset("spin echo", (500, 700), (10, 20), (90, 90), False),
    "DESS": Preset("DESS", (15, 25), (4.5, 8), (20, 32), True),
    "DESS first echo": Preset("steady state", (15, 25), (4.5, 8), (20, 32), True),
    "DESS reformatted": Preset("DESS", (15, 25), (4.5, 8), (20, 32), True),
    "DESS first echo reformatted": Preset("steady state", (15, 25), (4.5, 8), (20, 32), True),
    "GRE": Preset("spoiled gradient echo", (25, 50), (4, 10), (15, 40), True),
}
"""DESS reaches from the Osteoarthritis Initiative's timing (TR 16.3, TE 4.7 ms, 25 degrees: Peterfy et al. 2008,
Osteoarthritis Cartilage 16:1433) to that of the one real DESS knee at hand (25, 7.5 ms, 30 degrees). Spin echoes and
GRE are orders of magnitude of clinical protocols, no source; the early and late echoes lie beyond the usual ones."""

REFORMATTED = "reformatted"
"""Ends the names of contrasts whose stacks are cut out of a sagittal 3D volume."""

COVERED: Mapping[Plane, Range] = {Plane.AXIAL: (84, 140), Plane.SAGITTAL: (84, 104), Plane.CORONAL: (84, 110)}
"""mm from the first slice of a stack to its last: 16 to 46 slices of 3 to 5 mm; axial ones reach up the shafts."""

THICKNESS_3D: Range = (95, 135)
"""mm across the leg that a sagittal 3D volume covers; OAI's DESS has 160 x 0.7 mm."""

DISTANCE_3D: Range = (1.0, 1.6)
"""mm between its slices. OAI's 0.7 is left out: a window of 16 slices would hold 11 mm, and no meniscus' body."""

FAT_SHIFT = 3.5e-6 * 42.577e6
"""Hz per tesla between fat and water: 3.5 ppm."""


@dataclass(frozen=True)
class SeriesProtocol:
    """How one series is scanned.

    Attributes:
        name: of the contrast.
        sequence: timing and fat suppression.
        field: tesla.
        pixel: mm along i and j.
        pixels: along i and j.
        slices: of the stack.
        slice_distance: between slice centres, mm.
        slice_thickness: mm; the rest of the distance is gap.
        signal_to_noise: of the brightest tissue.
        fat_shift: pixels by which fat is misplaced along the read axis.
        read_axis: 0 or 1, in-plane; the other one is the phase axis.
        shading: of the coil.
        sharpening: -1 to 1.
        ghosts: strength of motion's ghosts, 0 for none.
        fold: share of the field of view that folds over at each end along i; 0 where i is the read axis, along which
            scanners filter what lies beyond. Along j nothing folds, so a leg that goes on above and below the view
            never does.
        maximum: grey value of the brightest percentile.
    """

    name: str
    sequence: Sequence
    field: float
    pixel: tuple[float, float]
    pixels: tuple[int, int]
    slices: int
    slice_distance: float
    slice_thickness: float
    signal_to_noise: float
    fat_shift: float
    read_axis: int
    shading: float
    sharpening: float
    ghosts: float
    fold: float
    maximum: float

    @property
    def reformatted(self) -> bool:
        """Whether the stack is cut out of a sagittal 3D volume, and lies along the limb as that one does."""
        return self.name.endswith(REFORMATTED)


WATER_EXCITATION = 0.35
"""Of the fat that suppression leaves, the share that gradient echoes leave, which excite water alone: fat and marrow of
the one real DESS knee at hand have some 0.15 of the muscles' signal; with the spin echoes' share they had 0.5."""


def _fat_left(preset: Preset, suppressed: float) -> float:
    if not preset.suppressed:
        return 1.0
    return suppressed * (1.0 if preset.family == "spin echo" else WATER_EXCITATION)


def draw_protocol(plane: Plane, centre: Centre, generator: np.random.Generator) -> SeriesProtocol:
    """A protocol of a plane at a centre."""

    def between(low_high: Range) -> float:
        return float(generator.uniform(*low_high))

    contrasts = centre.contrasts[plane]
    name = str(generator.choice(list(contrasts), p=list(contrasts.values())))
    preset = PRESETS[name]
    sequence = Sequence(
        preset.family,
        between(preset.repetition),
        between(preset.echo),
        between(preset.flip),
        _fat_left(preset, between(centre.fat_left)),
    )
    pixel = between(centre.pixel)
    view = between(centre.field_of_view)
    rectangular, covered = between((0.9, 1.0)), between(COVERED[plane])
    spacing, distance, gap = (pixel, pixel), between(centre.distance), between(centre.gap)
    if name in ("DESS", "DESS first echo", "GRE"):
        distance, gap, covered = between(DISTANCE_3D), 0.0, between(THICKNESS_3D)
    elif name.endswith(REFORMATTED):
        # The slices of the sagittal 3D volume run along this plane's first axis, and end with the leg.
        spacing, distance, gap = (between((0.9, 1.5)), pixel), between((2.6, 3.2)), 0.0
        rectangular, covered = between(THICKNESS_3D) / view, between((0.8, 1.0)) * view
    read_axis = int(generator.integers(2))
    bandwidth = between(centre.bandwidth) * (1 if preset.suppressed else max(centre.field / 1.5, 1))
    return SeriesProtocol(
        name=name,
        sequence=sequence,
        field=centre.field,
        pixel=spacing,
        pixels=(int(rectangular * view / spacing[0]), int(view / spacing[1])),
        slices=int(covered / distance),
        slice_distance=distance,
        slice_thickness=distance - gap,
        signal_to_noise=between(centre.signal_to_noise),
        fat_shift=float(generator.choice((-1, 1))) * FAT_SHIFT * centre.field / bandwidth,
        read_axis=read_axis,
        shading=between(centre.shading),
        sharpening=between(centre.sharpening),
        ghosts=between((0.02, 0.08)) if generator.random() < centre.motion_rate else 0.0,
        # Drawn in any case, so that the same seeds go on making the same scans.
        fold=(between((0.03, 0.08)) if generator.random() < centre.wrap_rate else 0.0) * (read_axis == 1),
        maximum=between(centre.maximum),
    )
