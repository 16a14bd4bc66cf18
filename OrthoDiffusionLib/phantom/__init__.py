"""Phantom: synthetic joints whose truth is known."""

from OrthoDiffusionLib.phantom.centres import CENTRES, HELD_OUT
from OrthoDiffusionLib.phantom.findings import BALANCED_RATES, CLINICAL_RATES
from OrthoDiffusionLib.phantom.study import (
    Anatomy,
    PhantomSeries,
    PhantomStudy,
    make_anatomy,
    make_study,
    scan_anatomy,
)

__all__ = [
    "BALANCED_RATES",
    "CENTRES",
    "CLINICAL_RATES",
    "HELD_OUT",
    "Anatomy",
    "PhantomSeries",
    "PhantomStudy",
    "make_anatomy",
    "make_study",
    "scan_anatomy",
]
