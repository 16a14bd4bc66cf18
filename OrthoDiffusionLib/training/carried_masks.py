"""What one plane's networks learnt from masks, for another plane of which they know the images alone."""

from __future__ import annotations

from pathlib import Path

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.training.settings import FineTuneSettings, SegmentationSettings
from OrthoDiffusionLib.training.starting_points import features_of_source, starting_point
from OrthoDiffusionLib.training.trained_plane import TrainedPlane, empty_networks, load_plane


def carried_masks(start: TrainedPlane, masks: Path, began: str, settings: SegmentationSettings) -> TrainedPlane:
    """A plane's networks with what another plane's learnt in a training of masks, as `with_masks_of` makes them.

    Args:
        start: networks to be trained on masks, without heads.
        masks: output folder of the other plane's `orthodiffusion train-segmentation`.
        began: what that training started from, as for `starting_point`; it is also what the pre-training of `start`
            started from.
        settings: of the training to come.

    Raises:
        OrthoDiffusionError: WRONG_PLANE for masks of the plane itself, and where `began` is of another plane than the
            masks; BAD_SETTINGS for networks of another joint or of other sizes, for masks without a decoder or with
            one of another form than the settings', for masks that did not start from `began`, and for a start with
            heads; CHECKPOINT_INVALID; what opening a bundle raises.
    """
    carried = load_plane(masks)
    about, own = carried.description, start.description
    if about.plane is own.plane:
        raise OrthoDiffusionError(
            ErrorKind.WRONG_PLANE,
            f"{masks} holds masks of the {own.plane.value} plane itself.",
            "Start from this folder to train it further, or name another plane's.",
        )
    if carried.networks.segmentation is None:
        raise OrthoDiffusionError(
            ErrorKind.BAD_SETTINGS,
            f"{masks} holds no segmentation decoder.",
            "Name the output folder of `orthodiffusion train-segmentation`.",
        )
    if start.networks.segmentation is not None or start.networks.diagnosis is not None:
        raise OrthoDiffusionError(
            ErrorKind.BAD_SETTINGS,
            "The networks to start from have heads, in whose place another plane's decoder would come.",
            "Start from a pre-training, or go on with these heads and without another plane's masks.",
        )
    decoder = "skips" if about.skips else "published"
    if settings.decoder != decoder:
        raise OrthoDiffusionError(
            ErrorKind.BAD_SETTINGS, f"{masks} holds a decoder of another form.", f"Set decoder: {decoder}."
        )
    images = starting_point(began, about.plane, about.joint, features_of_source(began, about.plane, FineTuneSettings()))
    sizes = {(d.joint, d.base_channels, d.channel_multipliers) for d in (own, about, images.description)}
    if len(sizes) != 1:
        raise OrthoDiffusionError(
            ErrorKind.BAD_SETTINGS,
            "The networks are of different joints or sizes.",
            "Name trainings of one joint that came of one pre-training.",
        )
    history = images.description.history
    if about.history[: len(history)] != history:
        raise OrthoDiffusionError(
            ErrorKind.BAD_SETTINGS,
            f"The training in {masks} did not start from {began}.",
            "Name what it started from.",
        )
    return with_masks_of(start, images, carried)


def with_masks_of(start: TrainedPlane, images: TrainedPlane, masks: TrainedPlane) -> TrainedPlane:
    """A plane's networks with another plane's decoder and with what the encoder changed by when that was trained.

    Changes of weights can be added to other weights that have the same origin (task arithmetic, Ilharco et al. 2023);
    here both planes' pre-trainings come of one. Over 32 windows of phantoms the demonstration's coronal networks begin
    with a loss of 1.03 so, instead of 1.46 with a decoder of chance and 1.38 with the decoder alone; the axial ones
    with 1.39 instead of 1.47 and 1.49 (sagittal masks of 3000 steps).

    Args:
        start: networks to be trained on masks, pre-trained from weights that `images` has or that it came of.
        images: the other plane's networks as they were before they saw masks.
        masks: the same after that, with a decoder; channels and skips as in `start`.

    Raises:
        RuntimeError: where the weights have other shapes.
    """
    description = start.description.model_copy(update={"skips": masks.description.skips})
    networks = empty_networks(description, segmentation=True, diagnosis=False)
    before, after = images.networks.encoder.state_dict(), masks.networks.encoder.state_dict()
    own = start.networks.encoder.state_dict()
    networks.encoder.load_state_dict({name: weight + after[name] - before[name] for name, weight in own.items()})
    assert networks.segmentation is not None and masks.networks.segmentation is not None
    networks.segmentation.load_state_dict(masks.networks.segmentation.state_dict())
    other = masks.description.plane.value
    learnt = " ".join(masks.description.history[len(images.description.history) :]).rstrip(".")
    return TrainedPlane(description, networks.eval().requires_grad_(False)).told(
        f"Decoder of the {other} plane taken over, and what its encoder had changed by with it ({learnt}).",
        encoder_saw=tuple(dict.fromkeys((*description.after("masks", 1.0), *masks.description.encoder_saw))),
    )
