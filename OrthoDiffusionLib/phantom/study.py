"""A phantom study: three series of one synthetic knee, and the truth about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.phantom.findings import BALANCED_RATES, Rates, draw_findings
from OrthoDiffusionLib.phantom.knee import paint_knee
from OrthoDiffusionLib.phantom.knee_shape import draw_shape
from OrthoDiffusionLib.phantom.protocol import draw_protocol
from OrthoDiffusionLib.phantom.scanner import place_stack, scan
from OrthoDiffusionLib.volumes.volume import SeriesSource, Volume


@dataclass(frozen=True)
class PhantomSeries:
    """A series and its truth: labels of the voxel centres, int16, on the volume's grid."""

    volume: Volume
    labels: npt.NDArray[np.int16]
    contrast: str


@dataclass(frozen=True)
class PhantomStudy:
    """Three series of one knee.

    Attributes:
        planes: one series a plane.
        findings: severity of each finding, 0 where absent.
        laterality: `right` or `left`.
        seed: that makes this study again.
    """

    planes: Mapping[Plane, PhantomSeries]
    findings: Mapping[str, float]
    laterality: str
    seed: int


def make_study(
    seed: int,
    joint: str = "knee",
    findings: Mapping[str, float] | None = None,
    rates: Rates = BALANCED_RATES,
) -> PhantomStudy:
    """Make a phantom study; the same arguments give the same bytes.

    Args:
        seed: 0 or more.
        joint: `knee`.
        findings: severity (0 to 1) of some findings; those that are not named are absent. None draws them.
        rates: how often each finding is drawn.

    Raises:
        ValueError: for a joint without a phantom, or an unknown finding.
    """
    if joint != "knee":
        raise ValueError(f"there is no phantom of the {joint}")
    # One stream for each purpose: what is drawn for one leaves the others as they are.
    anatomy, illness, lesion, place, *scanners = (
        np.random.Generator(np.random.PCG64(child)) for child in np.random.SeedSequence([seed, 20602]).spawn(7)
    )
    severity = draw_findings(illness, rates)
    if findings is not None:
        if unknown := set(findings) - set(severity):
            raise ValueError(f"unknown findings: {', '.join(sorted(unknown))}")
        severity = {key: float(findings.get(key, 0.0)) for key in severity}
    laterality = "left" if anatomy.random() < 0.5 else "right"
    canvas = paint_knee(draw_shape(anatomy), severity, lesion)
    mirror = np.diag([-1.0 if laterality == "left" else 1.0, 1.0, 1.0, 1.0])
    joint_centre = np.eye(4)
    joint_centre[:3, 3] = place.uniform(-60, 60, size=3)
    to_joint = mirror @ np.linalg.inv(joint_centre)
    planes = {}
    for plane, generator in zip(Plane, scanners, strict=True):
        protocol = draw_protocol(plane, generator)
        affine = joint_centre @ place_stack(plane, protocol, generator)
        image, labels = scan(canvas, affine, to_joint, protocol, generator)
        source = SeriesSource(name=f"phantom {seed} {plane.value}")
        planes[plane] = PhantomSeries(Volume(image, affine, source), labels, protocol.name)
    return PhantomStudy(planes, severity, laterality, seed)
