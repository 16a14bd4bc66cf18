"""A reading of structures fitted to studies: a logistic regression for each finding, of which there is one best."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

Matrix = npt.NDArray[np.float64]


class ReadingFit(NamedTuple):
    """What is fitted: weights (findings, statistics), 0 where a finding reads none; and biases, (findings,)."""

    weight: Matrix
    bias: npt.NDArray[np.float64]


def fit_reading(statistics: Matrix, reads: Matrix, present: Matrix, penalty: float) -> ReadingFit:
    """Weights and biases of the lowest penalised cross entropy.

    The problem is convex, so that no learning rate and no number of epochs has a say in how sure the answers are: with
    few studies for dozens of statistics the penalty alone keeps them from being learnt by heart.

    Args:
        statistics: standardised, (samples, statistics).
        reads: which of them each finding reads, (findings, statistics), 0 or 1.
        present: 0, 1 or NaN for unknown, (samples, findings).
        penalty: half of it times the squared weights is added to the cross entropy summed over the samples.

    Returns:
        the fit; for a finding that is present in all samples that are known or in none, no weights, and as bias the
        logit of its frequency, one sample with it and one without added.
    """
    findings = present.shape[1]
    fit = ReadingFit(np.zeros(reads.shape), np.zeros(findings))
    for finding in range(findings):
        known = np.isfinite(present[:, finding])
        truth = present[known, finding]
        fit.bias[finding] = math.log((truth.sum() + 1) / ((1 - truth).sum() + 1))
        columns = reads[finding] > 0
        if columns.any() and len(set(truth.tolist())) == 2:
            found = _logistic_regression(statistics[known][:, columns], truth, penalty, fit.bias[finding])
            fit.weight[finding, columns], fit.bias[finding] = found[:-1], found[-1]
    return fit


def _logistic_regression(values: Matrix, truth: npt.NDArray[np.float64], penalty: float, bias: float) -> Matrix:
    """Weights and, last, the bias, which is not penalised."""
    signs = 2 * truth - 1

    def loss_and_gradient(solution: Matrix) -> tuple[float, Matrix]:
        weights = solution[:-1]
        margins = signs * (values @ weights + solution[-1])
        slopes = -signs / (1 + np.exp(np.minimum(margins, 500.0)))
        loss = np.logaddexp(0, -margins).sum() + penalty / 2 * weights @ weights
        return float(loss), np.append(values.T @ slopes + penalty * weights, slopes.sum())

    start = np.append(np.zeros(values.shape[1]), bias)
    found: Matrix = minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B").x
    return found
