"""A phantom study: three series of one synthetic joint, and the truth about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas
from OrthoDiffusionLib.phantom.centres import ANYWHERE, CENTRES, TRAINING
from OrthoDiffusionLib.phantom.findings import Prevalence, draw_findings
from OrthoDiffusionLib.phantom.joint_models import JOINT_MODELS, Sex
from OrthoDiffusionLib.phantom.scanner import scan
from OrthoDiffusionLib.phantom.series_plan import Contrast, plan_series
from OrthoDiffusionLib.volumes.volume import SeriesSource, Volume


@dataclass(frozen=True)
class PhantomSeries:
    """A series and its truth: labels of the voxel centres, int16, on the volume's grid."""

    volume: Volume
    labels: npt.NDArray[np.int16]
    contrast: str


@dataclass(frozen=True)
class PhantomStudy:
    """Three series of one joint.

    Attributes:
        joint: whose vocabulary labels and findings are of.
        planes: one series a plane.
        findings: severity of each finding, 0 where absent; empty where nothing is known of them.
        laterality: `right` or `left`.
        centre: where it was scanned.
        seed: that makes this study again.
        label_map: what the label map holds that is its anatomy (`content_name`); None for a drawn joint.
        sex: that its sizes were drawn for; None where the joint's are of adults of any, or of a label map.
    """

    joint: str
    planes: Mapping[Plane, PhantomSeries]
    findings: Mapping[str, float]
    laterality: str
    centre: str
    seed: int
    label_map: str | None = None
    sex: Sex | None = None


@dataclass(frozen=True)
class Anatomy:
    """A joint before any scanner looks at it.

    Attributes:
        joint: whose vocabulary labels and findings are of.
        canvas: tissues and structures in the frame of a right joint.
        findings: severity of each finding, 0 where absent; empty where nothing is known of them.
        laterality: `right` or `left`; a left joint is the canvas mirrored.
        seed: that makes it again.
        label_map: what the label map holds that it was made from (`content_name`); None for a drawn joint.
        sex: that its sizes were drawn for; None where the joint's are of adults of any, or of a label map.
    """

    joint: str
    canvas: AnatomyCanvas
    findings: Mapping[str, float]
    laterality: str
    seed: int
    label_map: str | None = None
    sex: Sex | None = None


def make_study(
    seed: int,
    joint: str = "knee",
    findings: Mapping[str, float] | None = None,
    prevalence: Prevalence = "balanced",
    centre: str | None = None,
    contrast: Contrast = "physical",
) -> PhantomStudy:
    """Make a phantom study; the same arguments give the same bytes.

    Arguments and errors are those of `make_anatomy` and `scan_anatomy`.
    """
    return scan_anatomy(make_anatomy(seed, joint, findings, prevalence), seed, centre, contrast)


def make_anatomy(
    seed: int, joint: str = "knee", findings: Mapping[str, float] | None = None, prevalence: Prevalence = "balanced"
) -> Anatomy:
    """Make a joint.

    Args:
        seed: 0 or more.
        joint: a key of `JOINT_MODELS`.
        findings: severity (0 to 1) of some findings; those that are not named are absent. None draws them.
        prevalence: how often each finding is drawn.

    Raises:
        ValueError: for a joint without a phantom, or an unknown finding.
    """
    if joint not in JOINT_MODELS:
        raise ValueError(f"there is no phantom of the {joint}")
    model = JOINT_MODELS[joint]
    shape, illness, lesion = _streams(seed, 3)
    severity = draw_findings(illness, model.rates[prevalence])
    if findings is not None:
        if unknown := set(findings) - set(severity):
            raise ValueError(f"unknown findings: {', '.join(sorted(unknown))}")
        severity = {key: float(findings.get(key, 0.0)) for key in severity}
    laterality = "left" if shape.random() < 0.5 else "right"
    canvas, sex = model.paint(severity, shape, lesion)
    return Anatomy(joint, canvas, severity, laterality, seed, sex=sex)


def scan_anatomy(
    anatomy: Anatomy, seed: int, centre: str | None = None, contrast: Contrast = "physical"
) -> PhantomStudy:
    """Scan a joint in three planes; another seed is another visit, at another place with other noise.

    Args:
        anatomy: of the joint.
        seed: of the scan, 0 or more.
        centre: a key of `CENTRES`; None draws one of those for training, or takes `ANYWHERE` for a random contrast.
        contrast: `physical`, or `random` for tissues whose signals are drawn at random in each series, as are
            resolution and artefacts.

    Raises:
        ValueError: for an unknown centre, or one for a random contrast.
    """
    if centre is not None and centre not in CENTRES:
        raise ValueError(f"unknown centre {centre}; centres are {', '.join(CENTRES)}")
    if centre is not None and contrast == "random":
        raise ValueError(f"a random contrast has nothing of a centre, and {centre} is asked for")
    place, *scanners = _streams(seed, 3 + 1 + len(Plane))[3:]
    joint_centre = np.eye(4)
    joint_centre[:3, 3] = place.uniform(-60, 60, size=3)
    drawn = CENTRES[str(place.choice(TRAINING))] if contrast == "physical" else ANYWHERE
    site = drawn if centre is None else CENTRES[centre]
    planes = {}
    for plane, generator in zip(Plane, scanners, strict=True):
        plan = plan_series(anatomy.joint, anatomy.laterality, plane, site, contrast, joint_centre, generator)
        image, labels = scan(anatomy.canvas, plan.affine, plan.to_joint, plan.protocol, plan.signals, generator)
        source = SeriesSource(name=f"phantom {anatomy.seed} {plane.value}")
        planes[plane] = PhantomSeries(Volume(image, plan.affine, source), labels, plan.contrast)
    return PhantomStudy(
        anatomy.joint,
        planes,
        anatomy.findings,
        anatomy.laterality,
        site.key,
        anatomy.seed,
        anatomy.label_map,
        anatomy.sex,
    )


def _streams(seed: int, count: int) -> list[np.random.Generator]:
    """A stream for each purpose: what is drawn for one leaves the others as they are."""
    children = np.random.SeedSequence([seed, 20602]).spawn(count)
    return [np.random.Generator(np.random.PCG64(child)) for child in children]
