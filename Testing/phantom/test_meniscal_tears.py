"""Tears of the menisci: clefts that reach the surface, and the oedema that a minority of them has beside it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from OrthoDiffusionLib.anatomy import load_joint
from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas
from OrthoDiffusionLib.phantom.knee_menisci import paint_menisci
from OrthoDiffusionLib.phantom.knee_shape import draw_shape
from OrthoDiffusionLib.phantom.tissues import Tissue

KNEE = load_joint("knee")
MEDIAL = KNEE.structure("medial_meniscus").label
SHAPE = draw_shape(np.random.default_rng(0))

# Ranges of the fifth number drawn for a meniscus, which chooses the kind of tear, and a severity.
KINDS = {
    "horizontal": (0.0, 0.33, 0.6),
    "vertical": (0.34, 0.66, 0.6),
    "radial": (0.67, 1.0, 0.6),
    "complex": (0.0, 0.4, 0.9),
}


def menisci(seed: int, severity: float) -> AnatomyCanvas:
    """Both menisci alone, in fat; the medial one torn."""
    canvas = AnatomyCanvas((-56, -42, -12), (56, 42, 18), SHAPE.describe, SHAPE.scale)
    canvas.tissue[:] = Tissue.FAT
    paint_menisci(canvas, SHAPE, KNEE, {"MM": severity, "LM": 0.0}, np.random.default_rng(seed))
    return canvas


def medial_oedema(seed: int, severity: float) -> npt.NDArray[np.bool_]:
    tissue = menisci(seed, severity).tissue
    oedema: npt.NDArray[np.bool_] = tissue[: len(tissue) // 2] == Tissue.SOFT_OEDEMA
    return oedema


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_tear_reaches_the_surface(kind: str) -> None:
    low, high, severity = KINDS[kind]
    seeds = [seed for seed in range(40) if low < np.random.default_rng(seed).uniform(size=5)[4] < high][:4]
    for seed in seeds:
        canvas = menisci(seed, severity)
        tear = canvas.tissue == Tissue.FLUID
        assert tear.sum() > 100
        outside = (canvas.labels != MEDIAL) & ~tear
        # Through the meniscus' surface in the image: the cleft's fluid lies against what is not meniscus.
        assert (ndimage.binary_dilation(outside) & tear).sum() > 15
        # A cleft is drawn as part of its meniscus; a radial gap is not.
        labelled = (canvas.labels[tear] == MEDIAL).mean()
        if kind == "radial":
            assert labelled == 0
        elif kind == "complex":
            assert 0 < labelled < 1
        else:
            assert labelled == 1
            assert (ndimage.binary_dilation(canvas.labels == 0) & tear).any()


def test_oedema_beside_a_meniscus_is_no_sign_of_a_tear() -> None:
    shares = [np.mean([medial_oedema(seed, severity).any() for seed in range(40)]) for severity in (0.0, 1.0)]
    assert shares[0] < 0.2
    # Three standard errors round 0.4.
    assert 0.15 < shares[1] < 0.65


def test_oedema_beside_a_meniscus_has_no_straight_edge() -> None:
    present = [oedema for seed in range(30) if (oedema := medial_oedema(seed, 1.0)).sum() > 200]
    assert present
    for oedema in present:
        # A block fills most of its box; a crescent with ragged ends does not.
        box = oedema[ndimage.find_objects(oedema.astype(np.uint8))[0]]
        assert box.mean() < 0.4
