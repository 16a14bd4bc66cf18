"""The recipe of the demonstration model: what it trains on what, without training it."""

from __future__ import annotations

import itertools

import pytest

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.bundles.training_seeds import named_seeds
from OrthoDiffusionLib.training import demonstration
from OrthoDiffusionLib.training.configurations import load_settings
from OrthoDiffusionLib.training.exporting import BundleCard

OUTLINES = tuple(outlines.seeds for outlines in demonstration.OUTLINES)
STAGES = (demonstration.MASK_SEEDS, *OUTLINES, demonstration.DIAGNOSIS_SEEDS)


def test_no_stage_learns_from_phantoms_of_another() -> None:
    """Outlines and findings are learnt from what the masks' networks find, which is too good where they learnt."""
    for one, other in itertools.combinations(STAGES, 2):
        assert set(one).isdisjoint(other)


def test_the_card_names_the_phantoms_that_the_recipe_trains_on() -> None:
    card = load_settings(BundleCard, "demonstration-card")
    assert {seed for span in named_seeds(card.seeds) for seed in span} == set(itertools.chain(*STAGES))
    assert card.studies == sum(map(len, STAGES))


@pytest.mark.parametrize("plane", Plane)
def test_rounds_of_masks_draw_other_windows_and_hold_out_the_same_phantoms(plane: Plane) -> None:
    rounds = [demonstration.mask_settings(plane, number + 1) for number in range(len(demonstration.MASK_STEPS))]
    assert len({settings.seed for settings in rounds}) == len(rounds)
    assert len({settings.split_seed for settings in rounds}) == 1
    assert {settings.block for settings in rounds} == {demonstration.BLOCKS[plane]}
