"""One plane's stack through its networks: windows in, class probabilities or logits out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.diffusion.noise import noise_for
from OrthoDiffusionLib.diffusion.schedule import cosine_schedule
from OrthoDiffusionLib.inference.fusing import PlaneAnswer
from OrthoDiffusionLib.inference.grids import ScoreVolume, network_grid_affine
from OrthoDiffusionLib.inference.model import PlaneModel
from OrthoDiffusionLib.inference.segmentation import blend_windows
from OrthoDiffusionLib.networks.plane_networks import PlaneNetworks
from OrthoDiffusionLib.networks.structure_statistics import structure_statistics
from OrthoDiffusionLib.volumes.orientation import Reoriented, to_network_axes
from OrthoDiffusionLib.volumes.volume import Volume
from OrthoDiffusionLib.volumes.windows import centre_window, overlapping_windows, resize_slices, window_tensor


def noised_window(
    window: npt.NDArray[np.float32], plane: Plane, start: int, timestep: int, seed: int, device: torch.device | str
) -> tuple[torch.Tensor, torch.Tensor]:
    """A window as the networks take it: noised, (1, 1, k, i, j), and its timestep, (1,), on the device.

    The noise depends on the seed, the plane and the window's place alone.

    Args:
        window: (k, i, j), in [-1, 1].
        plane: of the stack.
        start: the window's first slice in the stack.
        timestep: 0 to 999.
        seed: of the noise.
        device: of the networks.
    """
    x0 = torch.from_numpy(window)[None, None]
    timesteps = torch.tensor([timestep])
    x_t = cosine_schedule().noised(x0, timesteps, noise_for(seed, f"{plane.value}/{start}", x0.shape))
    return x_t.to(device=device, memory_format=torch.channels_last_3d), timesteps.to(device)


def stack_scores(
    networks: PlaneNetworks,
    depth: int,
    slices: int,
    noised: Callable[[int], tuple[torch.Tensor, torch.Tensor]],
    tell: Callable[[float], None] = lambda _: None,
) -> torch.Tensor:
    """Class probabilities of all slices, (classes, depth, i, j) on the CPU, from windows that overlap by half.

    Args:
        networks: with a segmentation decoder.
        depth: slices of the stack.
        slices: of a window.
        noised: gives the window that begins at a slice as `noised_window` does.
        tell: told the share of the windows done, 0 to 1, before each.
    """
    starts = overlapping_windows(depth, slices, slices // 2)

    def scores_of(start: int) -> torch.Tensor:
        tell(starts.index(start) / len(starts))
        return networks.scores_and_features(*noised(start))[0][0]

    return blend_windows(starts, depth, slices, scores_of)


def plane_scores(model: PlaneModel, volume: Volume, seed: int, tell: Callable[[float], None]) -> ScoreVolume:
    """Class probabilities of a whole stack.

    Args:
        model: of the stack's plane, with a segmentation decoder.
        volume: the stack.
        seed: of the noise.
        tell: told the share of the windows done, 0 to 1, before each.
    """
    stack = to_network_axes(volume, model.plane)
    scores = stack_scores(
        model.networks,
        stack.array.shape[2],
        model.window_slices,
        lambda start: _noised_part(model, stack, start, seed),
        tell,
    )
    return ScoreVolume(scores, network_grid_affine(stack.affine, stack.array.shape, model.window_size))


def plane_answer(model: PlaneModel, volume: Volume, seed: int, scores: ScoreVolume | None = None) -> PlaneAnswer:
    """Logits and pooled features, on the CPU, from the published centre window of a stack and, where the head reads
    structures, their statistics over all slices.

    Args:
        model: of the stack's plane, with a diagnosis head.
        volume: the stack.
        seed: of the noise.
        scores: the plane's own class probabilities of the stack; needed where the head reads structures.
    """
    assert model.networks.diagnosis is not None
    stack = to_network_axes(volume, model.plane)
    start = centre_window(stack.array.shape[2], model.window_slices)
    features = model.networks.features(*_noised_part(model, stack, start, seed))
    statistics = None
    if model.networks.diagnosis.reading is not None:
        assert scores is not None
        image = resize_slices(stack.array, model.window_size)
        found = structure_statistics(image, scores.scores, around=model.networks.reads_around)
        statistics = torch.from_numpy(found).flatten()[None].to(features.device)
    logits, pooled = model.networks.diagnosis.logits_and_pooled(features, statistics)
    return PlaneAnswer(logits[0].float().cpu(), pooled[0].float().cpu())


def _noised_part(model: PlaneModel, stack: Reoriented, start: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    window = window_tensor(stack.array, start, model.window_size, model.window_slices)[0]
    return noised_window(window, model.plane, start, model.recipe.timestep, seed, model.device)
