"""The seeds that a data card names, in the words of people."""

from __future__ import annotations

import pytest

from OrthoDiffusionLib.bundles.opening import open_bundle
from OrthoDiffusionLib.bundles.registry import find_bundle
from OrthoDiffusionLib.bundles.training_seeds import named_seeds, seen_seeds


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", []),
        ("not published", []),
        ("as bundle 0.12.0, made on 2026-11-22", []),
        ("0 to 8", [(0, 8)]),
        ("7190 to 7269 for masks, 7306-7335 and 7340 for outlines.", [(7190, 7269), (7306, 7335), (7340, 7340)]),
        ("0:200; outlines: 300 to 302", [(0, 199), (300, 302)]),
    ],
)
def test_seeds_are_read_off_a_card(text: str, named: list[tuple[int, int]]) -> None:
    assert [(one[0], one[-1]) for one in named_seeds(text)] == named


def test_seeds_that_were_trained_on_are_told_from_cards_that_name_none() -> None:
    assert seen_seeds("7 to 9 for masks, 12", range(8, 13)) == (8, 9, 12)
    assert seen_seeds("7 to 9", range(90000, 90030)) == ()
    assert seen_seeds("not published", range(5)) is None


def test_the_demonstration_model_never_saw_the_phantoms_that_evaluate_takes() -> None:
    seeds = open_bundle(find_bundle(None)).manifest.training_data.seeds
    assert seen_seeds(seeds, range(90000, 90200)) == ()
    assert seen_seeds(seeds, range(8000, 8002)) == (8000, 8001)
