"""The scanner's physics: signals that the equations give, artefacts that keep what they should, centres that differ."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.phantom.artefacts import folded, noisy, shaded, shifted_fat, unevenly_suppressed
from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas
from OrthoDiffusionLib.phantom.centres import ANYWHERE, CENTRES, HELD_OUT, TRAINING
from OrthoDiffusionLib.phantom.contrast import SPREAD, physical_signals, random_signals
from OrthoDiffusionLib.phantom.protocol import PRESETS, draw_protocol
from OrthoDiffusionLib.phantom.scanner import scan
from OrthoDiffusionLib.phantom.sequences import Sequence
from OrthoDiffusionLib.phantom.series_plan import plan_series
from OrthoDiffusionLib.phantom.texture import textured
from OrthoDiffusionLib.phantom.tissues import RELAXATION, Relaxation, Tissue, relaxation
from OrthoDiffusionLib.volumes.windows import WINDOW_SLICES


def water(sequence: Sequence, tissue: Tissue, field: float = 3.0) -> float:
    return sequence.signal(relaxation(tissue, field))[0]


def test_spin_echo_signal_is_the_equation() -> None:
    signal = Sequence("spin echo", 2000, 40).signal(Relaxation(0.8, 1000, 50, fat=0.25))
    expected = 0.8 * (1 - np.exp(-2)) * np.exp(-0.8)
    assert signal == pytest.approx((0.75 * expected, 0.25 * expected))


def test_spoiled_gradient_echo_is_brightest_at_the_ernst_angle() -> None:
    tissue = Relaxation(1.0, 1000, 1e6)
    ernst = np.degrees(np.arccos(np.exp(-30 / 1000)))
    angles = np.arange(2, 60)
    signals = [Sequence("spoiled gradient echo", 30, 5, flip).signal(tissue)[0] for flip in angles]
    assert angles[int(np.argmax(signals))] == pytest.approx(ernst, abs=1)


def test_steady_state_without_transverse_memory_is_the_spoiled_one() -> None:
    """With T2 far below TR the second echo is gone and the first one is that of a spoiled sequence."""
    tissue = Relaxation(1.0, 800, 1.0)
    echoes = [Sequence(family, 30, 0, 25).signal(tissue)[0] for family in ("steady state", "spoiled gradient echo")]
    assert echoes[0] == pytest.approx(echoes[1], rel=1e-3)
    assert Sequence("DESS", 30, 0, 25).signal(tissue)[0] == pytest.approx(echoes[0], rel=1e-3)


def test_contrasts_look_as_readers_know_them() -> None:
    for field in (1.5, 3.0):
        proton = Sequence("spin echo", 3000, 35, fat_left=0.1)
        order = [water(proton, t, field) for t in (Tissue.FLUID, Tissue.CARTILAGE, Tissue.MENISCUS, Tissue.TENDON)]
        assert order == sorted(order, reverse=True)
        assert sum(proton.signal(relaxation(Tissue.MARROW, field))) < water(proton, Tissue.OEDEMA, field)
        t1 = Sequence("spin echo", 600, 15)
        assert sum(t1.signal(relaxation(Tissue.FAT, field))) > 2 * water(t1, Tissue.FLUID, field)
        dess = Sequence("DESS", 16.3, 4.7, 25, fat_left=0.05)
        assert water(dess, Tissue.FLUID, field) > 1.5 * water(dess, Tissue.CARTILAGE, field)


def test_every_tissue_has_figures_for_both_fields() -> None:
    assert set(RELAXATION) == set(Tissue)
    assert all(len(columns) == 2 for columns in RELAXATION.values())


def test_folding_keeps_the_signal_and_fat_moves_along_the_read_axis() -> None:
    image = np.random.default_rng(0).random((40, 30, 4), np.float32)
    assert folded(image, 5).sum() == pytest.approx(image.sum(), rel=1e-5)
    assert folded(image, 0) is image
    protocol = draw_protocol(Plane.CORONAL, CENTRES["harbour"], np.random.default_rng(1))
    spot = np.zeros((40, 30, 4), np.float32)
    spot[20, 15, 2] = 1
    moved = shifted_fat(spot, dataclasses.replace(protocol, fat_shift=2.25, read_axis=1))
    assert moved[20, 17, 2] == pytest.approx(0.75)
    assert moved[20, 18, 2] == pytest.approx(0.25)


def test_noise_is_rician() -> None:
    noise = noisy(np.zeros((60, 60, 8), np.float32) + np.float32(1e-3), 1e-3, np.random.default_rng(0))
    # Without signal the magnitude is Rayleigh distributed: mean sigma sqrt(pi / 2), sigma = 1.
    assert noise.mean() == pytest.approx(np.sqrt(np.pi / 2), rel=0.02)


def test_thick_slices_average_what_lies_in_them() -> None:
    """A plane of muscle that covers the lower half of a slice gives half the signal, a quarter a quarter."""
    canvas = AnatomyCanvas((-30, -30, -30), (30, 30, 30))
    canvas.tissue[:, :, : canvas.tissue.shape[2] // 2] = Tissue.MUSCLE
    protocol = dataclasses.replace(
        draw_protocol(Plane.AXIAL, CENTRES["hill"], np.random.default_rng(0)),
        pixel=(1.0, 1.0), pixels=(31, 31), slices=5, slice_distance=4.0, slice_thickness=4.0, shading=0.0,
        sharpening=0.0, ghosts=0.0, fold=0.0, signal_to_noise=1e6,
    )  # fmt: skip
    affine = np.diag([1.0, 1.0, 4.0, 1.0])
    affine[:3, 3] = (-15, -15, -9)
    signals = np.zeros((2, len(Tissue)), np.float32)
    signals[0, Tissue.MUSCLE] = 1
    image, _ = scan(canvas, affine, np.eye(4), protocol, signals, np.random.default_rng(0))
    profile = image.mean(axis=(0, 1)) / image[:, :, 0].mean()
    # Slices at -9, -5, -1, 3, 7 mm, 4 mm thick: the third reaches from -3 to 1. 6 % of it is the tissue's unevenness.
    assert profile[1] == pytest.approx(1, abs=0.12)
    assert profile[2] == pytest.approx(0.75, abs=0.12)
    assert profile[3] == pytest.approx(0, abs=0.02)


def test_gradient_echoes_lose_what_spin_echoes_refocus() -> None:
    tissue = Relaxation(0.6, 900, 9)
    for family, share in (("spin echo", 1.0), ("DESS", np.exp(-5 / 15)), ("spoiled gradient echo", np.exp(-5 / 15))):
        sequence = Sequence(family, 20, 5, 25)
        assert sequence.signal(tissue, 15)[0] == pytest.approx(share * sequence.signal(tissue)[0])
    dess = np.stack(
        [physical_signals(Sequence("DESS", 16.3, 4.7, 25, 0.05), 3.0, np.random.default_rng(n))[0] for n in range(20)]
    )
    ratio = np.median(dess[:, Tissue.MENISCUS] / dess[:, Tissue.CARTILAGE])
    # The one real knee at hand has 0.25 to 0.3.
    assert 0.2 < ratio < 0.4


def test_the_coil_is_brightest_at_the_skin_and_not_at_the_limbs_ends() -> None:
    """A sagittal stack: the first axis runs to the back, the second one along the limb."""
    image = np.ones((60, 90, 5), np.float32)
    affine = np.diag([2.0, 2.0, 4.0, 1.0])[[2, 0, 1, 3]]
    affine[:3, 3] = (-8, -60, -90)
    fields = np.stack([shaded(image, affine, 0.6, np.random.default_rng(seed)) for seed in range(40)])
    profile = fields.mean(axis=(0, 3))
    assert profile[[0, -1]].mean() > 1.1 * profile[25:35].mean()
    assert profile[:, [0, -1]].mean() < 0.95 * profile[:, 40:50].mean()


def test_suppression_is_uneven_and_leaves_no_more_fat_than_there_is() -> None:
    fat = np.full((40, 40, 6), 0.1, np.float32)
    assert unevenly_suppressed(fat, 1.0, np.random.default_rng(0)) is fat
    left = np.stack([unevenly_suppressed(fat, 0.1, np.random.default_rng(seed)) for seed in range(40)])
    assert left.min() > 0 and left.max() <= 1.0
    assert np.median(left) == pytest.approx(0.1, rel=0.2)
    assert left.max(axis=(1, 2, 3)).min() < 0.35 < left.max()


def test_random_signals_differ_each_time_and_physical_ones_only_a_little() -> None:
    generator = np.random.default_rng(0)
    sequence = Sequence("spin echo", 3000, 35, fat_left=0.1)
    physical = np.stack([physical_signals(sequence, 3.0, generator)[0] for _ in range(20)])
    drawn = np.stack([random_signals(generator) for _ in range(20)])
    random, spread = drawn[:, 0] + drawn[:, 1], drawn[:, 2]
    muscle = Tissue.MUSCLE
    assert physical[:, muscle].std() < 0.15 * physical[:, muscle].mean()
    assert random[:, muscle].std() > 0.15
    assert 0 <= random.min() <= random.max() <= 1
    assert 0.1 < spread.max() <= SPREAD
    assert spread[:, muscle].std() > 0.02 and (spread <= random / 2 + 1e-6).all()


def test_textures_are_those_of_the_tissues_and_thick_slices_keep_them() -> None:
    """A tissue with a spread of 0.1 and one that is even; then two such tissues as they are scanned."""
    signal = np.full((80, 80, 12), 0.5, np.float32)
    spread = np.where(np.arange(80) < 40, np.float32(0.1), 0)[:, None, None] + np.zeros_like(signal)
    for spacing in ((0.5, 0.5, 4.5), (1.0, 1.0, 1.0)):
        texture = textured(signal, spread, spacing, np.random.default_rng(3))
        assert (texture[40:] == 0.5).all()
        assert texture[:40].std() == pytest.approx(0.1, rel=0.15)
        assert texture[:40].mean() == pytest.approx(0.5, abs=0.02)
        rough = texture[:40]
        along = np.corrcoef(rough[1:].ravel(), rough[:-1].ravel())[0, 1]
        across = np.corrcoef(rough[:, :, 1:].ravel(), rough[:, :, :-1].ravel())[0, 1]
        assert along > 0.2
        assert abs(across) < 0.02 if spacing[2] > 2 else across == pytest.approx(along, abs=0.05)
    assert np.array_equal(texture, textured(signal, spread, spacing, np.random.default_rng(3)))
    canvas = AnatomyCanvas((-30, -30, -30), (30, 30, 30))
    canvas.tissue[:] = Tissue.MUSCLE
    canvas.tissue[: canvas.tissue.shape[0] // 2] = Tissue.FAT
    protocol = dataclasses.replace(
        draw_protocol(Plane.AXIAL, CENTRES["hill"], np.random.default_rng(0)),
        pixel=(0.6, 0.6), pixels=(81, 81), slices=10, slice_distance=4.5, slice_thickness=4.0, shading=0.0,
        sharpening=0.0, ghosts=0.0, fold=0.0, signal_to_noise=1e6,
    )  # fmt: skip
    affine = np.diag([0.6, 0.6, 4.5, 1.0])
    affine[:3, 3] = (-24, -24, -20)
    signals = np.zeros((3, len(Tissue)), np.float32)
    signals[0, [Tissue.MUSCLE, Tissue.FAT]] = 0.5
    signals[2, Tissue.FAT] = 0.13
    image, _ = scan(canvas, affine, np.eye(4), protocol, signals, np.random.default_rng(0))
    fat, muscle = (part.std() / part.mean() for part in (image[:36], image[45:]))
    # A spread of 0.26 of the mean, which the scan's own point spread halves at most.
    assert fat > 0.13 and fat > 1.5 * muscle


def test_fat_is_misplaced_in_contrasts_of_chance_and_water_is_not() -> None:
    """A block of half fat and half muscle, as bright as each other: a gap at one end of the fat, muscle over the other.

    Without the shift it is even.
    """
    canvas = AnatomyCanvas((-30, -30, -30), (30, 30, 30))
    canvas.tissue[:] = Tissue.MUSCLE
    canvas.tissue[: canvas.tissue.shape[0] // 2] = Tissue.FAT
    signals = random_signals(np.random.default_rng(0))
    assert signals[0, Tissue.FAT] == 0 < signals[1, Tissue.FAT]
    assert signals[1, Tissue.MUSCLE] == 0 < signals[0, Tissue.MUSCLE]
    signals[0, Tissue.MUSCLE] = signals[1, Tissue.FAT] = 0.5
    signals[2] = 0
    protocol = dataclasses.replace(
        draw_protocol(Plane.AXIAL, ANYWHERE, np.random.default_rng(0)),
        pixel=(0.6, 0.6), pixels=(81, 81), slices=4, slice_distance=4.5, slice_thickness=4.0, shading=0.0,
        sharpening=0.0, ghosts=0.0, fold=0.0, signal_to_noise=1e6, read_axis=0, fat_shift=2.0,
        sequence=Sequence("spin echo", 3000, 30),
    )  # fmt: skip
    affine = np.diag([0.6, 0.6, 4.5, 1.0])
    affine[:3, 3] = (-24, -24, -9)
    grey = {}
    for shift in (0.0, 2.0, -2.0):
        shifted = dataclasses.replace(protocol, fat_shift=shift)
        image, _ = scan(canvas, affine, np.eye(4), shifted, signals, np.random.default_rng(0))
        # Fat ends at pixel 39 or 40.
        grey[shift] = image[37:43].mean(axis=(1, 2)) / image[50:60].mean()
    assert np.abs(grey[0.0] - 1).max() < 0.1
    assert grey[2.0].max() > 1.5 and grey[2.0].min() > 0.9
    assert grey[-2.0].min() < 0.5 and grey[-2.0].max() < 1.1


def test_contrasts_of_chance_shift_their_fat_and_suppress_none() -> None:
    """What is drawn for its tissues is what is scanned, whatever the sequence would have left of it."""
    plans = [
        plan_series("knee", "right", Plane.SAGITTAL, ANYWHERE, "random", np.eye(4), np.random.default_rng(seed))
        for seed in range(40)
    ]
    assert {plan.protocol.sequence.fat_left for plan in plans} == {1.0}
    shifts = [abs(plan.protocol.fat_shift) for plan in plans]
    assert min(shifts) < 1 and max(shifts) > 2


def test_the_held_out_centre_is_not_among_those_for_training() -> None:
    assert HELD_OUT in CENTRES
    assert HELD_OUT not in TRAINING
    for centre in CENTRES.values():
        for shares in centre.contrasts.values():
            assert sum(shares.values()) == pytest.approx(1)


def test_every_evaluation_centre_lies_beyond_all_centres_for_training() -> None:
    """In what scanners and protocols differ in; contrasts that none has in that plane, but fluid stays visible."""
    training = [CENTRES[key] for key in TRAINING]
    known = {name for centre in training for shares in centre.contrasts.values() for name in shares}
    suppressed = [
        PRESETS[name].echo for name in known if PRESETS[name].family == "spin echo" and PRESETS[name].suppressed
    ]
    for centre in (CENTRES[key] for key in CENTRES if key not in TRAINING):
        for quantity in ("fat_left", "bandwidth"):
            assert beyond(getattr(centre, quantity), [getattr(other, quantity) for other in training]), quantity
        assert centre.signal_to_noise[0] < min(other.signal_to_noise[0] for other in training)
        assert centre.gap[1] > max(other.gap[1] for other in training)
        for plane, shares in centre.contrasts.items():
            fluid = {name: share for name, share in shares.items() if PRESETS[name].suppressed}
            assert sum(fluid.values()) >= 0.7
            assert all(beyond(PRESETS[name].echo, suppressed) for name in fluid)
            assert not set(shares) & {name for other in training for name in other.contrasts[plane]}
        assert all(PRESETS[name].suppressed for name in centre.contrasts[Plane.AXIAL])
        others = {plane for plane, shares in centre.contrasts.items() if set(shares) & {"T1", "PD"}}
        assert others == {Plane.SAGITTAL, Plane.CORONAL}


def beyond(ours: tuple[float, float], others: list[tuple[float, float]]) -> bool:
    """Whether a range has nothing in common with any of others."""
    return all(ours[0] > high or ours[1] < low for low, high in others)


def test_findings_are_bright_at_every_evaluation_centre() -> None:
    for centre in (CENTRES[key] for key in CENTRES if key not in TRAINING):
        drawn = [draw_protocol(plane, centre, np.random.default_rng(seed)) for seed in range(60) for plane in Plane]
        assert min(protocol.slices for protocol in drawn) >= WINDOW_SLICES
        for protocol in drawn:
            if not PRESETS[protocol.name].suppressed:
                continue
            signal = {tissue: sum(protocol.sequence.signal(relaxation(tissue, centre.field))) for tissue in Tissue}
            assert signal[Tissue.FLUID] > 1.1 * signal[Tissue.CARTILAGE]
            assert signal[Tissue.OEDEMA] > 1.3 * signal[Tissue.MARROW]
            assert signal[Tissue.TORN_FIBRES] > 1.5 * signal[Tissue.LIGAMENT]
            assert signal[Tissue.FLUID] > 2 * signal[Tissue.MENISCUS]


def test_fat_that_is_bright_stays_within_two_pixels_and_nothing_folds_along_the_read_axis() -> None:
    """At 3 T, with 260 Hz per pixel or more where fat is not suppressed, and with 130 where it is."""
    drawn = [draw_protocol(Plane.CORONAL, CENTRES["harbour"], np.random.default_rng(seed)) for seed in range(200)]
    bright = [abs(protocol.fat_shift) for protocol in drawn if protocol.name == "T1"]
    faint = [abs(protocol.fat_shift) for protocol in drawn if protocol.name == "PD-FS"]
    assert 0.8 < min(bright) < max(bright) < 1.75
    assert 2 < max(faint) < 3.45
    assert {protocol.read_axis for protocol in drawn if protocol.fold > 0} == {1}
