"""What a bundle says about itself: `configs/metadata.json`, in the MONAI bundle layout with our own keys beside it."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from OrthoDiffusionLib.anatomy import Finding, Plane, Structure
from OrthoDiffusionLib.bundles.clinical_data import ClinicalRecord
from OrthoDiffusionLib.bundles.monai_format import (
    NetworkDataFormat,
    features_output,
    findings_output,
    segmentation_output,
    window_input,
)

SCHEMA_VERSION = 1
"""The one manifest version that this code reads; another is refused, never guessed at."""

WEIGHTS_SUFFIX = ".safetensors"

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Multiplier = Annotated[int, Field(ge=1)]

Pooling = Literal["self_attention", "global_local"]
"""How a plane's feature map becomes one vector: the kinds of `networks.pooling`."""

FusionKind = Literal[
    "mean", "gate", "gate_stacking", "concatenate", "project_concatenate", "project_add", "cross_attention"
]
"""How the planes become one answer: their logits' mean, or a kind of `networks.plane_fusion`."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NetworkSize(_Part):
    """Sizes of the encoders: `base_channels` and its multipliers, and the window they see (slices, pixels)."""

    base_channels: int = Field(ge=32, multiple_of=32)
    channel_multipliers: tuple[Multiplier, ...] = Field(default=(1, 1, 2, 2, 4), min_length=2)
    window_slices: int = Field(default=16, ge=16)
    # Four, for a refinement has three levels whatever the encoders have.
    window_size: int = Field(default=256, ge=32, multiple_of=4)

    @model_validator(mode="after")
    def _check_window(self) -> NetworkSize:
        # Each level but the first halves all three axes.
        reduction = 2 ** (len(self.channel_multipliers) - 1)
        if self.window_slices % reduction or self.window_size % reduction:
            raise ValueError(f"window_slices and window_size must be multiples of {reduction}")
        return self

    @property
    def input_blocks(self) -> int:
        """How many input blocks the encoder has: one before the levels, one in each, and one between two."""
        return 2 * len(self.channel_multipliers)


class PlaneRecipe(_Part):
    """How one plane's features are taken.

    Attributes:
        timestep: noise step of the feature extraction, 0 to 999.
        block: the network block whose activation is the feature: `mid_0` to `mid_2`, or, where there are no heads, an
            input block, such as `input_3`.
        encoder: weights file of the encoder, relative to the bundle; it may hold the denoising decoder too, which
            sampling and further pre-training need.
        segmentation: weights file of the segmentation decoder, or None: the bundle does not segment this plane.
        skips: whether that decoder also sees the encoder's finer levels; the published one does not.
        diagnosis: weights file of the pooling and the per-plane logits, or None.
        pooling: the pooling's kind; bundles from before there was a choice have `self_attention`.
        reads_structures: whether the logits also come from statistics of the plane's own masks.
        reads_around: whether these are also of what lies around the structures.
        encoder_training: how the encoder came to be, one sentence.
    """

    timestep: int = Field(ge=0, le=999)
    block: str = Field(pattern=r"^(mid_[0-2]|input_\d+)$")
    encoder: str
    segmentation: str | None = None
    skips: bool = False
    diagnosis: str | None = None
    pooling: Pooling = "self_attention"
    reads_structures: bool = False
    reads_around: bool = False
    encoder_training: str

    @model_validator(mode="after")
    def _check_reading(self) -> PlaneRecipe:
        if self.reads_structures and (self.segmentation is None or self.diagnosis is None):
            raise ValueError("structures are read by a diagnosis head, and found by a segmentation decoder")
        if self.reads_around and not self.reads_structures:
            raise ValueError("what lies around structures is read only with these")
        if (self.segmentation or self.diagnosis) and not self.block.startswith("mid_"):
            raise ValueError("heads read the features of a middle block")
        return self


class FindingCalibration(_Part):
    """A finding's temperature (logits are divided by it) and the probability from which it is called present."""

    temperature: float = Field(gt=0.0)
    threshold: Probability


class ClinicalPart(_Part):
    """How clinical data take part, where a run gets some.

    Attributes:
        head: weights file of the clinical head, which mixes the fusion's logits with its own.
        centre: means of age (years), height (cm) and weight (kg) over the training studies.
        spread: their standard deviations.
        seen: names of the values that the head learnt from: no codes for a number, the codes that occurred for sex,
            patient type and event. Anything else is unknown to it.
        codes: what the numbers of sex, patient type and event mean.
        calibration: of the mixed logits, each finding once.
        training: how the head came to be, one sentence.
    """

    head: str
    centre: tuple[float, float, float]
    spread: tuple[Positive, Positive, Positive]
    seen: dict[Literal["age", "height", "weight", "sex", "patient_type", "event"], tuple[int, ...]]
    codes: str = Field(min_length=1)
    calibration: dict[str, FindingCalibration]
    training: str

    def read(self, record: ClinicalRecord) -> ClinicalRecord | None:
        """What the head can read of a record; None for nothing."""
        kept = {name: getattr(record, name) for name in record.known() if name in self.seen}
        kept = {name: value for name, value in kept.items() if not self.seen[name] or value in self.seen[name]}
        return ClinicalRecord(**kept) if kept else None


class Fusion(_Part):
    """How the planes become one answer.

    Attributes:
        kind: of the fusion; bundles from before there was a choice name a gate, or none for the mean.
        gate: weights file of the MPAE gate, for the kind `gate` alone.
        head: weights file of the fusion, for the kinds after `gate`; those after `gate_stacking` read the pooled
            features of all planes that diagnose, the others their logits.
        training: how the head came to be, one sentence.
        clinical: of a fusion of features, how clinical data take part; None where they do not.
    """

    kind: FusionKind
    gate: str | None = None
    head: str | None = None
    training: str = ""
    clinical: ClinicalPart | None = None

    @model_validator(mode="before")
    @classmethod
    def _name_the_kind(cls, content: Any) -> Any:
        if isinstance(content, dict) and "kind" not in content:
            return {**content, "kind": "mean" if content.get("gate") is None else "gate"}
        return content

    @model_validator(mode="after")
    def _check_files(self) -> Fusion:
        if (self.gate is not None) != (self.kind == "gate"):
            raise ValueError("a gate's weights file belongs to the kind `gate`")
        if (self.head is not None) != (self.kind not in ("mean", "gate")):
            raise ValueError(f"the kind {self.kind} {'needs no' if self.head else 'needs a'} head")
        if self.clinical is not None and self.kind in ("mean", "gate", "gate_stacking"):
            raise ValueError("clinical data need a fusion of features")
        return self


class Refinement(_Part):
    """How the label maps get outlines finer than the networks' grid.

    Attributes:
        weights: weights file of `networks.refinement`, one network for all planes.
        training: how it came to be, one sentence.
    """

    weights: str
    training: str


class TrainingData(_Part):
    """The data card: what the weights have seen."""

    description: str
    studies: int = Field(ge=0)
    synthetic: bool
    seeds: str
    known_limits: tuple[str, ...]


class Lineage(_Part):
    """Where the weights come from."""

    created_by: str
    created_on: str
    source: str
    parents: tuple[str, ...] = ()


class BundleManifest(_Part):
    """The manifest of a bundle.

    `files` lists every file of the bundle but the manifest itself, with its SHA-256; a file that is not listed, or
    does not match, keeps the bundle from being loaded. The keys that MONAI's bundle
    specification names (`version`, and `monai_version` to `network_data_format`) have its meaning.
    """

    schema_version: Literal[1]
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    version: str
    title: str
    intended_use: str = Field(min_length=1)
    license: str
    monai_version: str
    pytorch_version: str = ""
    numpy_version: str = ""
    required_packages_version: dict[str, str] = {}
    task: str = ""
    description: str = ""
    authors: str = ""
    copyright: str = ""
    network_data_format: NetworkDataFormat | None = None
    joint: str
    structures: tuple[Structure, ...]
    findings: tuple[Finding, ...]
    network: NetworkSize
    planes: dict[Plane, PlaneRecipe] = Field(min_length=1)
    fusion: Fusion = Fusion(kind="mean")
    refinement: Refinement | None = None
    calibration: dict[str, FindingCalibration] = {}
    training_data: TrainingData
    lineage: Lineage
    files: dict[str, Sha256]

    @field_validator("files")
    @classmethod
    def _check_paths(cls, files: dict[str, str]) -> dict[str, str]:
        for name in files:
            path = PurePosixPath(name)
            # A colon names a drive or a stream of a file on Windows.
            if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
                raise ValueError(f"the file name {name!r} leads out of the bundle")
        return files

    @model_validator(mode="after")
    def _check_networks(self) -> BundleManifest:
        for plane, recipe in self.planes.items():
            part, _, number = recipe.block.partition("_")
            if part == "input" and int(number) >= self.network.input_blocks:
                raise ValueError(f"the network has no block {recipe.block}")
            if self.segments(plane) and not self.structures:
                raise ValueError("a segmentation decoder needs structures")
            if self.diagnoses(plane) and not self.findings:
                raise ValueError("a diagnosis head needs findings")
        return self

    @model_validator(mode="after")
    def _check_references(self) -> BundleManifest:
        if [structure.label for structure in self.structures] != list(range(1, len(self.structures) + 1)):
            raise ValueError("structures must be in label order from 1, without gaps")
        for name in self.weight_files():
            if not name.endswith(WEIGHTS_SUFFIX):
                raise ValueError(f"the weights file {name!r} is not called {WEIGHTS_SUFFIX}")
            if name not in self.files:
                raise ValueError(f"the weights file {name!r} has no hash in `files`")
        keys = {finding.key for finding in self.findings}
        clinical = self.fusion.clinical
        if (self.calibration and set(self.calibration) != keys) or (clinical and set(clinical.calibration) != keys):
            raise ValueError("calibration must name each finding once")
        if self.refinement is not None and not any(self.segments(plane) for plane in self.planes):
            raise ValueError("a refinement needs planes that segment")
        if self.fusion.head is not None and not any(self.diagnoses(plane) for plane in self.planes):
            raise ValueError("a fusion needs planes that diagnose")
        return self

    def written(self) -> dict[str, Any]:
        """The content of the manifest's file.

        A program refuses what it does not know, and all programs so far have the schema version 1; so what was added to
        it since stands in the file only where it says something, and programs that lack it read all other bundles.
        """
        content = self.model_dump(mode="json")
        segments = any(self.segments(plane) for plane in self.planes)
        for structure in content["structures"]:
            if not (segments and structure["one_piece"]):
                del structure["one_piece"]
        for recipe in content["planes"].values():
            if recipe["pooling"] == "self_attention":
                del recipe["pooling"]
            for name in ("reads_structures", "reads_around"):
                if not recipe[name]:
                    del recipe[name]
        if not content["refinement"]:
            del content["refinement"]
        fusion = content["fusion"]
        if self.fusion.kind in ("mean", "gate"):
            # The gate's file, or that there is none, says it.
            del fusion["kind"]
        for name in ("head", "training", "clinical"):
            if not fusion[name]:
                del fusion[name]
        return content

    def notice(self) -> str:
        """What must stand wherever a result is: the intended use, and what its maker may have left unsaid there."""
        said = self.intended_use.lower()
        sentences = [self.intended_use]
        if self.training_data.synthetic and not ("phantom" in said or "synthetic" in said):
            sentences.append("Trained on synthetic phantoms only.")
        if "not for diagnosis" not in said:
            sentences.append("Research use only, not for diagnosis.")
        return " ".join(sentences)

    def weight_files(self) -> tuple[str, ...]:
        """Every weights file that the manifest refers to, once each, in a fixed order."""
        clinical = self.fusion.clinical
        names: list[str | None] = [self.fusion.gate, self.fusion.head, clinical.head if clinical else None]
        names.append(self.refinement.weights if self.refinement else None)
        for plane in Plane:
            recipe = self.planes.get(plane)
            if recipe is not None:
                names += [recipe.encoder, recipe.segmentation, recipe.diagnosis]
        return tuple(dict.fromkeys(name for name in names if name is not None))

    def segments(self, plane: Plane) -> bool:
        """Whether the bundle can segment this plane."""
        recipe = self.planes.get(plane)
        return recipe is not None and recipe.segmentation is not None

    def diagnoses(self, plane: Plane) -> bool:
        """Whether the bundle can diagnose from this plane."""
        recipe = self.planes.get(plane)
        return recipe is not None and recipe.diagnosis is not None

    def data_format(self) -> NetworkDataFormat:
        """What goes into this bundle's networks and comes out of them."""
        size = self.network
        window = (size.window_slices, size.window_size, size.window_size)
        outputs = {}
        if any(self.segments(plane) for plane in self.planes):
            outputs["segmentation"] = segmentation_output(window, self.structures)
        if any(self.diagnoses(plane) for plane in self.planes):
            outputs["findings"] = findings_output(self.findings)
        if not outputs and all(recipe.block.startswith("mid_") for recipe in self.planes.values()):
            channels = size.base_channels * size.channel_multipliers[-1]
            # Each level but the first halves all three axes.
            slices, rows, columns = (length >> (len(size.channel_multipliers) - 1) for length in window)
            outputs["features"] = features_output(channels, (slices, rows, columns))
        return NetworkDataFormat(inputs={"window": window_input(window)}, outputs=outputs)
