"""Samples of a pre-trained network as pictures: what it has learned to expect of a window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from OrthoDiffusionLib.diffusion.sampling import Prediction, sample
from OrthoDiffusionLib.networks.unet import DenoisingUNet
from OrthoDiffusionLib.volumes.windows import WINDOW_SLICES

COLUMNS = 4
"""Slices of each window that the picture shows."""


def save_samples(
    network: DenoisingUNet,
    window_size: int,
    path: Path,
    *,
    seed: int,
    prediction: Prediction = "noise",
    count: int = 2,
    steps: int = 25,
    device: torch.device | str = "cpu",
) -> None:
    """Draw windows from a network by DDIM, and save some of their slices as a picture, one window a row.

    Args:
        network: in evaluation mode; it is left on the device.
        window_size: pixels of the windows, which have 16 slices.
        path: of the PNG; the same arguments give the same pixels.
        seed: of the noise that sampling starts from.
        prediction: what the network tells.
        count: windows.
        steps: evaluations of the network for each, 2 to 1000.
        device: to compute on.

    Raises:
        ValueError: for a number of steps out of range.
        OSError: when the picture cannot be written.
    """
    shape = (count, 1, WINDOW_SLICES, window_size, window_size)
    drawn = sample(network.to(device), shape, seed=seed, steps=steps, prediction=prediction, device=device).cpu()
    figure = Figure(figsize=(2.2 * COLUMNS, 2.2 * count), facecolor="black")
    axes = figure.subplots(count, COLUMNS, squeeze=False)
    for row, window in enumerate(drawn[:, 0].numpy()):
        for column, k in enumerate(np.linspace(2, 13, COLUMNS).round().astype(int)):
            axes[row, column].imshow(window[k].T, cmap="gray", origin="lower", vmin=-1, vmax=1)
            axes[row, column].set_axis_off()
    figure.tight_layout(pad=0.2)
    figure.savefig(path, dpi=80, facecolor="black", format="png")
