"""One plane's stack through its networks: windows in, class probabilities or logits out."""

from __future__ import annotations

from collections.abc import Callable

import torch

from OrthoDiffusionLib.diffusion.noise import noise_for
from OrthoDiffusionLib.diffusion.schedule import cosine_schedule
from OrthoDiffusionLib.inference.fusing import PlaneAnswer
from OrthoDiffusionLib.inference.grids import ScoreVolume, network_grid_affine
from OrthoDiffusionLib.inference.model import PlaneModel
from OrthoDiffusionLib.inference.segmentation import blend_windows
from OrthoDiffusionLib.networks.structure_statistics import structure_statistics
from OrthoDiffusionLib.volumes.orientation import Reoriented, to_network_axes
from OrthoDiffusionLib.volumes.volume import Volume
from OrthoDiffusionLib.volumes.windows import centre_window, overlapping_windows, resize_slices, window_tensor


def noised_window(model: PlaneModel, stack: Reoriented, start: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The noised window (1, 1, k, i, j) that begins at slice `start`, and its timestep, (1,), on the model's device.

    The noise depends on the seed, the plane and the window's place alone.
    """
    window = window_tensor(stack.array, start, model.window_size, model.window_slices)
    x0 = torch.from_numpy(window)[None]
    noise = noise_for(seed, f"{model.plane.value}/{start}", x0.shape)
    timesteps = torch.tensor([model.recipe.timestep])
    x_t = cosine_schedule().noised(x0, timesteps, noise)
    return x_t.to(device=model.device, memory_format=torch.channels_last_3d), timesteps.to(model.device)


def plane_scores(model: PlaneModel, volume: Volume, seed: int, tell: Callable[[float], None]) -> ScoreVolume:
    """Class probabilities of a whole stack, from windows that overlap by half.

    Args:
        model: of the stack's plane, with a segmentation decoder.
        volume: the stack.
        seed: of the noise.
        tell: told the share of the windows done, 0 to 1, before each.
    """
    stack = to_network_axes(volume, model.plane)
    depth = stack.array.shape[2]
    starts = overlapping_windows(depth, model.window_slices, model.window_slices // 2)

    def scores_of(start: int) -> torch.Tensor:
        tell(starts.index(start) / len(starts))
        return model.networks.scores_and_features(*noised_window(model, stack, start, seed))[0][0]

    scores = blend_windows(starts, depth, model.window_slices, scores_of)
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
    features = model.networks.features(*noised_window(model, stack, start, seed))
    statistics = None
    if model.networks.diagnosis.reading is not None:
        assert scores is not None
        found = structure_statistics(resize_slices(stack.array, model.window_size), scores.scores)
        statistics = torch.from_numpy(found).flatten()[None].to(features.device)
    logits, pooled = model.networks.diagnosis.logits_and_pooled(features, statistics)
    return PlaneAnswer(logits[0].float().cpu(), pooled[0].float().cpu())
