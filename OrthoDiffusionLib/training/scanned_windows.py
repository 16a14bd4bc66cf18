"""Windows that no scan was prepared for: of a kept anatomy, with contrast, resolution and artefacts of chance.

The idea is SynthSeg's (Billot et al. 2023, Med Image Anal 86:102789): each example of a training has another contrast.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.datasets.stacks import prepared_stack
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.phantom.centres import ANYWHERE
from OrthoDiffusionLib.phantom.kept_anatomy import KeptAnatomy, read_anatomy
from OrthoDiffusionLib.phantom.scanner import scan
from OrthoDiffusionLib.phantom.series_plan import plan_series
from OrthoDiffusionLib.phantom.stack_part import StackPart
from OrthoDiffusionLib.volumes.volume import Volume
from OrthoDiffusionLib.volumes.windows import WINDOW_SLICES

DAMAGED = (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What reading a zip raises of which some bytes are others: each of these in a trial of thousands."""


def scanned_window(
    anatomy: Path,
    plane: Plane,
    size: int,
    first_slice: Callable[[int, np.random.Generator], int],
    generator: np.random.Generator,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int8]]:
    """Scan a window of a series that is drawn for it; of the other slices nothing is computed.

    Args:
        anatomy: file of what is scanned.
        plane: of the series.
        size: pixels.
        first_slice: draws where the window begins in a stack of so many slices.
        generator: draws contrast, resolution, place and artefacts.

    Returns:
        intensities and labels, (16, size, size); a stack that is shorter repeats its last slice.

    Raises:
        OrthoDiffusionError: UNREADABLE_FILE, when the file is gone or broken since it was written.
    """
    kept = _kept(anatomy)
    plan = plan_series(kept.joint, kept.laterality, plane, ANYWHERE, "random", np.eye(4), generator)
    slices = plan.protocol.slices
    first = first_slice(slices, generator)
    part = StackPart(first, min(first + WINDOW_SLICES, slices), slices)
    grid = kept.between(*plan.reach(part))
    image, labels = scan(grid, plan.affine, plan.to_joint, plan.protocol, plan.signals, generator, part)
    affine = plan.part_affine(part)
    stack = prepared_stack(Volume(image, affine), Volume(labels, affine), plane, size)
    assert stack.labels is not None
    padding = [(0, WINDOW_SLICES - len(stack.image)), (0, 0), (0, 0)]
    return np.pad(stack.image.astype(np.float32), padding, "edge"), np.pad(stack.labels, padding, "edge")


def _kept(path: Path) -> KeptAnatomy:
    try:
        return read_anatomy(path)
    except DAMAGED as error:
        # The file's name comes from a seed and hashes: it may be told.
        raise OrthoDiffusionError(
            ErrorKind.UNREADABLE_FILE,
            "A phantom's anatomy in the folder of prepared studies is gone or damaged.",
            f"Check that the folder is still there, delete {path.name} in it, and start the same command again.",
            detail=f"{path} {type(error).__name__}: {error}",
        ) from error
