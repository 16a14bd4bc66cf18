"""Phantom: synthetic joints whose truth is known."""

from OrthoDiffusionLib.phantom.findings import BALANCED_RATES, CLINICAL_RATES
from OrthoDiffusionLib.phantom.study import PhantomSeries, PhantomStudy, make_study

__all__ = ["BALANCED_RATES", "CLINICAL_RATES", "PhantomSeries", "PhantomStudy", "make_study"]
