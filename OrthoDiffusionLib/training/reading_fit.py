"""A reading of structures fitted to studies: a logistic regression for each finding, of which there is one best."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError

Vector = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float64]

STEEPEST = 1e-6
"""Largest gradient of the cross entropy, in units of samples, at which a solution is one."""


class ReadingFit(NamedTuple):
    """What is fitted: weights (findings, statistics), 0 where a finding reads none; and biases, (findings,)."""

    weight: Matrix
    bias: Vector


def fit_reading(statistics: Matrix, reads: Matrix, present: Matrix, counts: Vector, penalty: float) -> ReadingFit:
    """Weights and biases of the lowest penalised cross entropy.

    The problem is convex, so that no learning rate and no number of epochs has a say in how sure the answers are: with
    few studies for dozens of statistics the penalty alone keeps them from being learnt by heart.

    Args:
        statistics: standardised, (samples, statistics).
        reads: which of them each finding reads, (findings, statistics), 0 or 1.
        present: 0, 1 or NaN for unknown, (samples, findings).
        counts: how much each sample counts, (samples,), above 0: the series of a study together as much as one.
        penalty: half of it times the squared weights is added to the cross entropy summed over what the samples count.

    Returns:
        the fit; for a finding that is present in all samples that are known or in none, or that reads nothing, no
        weights, and as bias the logit of its frequency, one sample with it and one without added.

    Raises:
        OrthoDiffusionError: TRAINING_DIVERGED, when no solution is found.
    """
    findings = present.shape[1]
    fit = ReadingFit(np.zeros(reads.shape), np.zeros(findings))
    for finding in range(findings):
        known = np.isfinite(present[:, finding])
        truth, count = present[known, finding], counts[known]
        fit.bias[finding] = math.log((count @ truth + 1) / (count @ (1 - truth) + 1))
        columns = reads[finding] > 0
        if columns.any() and len(set(truth.tolist())) == 2:
            found = _logistic_regression(statistics[known][:, columns], truth, count, penalty, fit.bias[finding])
            fit.weight[finding, columns], fit.bias[finding] = found[:-1], found[-1]
    return fit


def _logistic_regression(values: Matrix, truth: Vector, count: Vector, penalty: float, bias: float) -> Vector:
    """Weights and, last, the bias, which is not penalised."""
    signs = 2 * truth - 1
    inputs = np.column_stack([values, np.ones(len(values))])
    penalties = np.append(np.full(values.shape[1], penalty), 0.0)

    def wrong(solution: Vector) -> Vector:
        """The probability that each sample is not what it is."""
        probabilities: Vector = np.exp(-np.logaddexp(0, signs * (inputs @ solution)))
        return probabilities

    def loss(solution: Vector) -> float:
        margins = signs * (inputs @ solution)
        return float(count @ np.logaddexp(0, -margins) + penalties @ solution**2 / 2)

    def gradient(solution: Vector) -> Vector:
        slopes: Vector = inputs.T @ (-signs * count * wrong(solution)) + penalties * solution
        return slopes

    def curvature(solution: Vector) -> Matrix:
        share = wrong(solution)
        matrix: Matrix = inputs.T @ (inputs * (count * share * (1 - share))[:, None]) + np.diag(penalties)
        return matrix

    start = np.append(np.zeros(values.shape[1]), bias)
    found = minimize(loss, start, jac=gradient, hess=curvature, method="trust-exact", options={"gtol": STEEPEST})
    if not found.success:
        raise OrthoDiffusionError(
            ErrorKind.TRAINING_DIVERGED,
            "The regression on what structures look like found no solution.",
            "Raise reading_penalty.",
            detail=str(found.message),
        )
    solution: Vector = found.x
    return solution
