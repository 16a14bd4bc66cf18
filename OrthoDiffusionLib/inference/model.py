"""A bundle's networks in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.bundles.manifest import PlaneRecipe
from OrthoDiffusionLib.bundles.opening import Bundle
from OrthoDiffusionLib.bundles.weights import read_weights
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.inference.exactness import compute_exactly
from OrthoDiffusionLib.inference.fusing import ClinicalFusion, PlaneFusion
from OrthoDiffusionLib.networks.clinical_fusion import ClinicalFusionHead
from OrthoDiffusionLib.networks.config import UNetConfig
from OrthoDiffusionLib.networks.encoder import encoder_state
from OrthoDiffusionLib.networks.plane_fusion import FeatureFusion, FusionNetwork, GatedPlanes, make_fusion
from OrthoDiffusionLib.networks.plane_networks import PlaneNetworks, channels_last
from OrthoDiffusionLib.networks.refinement import RefinementNetwork, fastest_layout


@dataclass(frozen=True)
class PlaneModel:
    """One plane's networks, ready to be asked.

    Attributes:
        plane: that they look at.
        recipe: timestep and block.
        networks: in evaluation mode, on `device`.
        device: that they are on.
        window_slices: slices of a window.
        window_size: pixels of a window along i and j.
    """

    plane: Plane
    recipe: PlaneRecipe
    networks: PlaneNetworks
    device: torch.device
    window_slices: int
    window_size: int


@dataclass(frozen=True)
class LoadedModel:
    """A bundle, and its networks: those of planes and refinement, if any, on a device, the fusion on the CPU."""

    bundle: Bundle
    device: torch.device
    planes: Mapping[Plane, PlaneModel]
    fusion: PlaneFusion
    refinement: RefinementNetwork | None = None

    @contextmanager
    def watched(self, check: Callable[[], None]) -> Iterator[None]:
        """Within the block, call `check` before every layer: a run can be stopped in the middle of a window."""

        def before(_module: nn.Module, _inputs: object) -> None:
            check()

        networks: list[nn.Module] = [plane.networks for plane in self.planes.values()]
        networks += [] if self.refinement is None else [self.refinement]
        layers = [layer for network in networks for layer in network.modules() if next(layer.children(), None) is None]
        handles = [layer.register_forward_pre_hook(before) for layer in layers]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def load_model(bundle: Bundle, device: torch.device) -> LoadedModel:
    """Read a bundle's weights into networks on a device, which from then on computes as `compute_exactly` says.

    Raises:
        OrthoDiffusionError: BUNDLE_INVALID, when the tensors do not fit the networks that the manifest describes, or
            hold something that is not a number; what `read_weights` raises.
    """
    planes = load_planes(bundle, device)
    network = _fusion_network(bundle)
    fusion = PlaneFusion(network, _clinical_fusion(bundle, network))
    return LoadedModel(bundle, device, planes, fusion, load_refining(bundle, device))


def load_planes(bundle: Bundle, device: torch.device) -> dict[Plane, PlaneModel]:
    """The planes' networks alone, without fusion and refinement.

    Raises:
        OrthoDiffusionError: as `load_model`.
    """
    compute_exactly(device)
    manifest = bundle.manifest
    config = UNetConfig(manifest.network.base_channels, manifest.network.channel_multipliers)
    planes = {}
    for plane in Plane:
        recipe = manifest.planes.get(plane)
        if recipe is None:
            continue
        networks = PlaneNetworks(
            config,
            recipe.block,
            classes=len(manifest.structures) + 1 if recipe.segmentation else 0,
            findings=len(manifest.findings) if recipe.diagnosis else 0,
            skips=recipe.skips,
            pooling=recipe.pooling,
            reads_structures=recipe.reads_structures,
            reads_around=recipe.reads_around,
        )
        encoder = read_weights(bundle, recipe.encoder)
        _fill(networks.encoder, _encoder_only(encoder), recipe.encoder)
        for part, name in ((networks.segmentation, recipe.segmentation), (networks.diagnosis, recipe.diagnosis)):
            if part is not None and name is not None:
                _fill(part, read_weights(bundle, name), name)
        networks = channels_last(networks.to(device)).eval().requires_grad_(False)
        planes[plane] = PlaneModel(
            plane, recipe, networks, device, manifest.network.window_slices, manifest.network.window_size
        )
    return planes


def load_refining(bundle: Bundle, device: torch.device) -> RefinementNetwork | None:
    """The network that refines the planes' outlines; None for a bundle without one.

    Raises:
        OrthoDiffusionError: as `load_model`.
    """
    part = bundle.manifest.refinement
    if part is None:
        return None
    network = RefinementNetwork(len(bundle.manifest.structures) + 1)
    tensors = read_weights(bundle, part.weights)
    if tensors.keys() != network.state_dict().keys():
        raise OrthoDiffusionError(
            ErrorKind.BUNDLE_INVALID,
            "The bundle's refinement is of a kind that this version does not know.",
            "Get a newer bundle, or give this one another refinement: `orthodiffusion train-refinement --bundle`.",
            detail=part.weights,
        )
    _fill(network, tensors, part.weights)
    return fastest_layout(network.to(device)).eval().requires_grad_(False)


def _fusion_network(bundle: Bundle) -> FusionNetwork | None:
    fusion = bundle.manifest.fusion
    name = fusion.gate or fusion.head
    if name is None:
        return None
    config = UNetConfig(bundle.manifest.network.base_channels, bundle.manifest.network.channel_multipliers)
    # Both poolings join two vectors of the feature map's width.
    network = make_fusion(fusion.kind, 2 * config.middle_channels, len(bundle.manifest.findings))
    # A gate's file has the gate's tensors alone, as in bundles from before there were other kinds.
    part = network.gate if isinstance(network, GatedPlanes) else network
    _fill(part, read_weights(bundle, name), name)
    return network.eval().requires_grad_(False)


def _clinical_fusion(bundle: Bundle, network: FusionNetwork | None) -> ClinicalFusion | None:
    part = bundle.manifest.fusion.clinical
    if part is None or not isinstance(network, FeatureFusion):
        return None
    head = ClinicalFusionHead(network.width, len(bundle.manifest.findings))
    _fill(head, read_weights(bundle, part.head), part.head)
    head = head.eval().requires_grad_(False)
    return ClinicalFusion(head, torch.tensor(part.centre), torch.tensor(part.spread))


def _encoder_only(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    try:
        return encoder_state(state)
    except ValueError as error:
        raise _misfit(str(error)) from error


def _fill(network: nn.Module, state: dict[str, torch.Tensor], name: str) -> None:
    if broken := [key for key, tensor in state.items() if not bool(torch.isfinite(tensor).all())]:
        raise _misfit(f"{name}: {broken[0]} holds values that are not numbers")
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise _misfit(f"{name}: {error}") from error


def _misfit(detail: str) -> OrthoDiffusionError:
    return OrthoDiffusionError(
        ErrorKind.BUNDLE_INVALID,
        "The bundle's weights do not fit the networks that its manifest describes.",
        "Get the bundle again from where it came from.",
        detail=detail,
    )
