"""What is drawn of a series before it is scanned: its protocol, its place and its contrast."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.phantom.centres import Centre
from OrthoDiffusionLib.phantom.contrast import Signals, physical_signals, random_signals
from OrthoDiffusionLib.phantom.joint_models import JOINT_MODELS
from OrthoDiffusionLib.phantom.protocol import SeriesProtocol, draw_protocol
from OrthoDiffusionLib.phantom.scanner import fold_margin, half_thickness, place_stack
from OrthoDiffusionLib.phantom.stack_part import StackPart

Affine = npt.NDArray[np.float64]
Contrast = Literal["physical", "random"]


@dataclass(frozen=True)
class SeriesPlan:
    """A series that is about to be scanned.

    Attributes:
        protocol: of the series.
        affine: voxel index to RAS, mm.
        to_joint: RAS to the joint frame (mirrored for a left joint), mm.
        signals: of the tissues, as `scan` takes them.
        contrast: its name.
    """

    protocol: SeriesProtocol
    affine: Affine
    to_joint: Affine
    signals: Signals
    contrast: str

    def reach(self, part: StackPart) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Lowest and highest corner of the box of the joint frame in which some slices lie, mm, (3,) each."""
        margin, half = fold_margin(self.protocol), half_thickness(self.protocol)
        rows, columns = self.protocol.pixels
        ends = [(-margin, rows - 1 + margin), (0, columns - 1), (part.first - half, part.end - 1 + half)]
        corners = np.stack([*(axis.ravel() for axis in np.meshgrid(*ends)), np.ones(8)])
        positions = (self.to_joint @ self.affine @ corners)[:3]
        return positions.min(axis=1), positions.max(axis=1)

    def part_affine(self, part: StackPart) -> Affine:
        """Of some slices as a stack of their own, voxel index to RAS, mm."""
        affine = self.affine.copy()
        affine[:3, 3] += part.first * affine[:3, 2]
        return affine


def mirror(laterality: str) -> Affine:
    """The frame of a right joint to that of a joint of this side, and back."""
    return np.diag([-1.0 if laterality == "left" else 1.0, 1.0, 1.0, 1.0])


def plan_series(
    joint: str,
    laterality: str,
    plane: Plane,
    site: Centre,
    contrast: Contrast,
    joint_centre: Affine,
    generator: np.random.Generator,
) -> SeriesPlan:
    """Draw a series.

    Args:
        joint: a key of `JOINT_MODELS`.
        laterality: `right` or `left`.
        plane: of the series.
        site: where it is scanned.
        contrast: `physical`, or `random` for tissues whose signals are drawn at random.
        joint_centre: the joint's axes in the scanner to RAS, mm.
        generator: draws all of it, and the scan afterwards.
    """
    turned = mirror(laterality)
    protocol = draw_protocol(plane, site, generator)
    model = JOINT_MODELS[joint]
    x, y, z = model.stack_centres[plane]
    if plane is not Plane.AXIAL or protocol.reformatted:
        z += generator.uniform(*model.further_up)
    affine = joint_centre @ place_stack(plane, (turned[0, 0] * x, y, z), protocol, generator)
    signals = physical_signals(protocol.sequence, protocol.field, generator)
    if contrast == "random":
        signals = random_signals(generator)
        # How bright its fat is was drawn already.
        protocol = replace(protocol, sequence=replace(protocol.sequence, fat_left=1.0))
    name = protocol.name if contrast == "physical" else "random"
    return SeriesPlan(protocol, affine, turned @ np.linalg.inv(joint_centre), signals, name)
