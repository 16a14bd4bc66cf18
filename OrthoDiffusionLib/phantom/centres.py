"""Centres: hospitals whose scanners and habits differ, so that a model can be measured on one that it never saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from OrthoDiffusionLib.anatomy import Plane

Range = tuple[float, float]
Shares = Mapping[str, float]

BANDWIDTH: Range = (130, 260)
"""Hz per pixel at 1.5 T, and of suppressed fat at any field: the Osteoarthritis Initiative's protocol at 3 T (Peterfy
et al. 2008) has 130 to 248 with water excitation and fat suppression. Where fat is bright it goes up with the field, or
marrow would lie beside its bone: 352 in that protocol's coronal spin echo, here 260 to 520 at 3 T."""


@dataclass(frozen=True)
class Centre:
    """What a centre's images have in common.

    Ranges are orders of magnitude of clinical exams, made up for each centre without a source, except the bandwidth's.

    Attributes:
        key: its name.
        field: tesla.
        contrasts: for each plane, share of the series of each contrast.
        pixel: mm, in-plane.
        field_of_view: mm, along both axes of a slice.
        distance: mm between slice centres.
        gap: mm of it that no slice covers.
        signal_to_noise: of the brightest tissue.
        fat_left: share of the fat signal that suppression leaves.
        shading: strength of the coil's shading; a factor of about exp(2 shading) across the knee.
        sharpening: of the vendor's filter: -1 smooths, 1 enhances edges.
        motion_rate: share of series with ghosts of motion.
        wrap_rate: share of series in which the leg folds over.
        maximum: grey value that the brightest percentile is scaled to.
        bandwidth: Hz per pixel at 1.5 T, as `BANDWIDTH` has it; the lower it is, the further fat is misplaced.
    """

    key: str
    field: float
    contrasts: Mapping[Plane, Shares]
    pixel: Range
    field_of_view: Range
    distance: Range
    gap: Range
    signal_to_noise: Range
    fat_left: Range
    shading: Range
    sharpening: Range
    motion_rate: float
    wrap_rate: float
    maximum: Range
    bandwidth: Range = BANDWIDTH


_USUAL: Mapping[Plane, Shares] = {
    Plane.AXIAL: {"PD-FS": 0.5, "T2-FS": 0.5},
    Plane.SAGITTAL: {"PD-FS": 0.8, "PD": 0.2},
    Plane.CORONAL: {"PD-FS": 0.6, "T1": 0.4},
}
_FLUID: Mapping[Plane, Shares] = {
    Plane.AXIAL: {"T2-FS": 0.8, "PD": 0.2},
    Plane.SAGITTAL: {"PD-FS": 0.5, "T2-FS": 0.3, "PD": 0.2},
    Plane.CORONAL: {"PD-FS": 0.5, "T2-FS": 0.5},
}
_THREE_D: Mapping[Plane, Shares] = {
    Plane.AXIAL: {"PD-FS": 0.4, "DESS reformatted": 0.3, "DESS first echo reformatted": 0.3},
    Plane.SAGITTAL: {"PD-FS": 0.2, "DESS": 0.35, "DESS first echo": 0.3, "GRE": 0.15},
    Plane.CORONAL: {"PD-FS": 0.4, "DESS reformatted": 0.3, "DESS first echo reformatted": 0.3},
}
_OTHER_ECHOES: Mapping[Plane, Shares] = {
    Plane.AXIAL: {"PD-FS early echo": 0.6, "T2-FS late echo": 0.4},
    Plane.SAGITTAL: {"PD-FS early echo": 0.5, "T2-FS late echo": 0.25, "T1": 0.25},
    Plane.CORONAL: {"PD-FS early echo": 0.7, "PD": 0.3},
}

_ALL = (
    Centre(
        key="hill",
        field=1.5,
        contrasts=_USUAL,
        pixel=(0.5, 0.7),
        field_of_view=(150, 175),
        distance=(3.6, 4.4),
        gap=(0.3, 0.7),
        signal_to_noise=(14, 26),
        fat_left=(0.1, 0.3),
        shading=(0.2, 0.5),
        sharpening=(-0.8, 0.2),
        motion_rate=0.15,
        wrap_rate=0.1,
        maximum=(300, 700),
    ),
    Centre(
        key="harbour",
        field=3.0,
        contrasts=_USUAL,
        pixel=(0.42, 0.55),
        field_of_view=(140, 165),
        distance=(3.2, 3.8),
        gap=(0.2, 0.5),
        signal_to_noise=(22, 42),
        fat_left=(0.04, 0.15),
        shading=(0.3, 0.8),
        sharpening=(0.0, 0.9),
        motion_rate=0.08,
        wrap_rate=0.05,
        maximum=(800, 1500),
    ),
    Centre(
        key="meadow",
        field=1.5,
        contrasts=_FLUID,
        pixel=(0.48, 0.65),
        field_of_view=(150, 180),
        distance=(3.4, 4.2),
        gap=(0.3, 0.8),
        signal_to_noise=(16, 30),
        fat_left=(0.05, 0.25),
        shading=(0.1, 0.5),
        sharpening=(-0.4, 0.6),
        motion_rate=0.1,
        wrap_rate=0.1,
        maximum=(1500, 3500),
    ),
    Centre(
        key="college",
        field=3.0,
        contrasts=_THREE_D,
        pixel=(0.42, 0.6),
        field_of_view=(140, 170),
        distance=(3.0, 3.6),
        gap=(0.2, 0.4),
        signal_to_noise=(20, 40),
        fat_left=(0.03, 0.15),
        shading=(0.2, 0.8),
        sharpening=(-0.3, 0.5),
        motion_rate=0.05,
        wrap_rate=0.03,
        maximum=(400, 1200),
    ),
    Centre(
        key="island",
        field=1.5,
        contrasts=_OTHER_ECHOES,
        pixel=(0.5, 0.65),
        field_of_view=(150, 175),
        distance=(3.5, 4.4),
        gap=(0.4, 0.9),
        signal_to_noise=(12, 20),
        fat_left=(0.31, 0.38),
        shading=(0.3, 0.8),
        sharpening=(0.2, 1.0),
        motion_rate=0.1,
        wrap_rate=0.05,
        maximum=(2000, 4000),
        bandwidth=(95, 125),
    ),
)
CENTRES: Mapping[str, Centre] = {centre.key: centre for centre in _ALL}

ANYWHERE = Centre(
    key="anywhere",
    field=1.5,
    contrasts={
        Plane.AXIAL: {"PD-FS": 0.7, "DESS reformatted": 0.3},
        Plane.SAGITTAL: {"PD-FS": 0.6, "DESS": 0.4},
        Plane.CORONAL: {"PD-FS": 0.7, "DESS reformatted": 0.3},
    },
    pixel=(0.4, 1.0),
    field_of_view=(130, 200),
    distance=(2.4, 5.5),
    gap=(0.0, 1.2),
    signal_to_noise=(8, 60),
    fat_left=(0.0, 1.0),
    shading=(0.0, 1.0),
    sharpening=(-1.0, 1.0),
    motion_rate=0.25,
    wrap_rate=0.1,
    maximum=(100, 4000),
    bandwidth=(80, 300),
)
"""No hospital: resolution, noise and artefacts wider than any has them, for scans of random contrast. Of its contrasts
only whether slices are thick, or those of a 3D volume, is left."""

HELD_OUT = "island"
"""The centre that no demonstration model is trained on; `orthodiffusion evaluate` measures on it.

An older 1.5 T scanner. Beyond what any centre for training has are what its suppression leaves of the fat, its
bandwidth, and the echo times of its fluid-sensitive series: some as early as those of plain proton density, some later
than any. Sagittal T1 and coronal PD, usual in hospitals, are in no such centre. Its noisiest series are noisier than
theirs, and its widest gaps wider. Each study has an axial series, and most have all three, in which fluid is bright and
fat is suppressed. Field, pixels, slices' distance, shading, edges and grey values are as elsewhere: those are an exam's
choice rather than a scanner's, and `evaluate --contrast random` draws them all. In scans of random contrast, which
training has too, suppression and bandwidth reach as far as here, on tissues that look like no sequence's.
"""

TRAINING = tuple(key for key in CENTRES if key != HELD_OUT)
