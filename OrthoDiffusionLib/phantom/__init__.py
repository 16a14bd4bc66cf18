"""Phantom: synthetic joints whose truth is known."""

from OrthoDiffusionLib.phantom.centres import ANYWHERE, CENTRES, HELD_OUT
from OrthoDiffusionLib.phantom.joint_models import JOINT_MODELS
from OrthoDiffusionLib.phantom.study import (
    Anatomy,
    PhantomSeries,
    PhantomStudy,
    make_anatomy,
    make_study,
    scan_anatomy,
)

__all__ = [
    "ANYWHERE",
    "CENTRES",
    "HELD_OUT",
    "JOINT_MODELS",
    "Anatomy",
    "PhantomSeries",
    "PhantomStudy",
    "make_anatomy",
    "make_study",
    "scan_anatomy",
]
