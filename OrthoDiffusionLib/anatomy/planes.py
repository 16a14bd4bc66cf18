"""The three planes a joint is imaged in, and how the network wants each of them stored."""

from __future__ import annotations

from enum import Enum


class Plane(str, Enum):
    """An imaging plane; iteration follows the published pose order (axial, sagittal, coronal)."""

    AXIAL = "axial"
    SAGITTAL = "sagittal"
    CORONAL = "coronal"

    @property
    def pose_id(self) -> int:
        """The published number of the plane: 0 axial, 1 sagittal, 2 coronal."""
        return list(Plane).index(self)

    @property
    def network_axcodes(self) -> tuple[str, str, str]:
        """Directions in which i, j and k grow in the network's input (nibabel axis codes).

        dcm2niix stores a series so: image column, image row from the bottom up, slice along row x column.
        """
        return _NETWORK_AXCODES[self]

    @property
    def normal_axis(self) -> int:
        """The RAS axis that the slices are stacked along: 0 right, 1 anterior, 2 superior."""
        return _NORMAL_AXIS[self]


_NETWORK_AXCODES = {
    Plane.AXIAL: ("L", "A", "S"),
    Plane.SAGITTAL: ("P", "S", "R"),
    Plane.CORONAL: ("L", "S", "P"),
}
_NORMAL_AXIS = {Plane.SAGITTAL: 0, Plane.CORONAL: 1, Plane.AXIAL: 2}
