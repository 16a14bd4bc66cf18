"""What goes into the networks and comes out of them, in the words of MONAI's bundle specification.

Source: MONAI bundle specification, `network_data_format` (https://docs.monai.io/en/stable/mb_specification.html).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from OrthoDiffusionLib.anatomy import Finding, Structure


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TensorFormat(_Part):
    """One tensor that goes in or comes out; the attributes are MONAI's."""

    type: Literal["image", "probabilities"]
    format: Literal["magnitude", "labels", "classes", "latent"]
    modality: str = "n/a"
    num_channels: int = Field(ge=1)
    spatial_shape: tuple[int, ...]
    dtype: Literal["float32"] = "float32"
    value_range: tuple[float, ...] = ()
    is_patch_data: bool
    channel_def: dict[str, str]


class NetworkDataFormat(_Part):
    """Every tensor that goes in or comes out, by name."""

    inputs: dict[str, TensorFormat]
    outputs: dict[str, TensorFormat]


def window_input(window: tuple[int, int, int]) -> TensorFormat:
    """A window (k, i, j) of one series, scaled to [-1, 1]."""
    return TensorFormat(
        type="image",
        format="magnitude",
        modality="MR",
        num_channels=1,
        spatial_shape=window,
        value_range=(-1.0, 1.0),
        is_patch_data=True,
        channel_def={"0": "image"},
    )


def segmentation_output(window: tuple[int, int, int], structures: Sequence[Structure]) -> TensorFormat:
    """A score for the background and each structure, in every voxel of the window."""
    return TensorFormat(
        type="image",
        format="labels",
        num_channels=len(structures) + 1,
        spatial_shape=window,
        is_patch_data=True,
        channel_def={"0": "background", **{str(structure.label): structure.name for structure in structures}},
    )


def findings_output(findings: Sequence[Finding]) -> TensorFormat:
    """A probability for each finding, of the whole study."""
    return TensorFormat(
        type="probabilities",
        format="classes",
        num_channels=len(findings),
        spatial_shape=(),
        value_range=(0.0, 1.0),
        is_patch_data=False,
        channel_def={str(index): finding.name for index, finding in enumerate(findings)},
    )


def features_output(channels: int, shape: tuple[int, int, int]) -> TensorFormat:
    """The activation in the middle of the network, for bundles without heads."""
    return TensorFormat(
        type="image",
        format="latent",
        num_channels=channels,
        spatial_shape=shape,
        is_patch_data=True,
        channel_def={},
    )
