"""Settings of a training: small typed YAML files, some of which come with the library."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from OrthoDiffusionLib.bundles.manifest import Pooling
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.networks.config import UNetConfig
from OrthoDiffusionLib.volumes.windows import WINDOW_SLICES

OptimiserKind = Literal["adam", "muon"]


class PretrainSettings(BaseModel):
    """How a denoising network is pre-trained; the defaults are the published recipe.

    Attributes:
        base_channels: width of the network's first level; a multiple of 32.
        channel_multipliers: width of each level over it.
        window_size: pixels of the windows; a multiple of the network's reduction.
        crop: pixels of the part of each window that a step sees, another one each time; a multiple of the reduction, or
            0 for whole windows, as published. Parts of half the edge cost a quarter of the time. Samples are drawn
            whole.
        steps: of the optimiser.
        batch: windows a step, over all devices.
        together: windows that go through the network at a time on one device; the gradients of a step are averaged.
        learning_rate: of Adam, constant.
        ema_decay: of the averaged weights.
        ema_every: steps between their updates.
        ema_start: step up to which they follow the weights.
        precision: of the multiplications; weights and loss stay in float32.
        prediction: what the network predicts: the noise, or the velocity of Salimans and Ho (2022).
        self_conditioning: whether the network's own middle steers its decoder (`SelfConditioning`); the published one
            does not.
        distillation: weight of the contrastive loss (`training.distillation`); 0 for none, as published. It needs
            self-conditioning, and whole windows.
        recompute: activations are computed again on the way back instead of being kept: less memory, a third more time.
        augment: turn, scale, shift and gamma.
        save_every: steps between checkpoints.
        sample_every: steps between pictures of samples; 0 for none.
        seed: of weights, order, augmentation and noise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_channels: int = 64
    channel_multipliers: tuple[int, ...] = (1, 1, 2, 2, 4)
    window_size: int = 256
    crop: int = Field(default=0, ge=0)
    steps: int = Field(default=21500, ge=1)
    batch: int = Field(default=10, ge=1)
    together: int = Field(default=10, ge=1)
    learning_rate: float = Field(default=1e-4, gt=0)
    ema_decay: float = Field(default=0.995, gt=0, lt=1)
    ema_every: int = Field(default=10, ge=1)
    ema_start: int = Field(default=2000, ge=0)
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    prediction: Literal["noise", "velocity"] = "noise"
    self_conditioning: bool = False
    distillation: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    recompute: bool = False
    augment: bool = True
    save_every: int = Field(default=500, ge=1)
    sample_every: int = Field(default=1000, ge=0)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _sizes_fit(self) -> PretrainSettings:
        if self.window_size % self.network.reduction or WINDOW_SLICES % self.network.reduction:
            raise ValueError(f"window_size and {WINDOW_SLICES} slices must be multiples of {self.network.reduction}")
        if self.crop % self.network.reduction or self.crop > self.window_size:
            raise ValueError(f"crop must be a multiple of {self.network.reduction}, and at most window_size")
        return self

    @model_validator(mode="after")
    def _distillation_can_be(self) -> PretrainSettings:
        # Two parts of a window may have nothing in common that the network could know it by.
        if self.distillation and (self.crop or not self.self_conditioning or self.batch < 2):
            raise ValueError("distillation needs self_conditioning: true, whole windows, and a batch of 2 or more")
        return self

    @property
    def windows(self) -> str:
        """What a step sees, in a few words."""
        parts = f", of which it saw parts of {self.crop} of {self.window_size} pixels" if self.crop else ""
        return f"{self.batch} windows{parts}"

    @property
    def network(self) -> UNetConfig:
        """Sizes of the network."""
        return UNetConfig(self.base_channels, self.channel_multipliers, self.self_conditioning)


def pretrain_settings(told: object) -> PretrainSettings:
    """The settings that a checkpoint of a pre-training tells, as `model_dump` gave them.

    Raises:
        OrthoDiffusionError: CHECKPOINT_INVALID for those of another training, or with what this version does not know.
    """
    try:
        return PretrainSettings.model_validate(told)
    except ValidationError as error:
        raise OrthoDiffusionError(
            ErrorKind.CHECKPOINT_INVALID,
            "The checkpoint is of another kind of training, or of another version of OrthoDiffusion.",
            "Choose another folder, or use the version that it was made with.",
            detail=str(error),
        ) from error


class FineTuneSettings(BaseModel):
    """What the training of both kinds of heads has in common.

    Attributes:
        block: of the encoder whose activation is the feature map, `mid_0` to `mid_2`.
        timestep: of the noise, 0 to 999.
        encoder_rate: the encoder's learning rate over the head's: 0 freezes it, 0.05 is the published partial
            fine-tuning, 1 trains all alike.
        learning_rate: highest; falls to zero along a cosine.
        batch: windows a step.
        validation_share: of the patients, who are not trained on but say when to stop.
        seed: of weights, order, augmentation, noise and split.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    block: str = Field(default="mid_0", pattern=r"^mid_[0-2]$")
    timestep: int = Field(default=50, ge=0, le=999)
    encoder_rate: float = Field(default=0.05, ge=0, le=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    batch: int = Field(default=10, ge=1)
    validation_share: float = Field(default=0.15, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)


class SegmentationSettings(FineTuneSettings):
    """How a segmentation decoder is trained.

    Attributes:
        frozen_blocks: how many of the encoder's blocks, from the image on, stay as they are. Those at full resolution,
            the first two, find edges, and to train them takes over a third of the time.
        warm_up: steps in which the learning rate rises; from trained weights, its full height is a blow at first.
        decoder: `published` sees the middle feature alone, `skips` the encoder's finer levels too.
        steps: of the optimiser, at most.
        together: windows that go through the networks at a time; gradients of a step's parts are averaged.
        crop: pixels of the parts that some steps cut out of their windows, three of four around a structure, which
            takes less time and shows more of what is small; a multiple of the encoder's reduction, or 0 for whole
            windows alone.
        crop_length: pixels of those parts along the second axis of a slice, which runs up the limb in sagittal and
            coronal planes and from back to front in axial ones; a multiple of the same, or 0 for squares.
        crop_share: share of the steps that see parts.
        start_share: share of the start's weights in the result, the rest are the best trained ones: networks that were
            trained further keep more of what they knew of other images (Wortsman et al. 2022, "Robust fine-tuning of
            zero-shot models"). It needs a start with a decoder of the same form.
        balanced: whether voxels of structures that fill few of them weigh more in the cross entropy.
        elastic: pixels by which windows are bent in their plane: largest standard deviation of the shifts of points a
            fifth of a window apart; for label maps of few real knees, whose shapes repeat.
        contrast_share: share of the windows whose intensities go through a random curve.
        scanned_share: share of the windows that are scanned anew, each with a contrast, a resolution and artefacts of
            its own, from phantoms whose anatomy is kept; the others, and those of the validation, are cut out of the
            prepared scans.
        optimiser: `adam`, or `muon` beside it for convolutions between hidden channels.
        validate_every: steps between validations, each of which saves a checkpoint.
        save_every: steps between other checkpoints.
        split_seed: of the split alone; None for `seed`. Networks that are trained further with another seed must keep
            it, or the studies that choose their weights are some that they have learnt from.
        patience: validations without a better Dice after which training ends.
        precision: of the multiplications.
    """

    frozen_blocks: int = Field(default=0, ge=0)
    warm_up: int = Field(default=0, ge=0)
    decoder: Literal["published", "skips"] = "skips"
    steps: int = Field(default=3000, ge=1)
    together: int = Field(default=2, ge=1)
    crop: int = Field(default=0, ge=0)
    crop_length: int = Field(default=0, ge=0)
    crop_share: float = Field(default=0.0, ge=0, le=1)
    start_share: float = Field(default=0.0, ge=0, lt=1)
    balanced: bool = False
    elastic: float = Field(default=0.0, ge=0, le=8)
    contrast_share: float = Field(default=0.0, ge=0, le=1)
    scanned_share: float = Field(default=0.0, ge=0, le=1)
    optimiser: OptimiserKind = "adam"
    validate_every: int = Field(default=200, ge=1)
    save_every: int = Field(default=200, ge=1)
    split_seed: int | None = Field(default=None, ge=0)
    patience: int = Field(default=5, ge=1)
    precision: Literal["float32", "bfloat16"] = "float32"

    @model_validator(mode="after")
    def _parts_are_seen(self) -> SegmentationSettings:
        if bool(self.crop) != bool(self.crop_share):
            raise ValueError("crop and crop_share go together: set both, or both to 0")
        if self.crop_length and not self.crop:
            raise ValueError("crop_length needs crop: set both, or crop_length to 0")
        return self

    @property
    def part(self) -> tuple[int, int]:
        """Pixels of the parts along both axes of a slice; 0 for whole windows alone."""
        return self.crop, self.crop_length or self.crop


class DiagnosisSettings(FineTuneSettings):
    """How a diagnosis head is trained.

    Attributes:
        encoder_rate: 0 unless said otherwise: a linear probe and its pooling on frozen features, computed once.
        pooling: of the feature map: `self_attention`, as published, or `global_local`, a learned weighted sum with
            fewer weights.
        reads_structures: whether the logits also come from statistics of each finding's structures, in masks of the
            plane's own decoder over all slices; it needs networks of `train-segmentation`, and a frozen encoder. The
            studies should be others than those of the decoder's training, whose masks are too good.
        reads_around: whether these statistics are also of what lies around the structures, in two shells.
        reading_penalty: of the regression on the statistics: half of it times the squared weights is added to the cross
            entropy summed over the studies; the fewer these are, the more it holds back.
        pools_features: whether the logits come from pooled features; where they do not, structures alone are read, and
            what is said here of pooling, learning rate, epochs, batches, patience and rare findings has no effect. What
            the features add is learnt with the reading of structures as it is.
        epochs: over the training studies.
        together: windows that go through the networks at a time; gradients of a step's parts are summed. 0 for all.
        precision: of the encoder's multiplications in training; what heads are calibrated on is in float32, as in runs.
        views: windows of each series that the training sees: the centre one, and others shifted by one slice or turned.
        folds: parts of the patients; each study's logit for gate and calibration is from heads that saw no study of its
            patient.
        balanced: findings that are rare weigh more, up to ten times.
        patience: epochs without a lower loss on `validation_share` of the patients after which training ends, with the
            weights of the best; 0 for all epochs on all patients.
        save_every: steps between checkpoints of an encoder that is trained too.
    """

    encoder_rate: float = Field(default=0.0, ge=0, le=1)
    learning_rate: float = Field(default=5e-4, gt=0)
    pooling: Pooling = "self_attention"
    reads_structures: bool = False
    reads_around: bool = False
    reading_penalty: float = Field(default=1.0, gt=0)
    pools_features: bool = True
    epochs: int = Field(default=10, ge=1)
    together: int = Field(default=0, ge=0)
    precision: Literal["float32", "bfloat16"] = "float32"
    views: int = Field(default=4, ge=1)
    folds: int = Field(default=5, ge=2)
    balanced: bool = True
    patience: int = Field(default=0, ge=0)
    save_every: int = Field(default=100, ge=1)

    @model_validator(mode="after")
    def _something_is_read(self) -> DiagnosisSettings:
        if not self.reads_structures and (self.reads_around or not self.pools_features):
            raise ValueError("reads_around: true and pools_features: false need reads_structures: true")
        return self


class FusionSettings(BaseModel):
    """How a fusion of planes is trained; folds are those of the planes' heads.

    Attributes:
        learning_rate: of AdamW, at the first epoch; falls to zero along a cosine.
        weight_decay: of AdamW.
        epochs: at most.
        patience: epochs without a lower loss on held-out studies after which training ends.
        batch: studies a step.
        plane_dropout: probability with which each plane of a study is taken away in training; one always stays.
        clinical_dropout: probability with which each clinical value is hidden in training, where there are such.
        balanced: findings that are rare weigh more, up to ten times; for a gate alone, and for clinical data, it
            changes nothing.
        seed: of weights, order and dropout.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    epochs: int = Field(default=60, ge=1)
    patience: int = Field(default=8, ge=1)
    batch: int = Field(default=16, ge=1)
    plane_dropout: float = Field(default=0.3, ge=0, lt=1)
    clinical_dropout: float = Field(default=0.2, ge=0, lt=1)
    balanced: bool = True
    seed: int = Field(default=0, ge=0)


class RefinementSettings(BaseModel):
    """How a refinement is trained.

    Attributes:
        optimiser: `adam`, with weight decay, or `muon` beside it for convolutions between hidden channels.
        learning_rate: after the first steps; falls to zero along a cosine.
        warm_up: steps in which it rises.
        weight_decay: of Adam.
        steps: of the optimiser.
        batch: parts of slices a step.
        crop: coarse pixels along a part's edges, a multiple of four.
        alone_share: share of the parts in which the plane's own networks stand for the mean of all planes.
        around_share: share of the parts that show a structure which is drawn first.
        first_pass_share: of the steps, before what the first pass found is refined a second time; of a refinement that
            was trained before, none are.
        validation_share: of the patients.
        save_every: steps between checkpoints.
        seed: of weights, parts and the split.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    optimiser: OptimiserKind = "adam"
    learning_rate: float = Field(default=2e-3, gt=0)
    warm_up: int = Field(default=100, ge=1)
    weight_decay: float = Field(default=1e-4, ge=0)
    steps: int = Field(default=26000, ge=1)
    batch: int = Field(default=8, ge=1)
    crop: int = Field(default=64, ge=8, multiple_of=4)
    alone_share: float = Field(default=0.15, ge=0, le=1)
    around_share: float = Field(default=0.6, ge=0, le=1)
    first_pass_share: float = Field(default=0.3, ge=0, lt=1)
    validation_share: float = Field(default=0.1, gt=0, lt=1)
    save_every: int = Field(default=500, ge=1)
    seed: int = Field(default=0, ge=0)
