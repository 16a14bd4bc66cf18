"""Osteophytes: lips that osteoarthritis lets grow out of a bone's own surface where its cartilage ends.

They stand at the margins of condyles, trochlea and plateaus and at the kneecap's poles, and point away from the joint:
the joint surfaces keep their height (Osteoarthritis Research Society's atlas: Altman and Gold 2007, Osteoarthritis
Cartilage 15 Suppl A:A1). Each grows along the bone's normals, whatever the bone's shape, so that none is ever loose.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from OrthoDiffusionLib.phantom import knee_bones as bones
from OrthoDiffusionLib.phantom.canvas import SPACING, STEP, AnatomyCanvas, Region
from OrthoDiffusionLib.phantom.distances import Field, intersection
from OrthoDiffusionLib.phantom.knee_shape import KneeShape
from OrthoDiffusionLib.phantom.smooth_fields import smooth_field
from OrthoDiffusionLib.phantom.smooth_steps import rising
from OrthoDiffusionLib.phantom.surface_normals import normals

APART = 14.0
"""mm along a margin from one osteophyte to the next."""

LATERAL = (0.35, 0.9)
"""Size of the lateral compartment's osteophytes over that of the medial one's, which is the worn one."""

OVERHUNG = 1.4
"""Size of the femur's osteophytes over the others': the condyles' sides stand out over the margin these grow from."""

BASE = 7.5
"""mm below the joint surface over which the lips of tibia and kneecap taper off."""


class _Sizes(NamedTuple):
    """mm that osteophytes stand out: of the femur, the tibia and the kneecap, on the medial and the lateral side."""

    femur: tuple[float, float]
    tibia: tuple[float, float]
    patella: float


def with_osteophytes(
    canvas: AnatomyCanvas,
    shape: KneeShape,
    fields: Mapping[str, tuple[Region, Field]],
    generator: np.random.Generator,
) -> dict[str, tuple[Region, Field]]:
    """The bones with their osteophytes, if they have any.

    Args:
        canvas: whose lattice the distances are on.
        shape: whose `osteophytes` is the size of the largest, mm.
        fields: of each bone its region, and the signed distance (mm of the standard knee) over the whole lattice.
        generator: draws how large each is, and where along the margins they stand.
    """
    if not shape.osteophytes:
        return dict(fields)
    sizes = _draw_sizes(shape.osteophytes / shape.scale, generator)
    grown = dict(fields)
    margins = {
        "femur": (canvas.region((-48, -50, -8), (48, 60, 66)), _on_femur),
        "tibia": (canvas.region((-46, -44, -14), (46, 46, 12)), _on_tibia),
        "patella": (fields["patella"][0], _on_patella),
    }
    for key, (margin, grow) in margins.items():
        region, field = fields[key]
        whole = field.copy()
        along = _unevenness(margin, generator)
        whole[margin.cells] = grow(margin, margin.part(field), along, shape, sizes)
        grown[key] = (region, whole)
    return grown


def _draw_sizes(largest: float, generator: np.random.Generator) -> _Sizes:
    femur, tibia, patella = generator.uniform(0.85, 1.1, size=3) * largest
    lateral = generator.uniform(*LATERAL, size=2)
    femur *= OVERHUNG
    return _Sizes((femur, lateral[0] * femur), (tibia, lateral[1] * tibia), 0.8 * patella)


def _unevenness(region: Region, generator: np.random.Generator) -> Field:
    """Share (0.2 to 1.15) of its size that an osteophyte has at each point."""
    lattice = region.points[0].shape
    knots = [max(2, round(n * SPACING * STEP / APART)) for n in lattice]
    return np.clip(0.85 + 0.4 * smooth_field(lattice, knots, generator), 0.2, 1.15).astype(np.float32)


def _on_femur(region: Region, distance: Field, along: Field, shape: KneeShape, sizes: _Sizes) -> Field:
    x, y, z = bones.in_femur(region.points, shape)
    low = bones.joint_space(shape)
    across, _, up = normals(distance)
    medial, lateral = sizes.femur
    # Where the surface turns from the joint to the bone's side: steep towards the joint, tapering away from it.
    outward = np.sign(x) * across
    ridge = rising(outward - 0.72, 0.16) * (1 - rising(outward - 0.88, 0.105))
    ridge *= rising(np.abs(x) - 17, 6) * (1 - rising(up - 0.1, 0.3)) * (1 - rising(z - (low + 40), 8))
    # Before and behind, a little less than at the sides.
    ridge *= 1 - 0.35 * rising(np.abs(y - 3) - 14, 8)
    return np.asarray(distance - np.where(x < 0, medial, lateral) * along * ridge, np.float32)


def _on_tibia(region: Region, distance: Field, along: Field, shape: KneeShape, sizes: _Sizes) -> Field:
    x, y, z = region.points
    medial, lateral = sizes.tibia
    size = np.where(x < 0, medial, lateral) * along * rising(np.abs(x) - 13, 8)
    size *= 1 - 0.4 * rising(np.abs(y) - 13, 8)
    return _lipped(distance, bones.plateau(x, y, shape) - z, size)


def _on_patella(region: Region, distance: Field, along: Field, shape: KneeShape, sizes: _Sizes) -> Field:
    points = bones.in_patella(region.points, shape)
    poles = rising(np.abs(points[2] - 1) - 9, 7)
    return _lipped(distance, -bones.behind_facets(points), sizes.patella * along * poles)


def _lipped(distance: Field, depth: Field, size: Field) -> Field:
    """A bone whose sides stand out by a size (mm) at the level of its joint surface, less below it, not above it.

    Args:
        distance: to the bone.
        depth: of each point below the level of the joint surface, mm.
        size: of the lip.
    """
    taper = np.clip(1 - depth / BASE, 0, 1) ** 1.5
    # A feather edge would break into specks on the grid.
    lip = intersection((distance - size * taper).astype(np.float32), -depth, 2.0)
    return np.minimum(distance, lip)
