"""A reading of structures: the one best regression, whatever the order, and held back where studies are few."""

from __future__ import annotations

import numpy as np
import pytest

from OrthoDiffusionLib.training.reading_fit import ReadingFit
from OrthoDiffusionLib.training.reading_fit import fit_reading as fit_counted


def drawn(samples: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Statistics, and two findings of which the first depends on the first two statistics, the second on the third."""
    generator = np.random.Generator(np.random.PCG64(seed))
    values = generator.normal(size=(samples, 4))
    logits = np.stack([2 * values[:, 0] - values[:, 1] - 1, 1.5 * values[:, 2]], axis=1)
    return values, (generator.random((samples, 2)) < 1 / (1 + np.exp(-logits))).astype(float)


def fit_reading(values: np.ndarray, reads: np.ndarray, present: np.ndarray, penalty: float) -> ReadingFit:
    """Of samples that count alike."""
    return fit_counted(values, reads, present, np.ones(len(values)), penalty)


READS = np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]])


def test_weights_that_made_the_findings_are_found_and_probabilities_follow_frequencies() -> None:
    values, present = drawn(20_000)
    fit = fit_reading(values, READS, present, penalty=3.0)
    assert np.allclose(fit.weight, [[2, -1, 0, 0], [0, 0, 1.5, 0]], atol=0.1)
    assert np.allclose(fit.bias, [-1, 0], atol=0.1)
    assert (fit.weight[READS == 0] == 0).all()
    probabilities = 1 / (1 + np.exp(-(values @ fit.weight.T + fit.bias)))
    assert np.allclose(probabilities.mean(axis=0), present.mean(axis=0), atol=1e-3)


def test_it_is_the_lowest_penalised_cross_entropy() -> None:
    values, present = drawn(60)
    fit = fit_reading(values, READS, present, penalty=2.0)

    def loss(weight: np.ndarray, bias: np.ndarray) -> float:
        logits = values @ weight.T + bias
        return float(np.logaddexp(0, -(2 * present - 1) * logits).sum() + (weight**2).sum())

    best = loss(fit.weight, fit.bias)
    generator = np.random.Generator(np.random.PCG64(1))
    for _ in range(50):
        step = generator.normal(scale=0.02, size=fit.weight.shape) * READS
        assert loss(fit.weight + step, fit.bias + generator.normal(scale=0.02, size=2)) > best
    order = generator.permutation(60)
    shuffled = fit_reading(values[order], READS, present[order], penalty=2.0)
    assert np.allclose(shuffled.weight, fit.weight, atol=1e-8)


@pytest.mark.parametrize("penalty", [1e-4, 1.0, 100.0])
def test_the_solution_is_exact_whatever_holds_it_back(penalty: float) -> None:
    """Its gradient is zero, also for dozens of statistics that depend on each other."""
    generator = np.random.Generator(np.random.PCG64(4))
    values = generator.normal(size=(190, 12)) @ generator.normal(size=(12, 40)) + 0.1 * generator.normal(size=(190, 40))
    present = (generator.random((190, 1)) < 1 / (1 + np.exp(-values[:, :1]))).astype(float)
    fit = fit_reading(values, np.ones((1, 40)), present, penalty)
    wrong = 1 / (1 + np.exp(-(values @ fit.weight.T + fit.bias))) - present
    assert np.abs(values.T @ wrong + penalty * fit.weight.T).max() < 1e-5
    assert abs(wrong.sum()) < 1e-5


def test_the_series_of_a_study_count_as_much_as_one() -> None:
    values, present = drawn(100)
    series = np.repeat(np.arange(100), 1 + 3 * present[:, 0].astype(int))
    counts = 1 / np.bincount(series)[series]
    once = fit_reading(values, READS, present, penalty=1.0)
    repeated = fit_counted(values[series], READS, present[series], counts, 1.0)
    assert np.allclose(repeated.weight, once.weight) and np.allclose(repeated.bias, once.bias)


def test_a_finding_that_a_statistic_tells_without_an_error_gets_no_endless_weight() -> None:
    values = np.array([[-1.0], [-0.5], [0.5], [1.0]])
    present = np.array([[0.0], [0.0], [1.0], [1.0]])
    weak, strong = (fit_reading(values, np.ones((1, 1)), present, penalty).weight[0, 0] for penalty in (0.1, 10.0))
    assert 0 < strong < 0.5 < weak < 10


def test_studies_of_which_a_finding_is_unknown_have_no_say_in_it() -> None:
    values, present = drawn(200)
    known = fit_reading(values[:100], READS, present[:100], penalty=1.0)
    present[100:, 0] = np.nan
    both = fit_reading(values, READS, present, penalty=1.0)
    assert np.allclose(both.weight[0], known.weight[0]) and np.isclose(both.bias[0], known.bias[0])
    assert not np.allclose(both.weight[1], known.weight[1])


@pytest.mark.parametrize(("truth", "bias"), [(0.0, np.log(1 / 11)), (1.0, np.log(11)), (np.nan, 0.0)])
def test_a_finding_that_always_or_never_occurs_is_as_frequent_as_it_was(truth: float, bias: float) -> None:
    values = np.random.Generator(np.random.PCG64(0)).normal(size=(10, 2))
    fit = fit_reading(values, np.ones((1, 2)), np.full((10, 1), truth), penalty=1.0)
    assert (fit.weight == 0).all() and fit.bias[0] == pytest.approx(bias)


def test_a_finding_that_no_structure_shows_is_as_frequent_as_it_was() -> None:
    values, present = drawn(30)
    fit = fit_reading(values, np.zeros((2, 4)), present, penalty=1.0)
    rest = 30 - present.sum(axis=0)
    assert (fit.weight == 0).all() and np.allclose(fit.bias, np.log((present.sum(axis=0) + 1) / (rest + 1)))
