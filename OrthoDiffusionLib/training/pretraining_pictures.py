"""Samples of a pre-trained network as pictures: what it has learned to expect of a window."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from OrthoDiffusionLib.diffusion.sampling import sample
from OrthoDiffusionLib.networks.unet import DenoisingUNet
from OrthoDiffusionLib.training.settings import PretrainSettings

COUNT, STEPS, COLUMNS = 2, 25, 4


def save_samples(
    weights: Mapping[str, torch.Tensor], settings: PretrainSettings, path: Path, device: torch.device | str = "cpu"
) -> None:
    """Draw windows from weights by DDIM, on a device, and save some of their slices as a picture."""
    network = DenoisingUNet(settings.network).eval()
    network.load_state_dict({name: tensor.cpu() for name, tensor in weights.items()})
    shape = (COUNT, 1, 16, settings.window_size, settings.window_size)
    network = network.to(device)
    windows = sample(
        network, shape, seed=settings.seed, steps=STEPS, prediction=settings.prediction, device=device
    ).cpu()
    figure = Figure(figsize=(2.2 * COLUMNS, 2.2 * COUNT), facecolor="black")
    axes = figure.subplots(COUNT, COLUMNS)
    for row, window in enumerate(windows[:, 0].numpy()):
        for column, k in enumerate(np.linspace(2, 13, COLUMNS).round().astype(int)):
            axes[row, column].imshow(window[k].T, cmap="gray", origin="lower", vmin=-1, vmax=1)
            axes[row, column].set_axis_off()
    figure.tight_layout(pad=0.2)
    figure.savefig(path, dpi=80, facecolor="black")
