"""Features that probes look at: every block's mean activation at every timestep, computed once for each study."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.bundles.weights import weights_bytes
from OrthoDiffusionLib.datasets.cache import CachedStudy
from OrthoDiffusionLib.datasets.whole_files import write_whole
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.inference.plane_pass import noised_window
from OrthoDiffusionLib.networks.encoder import DenoisingEncoder
from OrthoDiffusionLib.volumes.windows import centre_window, normalised

FORMAT = 1
"""Of the kept features; another one computes all of them again."""

Features = Mapping[tuple[str, int], npt.NDArray[np.float32]]
"""By block and timestep, (studies, channels)."""


def pooled_features(
    encoder: DenoisingEncoder,
    studies: Sequence[CachedStudy],
    plane: Plane,
    blocks: Sequence[str],
    timesteps: Sequence[int],
    advance: Callable[[], None] = lambda: None,
    device: torch.device | str = "cpu",
    folder: Path | None = None,
) -> Features:
    """Mean over all positions of each block's activation, of the centre window: float32 (studies, channels) each.

    Several series of one study are averaged. All blocks come from one pass for each timestep, and are kept whichever
    are asked for: a sweep that was interrupted, or is widened, computes what is new.

    Args:
        encoder: trained, in evaluation mode.
        studies: at the window's size, each with a series of the plane.
        plane: whose series are looked at.
        blocks: of `encoder.block_names`.
        timesteps: 0 to 999.
        advance: called after each study and timestep.
        device: to compute on; the encoder ends on the CPU.
        folder: of a file for each study, made when it is not there; or None, to keep nothing.

    Raises:
        OrthoDiffusionError: USAGE for an unknown block, EMPTY_STUDY without studies.
        OSError: when features cannot be kept.
    """
    if unknown := set(blocks) - set(encoder.block_names):
        raise OrthoDiffusionError(
            ErrorKind.USAGE,
            f"The encoder has no block {min(unknown)}.",
            f"Choose of {', '.join(encoder.block_names)}.",
        )
    if not studies:
        raise OrthoDiffusionError(
            ErrorKind.EMPTY_STUDY, f"No study has a {plane.value} series.", "Choose another plane or dataset."
        )
    digest = hashlib.sha256(weights_bytes(encoder.state_dict())).hexdigest()[:16]
    encoder.to(device)
    rows: dict[tuple[str, int], list[npt.NDArray[np.float32]]] = {(b, t): [] for b in blocks for t in timesteps}
    for study in studies:
        path = None if folder is None else folder / f"{study.path.stem}-{plane.value}-{digest}-{FORMAT}.safetensors"
        kept = _kept(path)
        for timestep in timesteps:
            if any(f"{timestep}/{block}" not in kept for block in encoder.block_names):
                kept |= _of_study(encoder, study, plane, timestep, device)
                if path is not None:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write_whole(path, save(kept))
            for block in blocks:
                rows[block, timestep].append(kept[f"{timestep}/{block}"])
            advance()
    encoder.to("cpu")
    return {key: np.stack(values) for key, values in rows.items()}


def _kept(path: Path | None) -> dict[str, npt.NDArray[np.float32]]:
    """What is kept of a study, by timestep and block; a broken file counts as none."""
    try:
        return {} if path is None else load_file(path)
    except (FileNotFoundError, SafetensorError):
        return {}


def _of_study(
    encoder: DenoisingEncoder, study: CachedStudy, plane: Plane, timestep: int, device: torch.device | str
) -> dict[str, npt.NDArray[np.float32]]:
    pooled: dict[str, list[npt.NDArray[np.float32]]] = {block: [] for block in encoder.block_names}
    for series, depth in enumerate(study.depths[plane]):
        start = centre_window(depth)
        image, _ = study.window(plane, series, start)
        noised = noised_window(normalised(image), plane, start, timestep, 0, device)
        with torch.inference_mode():
            for block, hidden in encoder.activations(*noised):
                pooled[block].append(hidden.mean(dim=(2, 3, 4))[0].float().cpu().numpy())
    return {f"{timestep}/{block}": np.mean(values, axis=0, dtype=np.float32) for block, values in pooled.items()}
