"""From planes' trained networks to a bundle: fusion and calibration on held-out logits, lineage and data card."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from OrthoDiffusionLib import __version__
from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.bundles.building import write_bundle
from OrthoDiffusionLib.bundles.opening import LICENSE_FILE, Bundle
from OrthoDiffusionLib.bundles.weights import read_weights
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.networks.structure_reading import READING_PART
from OrthoDiffusionLib.training.checkpoints import is_pretraining
from OrthoDiffusionLib.training.configurations import first_problem
from OrthoDiffusionLib.training.exported_fusion import mean_of_planes, trained_fusion
from OrthoDiffusionLib.training.settings import FineTuneSettings
from OrthoDiffusionLib.training.starting_points import planes_of_bundle, starting_point
from OrthoDiffusionLib.training.trained_plane import DESCRIPTION, PARTS, TrainedPlane, common_description, load_plane
from OrthoDiffusionLib.training.trained_refinement import refinement_of
from OrthoDiffusionLib.volumes.windows import WINDOW_SLICES

REFINEMENT_FILE = "models/refinement.safetensors"


class BundleCard(BaseModel):
    """What only people know about a model: the fields of `bundle export --card FILE`.

    Attributes:
        name: lower case, of letters, digits, dots and dashes.
        version: of the bundle.
        title: one line.
        intended_use: one or two sentences; shown wherever the model's output is.
        license: SPDX identifier.
        license_text: of the weights.
        authors: of the model.
        copyright: line.
        data: what the model was trained on, one or two sentences.
        studies: how many.
        seeds: of phantoms among them, so that anyone can make them again; as `A to B` or single numbers, with whatever
            says what for. `evaluate` tells by them which of its phantoms were trained on.
        synthetic: whether none of it shows a person.
        known_limits: one sentence each.
        clinical_codes: what the numbers of sex, patient type and event mean; needed where clinical data are read.
        joint: of the images, where a plane comes from a pre-training alone; trained heads say it themselves.
        block: of such a plane, where features are best taken, as `orthodiffusion probe` finds.
        timestep: of the noise there.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    version: str
    title: str
    intended_use: str = "Research use only, not for diagnosis."
    license: str
    license_text: str = Field(min_length=1)
    authors: str
    copyright: str
    data: str
    studies: int = Field(ge=1)
    seeds: str = ""
    synthetic: bool = False
    known_limits: tuple[str, ...] = Field(min_length=1)
    clinical_codes: str = ""
    joint: str = "knee"
    block: str = FineTuneSettings.model_fields["block"].default
    timestep: int = FineTuneSettings.model_fields["timestep"].default


class RefinementCard(BaseModel):
    """What people know about a refinement for a bundle that there is: the fields of `bundle refine --card FILE`.

    Attributes:
        name: of the new bundle.
        version: of the new bundle.
        data: what the refinement was trained on, one or two sentences.
        studies: how many.
        seeds: of phantoms among them, as in `BundleCard`.
        synthetic: whether none of it shows a person.
        known_limits: one sentence each, beside those of the bundle.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    version: str
    data: str
    studies: int = Field(ge=1)
    seeds: str = ""
    synthetic: bool = False
    known_limits: tuple[str, ...] = Field(min_length=1)

    def with_that_of(self, bundle: Bundle) -> BundleCard:
        """The card of the new bundle: what is known about the other one still holds for all of it but the outlines."""
        manifest, license_text = bundle.manifest, (bundle.folder / LICENSE_FILE).read_text(encoding="utf-8")
        before = manifest.training_data
        return BundleCard(
            name=self.name,
            version=self.version,
            title=manifest.title,
            # Where the refinement has seen persons, the notice must still say that nothing else has.
            intended_use=manifest.notice(),
            license=manifest.license,
            license_text=license_text,
            authors=manifest.authors,
            copyright=manifest.copyright,
            data=f"{before.description} Outlines: {self.data}",
            studies=before.studies + self.studies,
            seeds="; ".join(seeds for seeds in (before.seeds, self.seeds and f"outlines: {self.seeds}") if seeds),
            synthetic=before.synthetic and self.synthetic,
            known_limits=(*before.known_limits, *self.known_limits),
        )


def export_bundle(
    folder: Path,
    planes: Mapping[Plane, Path],
    card: BundleCard,
    fusion: Path | None = None,
    *,
    refinement: Path | None = None,
    half_precision: bool = False,
) -> Bundle:
    """Write a bundle of one to three planes' trained networks.

    Args:
        folder: of the bundle; must not exist yet.
        planes: folder of each plane's networks, as the training commands leave it; of a pre-training's, the bundle has
            the averaged encoder, to take features or to train heads on.
        card: what people know about the model.
        fusion: folder of a fusion that was trained on these planes; None for their mean.
        refinement: folder of a refinement that was trained on these planes' masks, or of a bundle with one, where
            encoders and decoders are that bundle's; None for none.
        half_precision: round the planes' weights to 16 bits, which halves the bundle; a reading of structures is
            small, and its centres and spreads are kept as they are.

    Raises:
        OrthoDiffusionError: CHECKPOINT_INVALID; BAD_SETTINGS, when the planes' networks, the fusion or the refinement
            do not belong together; what writing a bundle raises.
    """
    trained = {plane: _trained(path, plane, card) for plane, path in planes.items()}
    first = common_description(trained)
    joint = load_joint(first.joint)
    recipes: dict[str, dict[str, Any]] = {}
    weights: dict[str, Mapping[str, torch.Tensor]] = {}
    for plane, networks in trained.items():
        recipes[plane.value], files = _recipe(networks)
        for file, tensors in files.items():
            weights[file] = _rounded(tensors) if half_precision else tensors
    if fusion is not None:
        fused = trained_fusion(fusion, trained, card.clinical_codes)
    else:
        fused = mean_of_planes(
            joint.name, {plane: path for plane, path in planes.items() if trained[plane].networks.diagnosis}
        )
    weights |= fused.weights
    refining = None
    if refinement is not None:
        refining, weights[REFINEMENT_FILE] = _refining(refinement, trained)
    description = {
        **_told(card, joint.name),
        "structures": [structure.model_dump(mode="json") for structure in joint.structures],
        "findings": [finding.model_dump(mode="json") for finding in joint.findings],
        "network": {
            "base_channels": first.base_channels,
            "channel_multipliers": first.channel_multipliers,
            "window_slices": WINDOW_SLICES,
            "window_size": first.window_size,
        },
        "planes": recipes,
        "fusion": fused.section,
        "refinement": refining,
        "calibration": fused.calibration,
        "lineage": _lineage("export", "Trained with OrthoDiffusion for 3D Slicer; see each plane's training."),
    }
    return _written(folder, description, weights, card)


def export_refined(folder: Path, source: Bundle, refinement: Path, card: BundleCard) -> Bundle:
    """Write a bundle whose planes, heads and calibration are another one's, with a refinement in place of its own.

    Args:
        folder: of the bundle; must not exist yet.
        source: the other one, with all of its weights.
        refinement: folder of a refinement that was trained on its planes' masks, or of a bundle with one.
        card: what people know about the model.

    Raises:
        OrthoDiffusionError: CHECKPOINT_INVALID; BAD_SETTINGS, when the refinement belongs to other networks; what
            reading and writing a bundle raises.
    """
    manifest = source.manifest
    former = manifest.refinement.weights if manifest.refinement else None
    weights = {name: read_weights(source, name) for name in manifest.weight_files() if name != former}
    refining, weights[REFINEMENT_FILE] = _refining(refinement, planes_of_bundle(source))
    before = manifest.written()
    parents = (*manifest.lineage.parents, f"{manifest.name} {manifest.version}, manifest {source.manifest_sha256}")
    description = {
        **_told(card, manifest.joint),
        **{key: before[key] for key in ("structures", "findings", "network", "planes", "fusion", "calibration")},
        "refinement": refining,
        "lineage": {
            **_lineage("refine", f"{manifest.name} {manifest.version} with another refinement."),
            "parents": parents,
        },
    }
    return _written(folder, description, weights, card)


def _recipe(trained: TrainedPlane) -> tuple[dict[str, Any], dict[str, Mapping[str, torch.Tensor]]]:
    """What a manifest says of a plane, and the tensors of its files."""
    about, networks = trained.description, trained.networks
    files = {part: f"models/{about.plane.value}_{part}.safetensors" for part in PARTS if getattr(networks, part)}
    recipe = {
        "timestep": about.timestep,
        "block": about.block,
        "skips": about.skips,
        "pooling": about.pooling,
        "reads_structures": networks.diagnosis is not None and about.reads_structures,
        "reads_around": networks.diagnosis is not None and about.reads_around,
        "encoder_training": " ".join(about.history),
        **files,
    }
    return recipe, {file: getattr(networks, part).state_dict() for part, file in files.items()}


def _refining(folder: Path, planes: Mapping[Plane, TrainedPlane]) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    refiner = refinement_of(str(folder))
    refiner.check_belongs_to(planes)
    return {"weights": REFINEMENT_FILE, "training": refiner.description.history}, refiner.network.state_dict()


def _told(card: BundleCard, joint: str) -> dict[str, Any]:
    return {
        "name": card.name,
        "version": card.version,
        "title": card.title,
        "intended_use": card.intended_use,
        "license": card.license,
        "task": f"Segmentation of structures of the {joint} in MR images, and probabilities of findings",
        "description": card.title,
        "authors": card.authors,
        "copyright": card.copyright,
        "monai_version": "1.6.1",
        "joint": joint,
        "training_data": {
            "description": card.data,
            "studies": card.studies,
            "synthetic": card.synthetic,
            "seeds": card.seeds,
            "known_limits": card.known_limits,
        },
    }


def _lineage(command: str, source: str) -> dict[str, str]:
    return {
        "created_by": f"orthodiffusion bundle {command} {__version__}",
        "created_on": date.today().isoformat(),
        "source": source,
    }


def _written(
    folder: Path, description: Mapping[str, Any], weights: Mapping[str, Mapping[str, torch.Tensor]], card: BundleCard
) -> Bundle:
    try:
        return write_bundle(folder, description, weights, _readme(card, description), card.license_text)
    except ValidationError as error:
        raise OrthoDiffusionError(
            ErrorKind.BAD_SETTINGS,
            f"The card and these networks make no valid bundle ({first_problem(error, 'manifest')}).",
            "Correct the card, or name other folders of networks.",
            detail=str(error),
        ) from error


def _trained(folder: Path, plane: Plane, card: BundleCard) -> TrainedPlane:
    if (folder / DESCRIPTION).exists():
        return load_plane(folder)
    if not is_pretraining(folder):
        raise OrthoDiffusionError(
            ErrorKind.CHECKPOINT_INVALID,
            f"{folder} holds no networks of the {plane.value} plane.",
            "Name the output folder of `orthodiffusion pretrain`, `train-segmentation` or `train-diagnosis`.",
        )
    try:
        place = FineTuneSettings(block=card.block, timestep=card.timestep)
    except ValidationError as error:
        raise OrthoDiffusionError(
            ErrorKind.BAD_SETTINGS,
            "The card's block or timestep is none that features can be taken at.",
            "Set block to mid_0, mid_1 or mid_2, and timestep to 0 to 999.",
            detail=str(error),
        ) from error
    return starting_point(str(folder), plane, card.joint, place)


def _rounded(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        name: tensor if name.startswith(READING_PART) else tensor.half().contiguous()
        for name, tensor in tensors.items()
    }


def _readme(card: BundleCard, description: Mapping[str, Any]) -> str:
    lines = [f"# {card.title}", "", f"**{card.intended_use}**", "", "## Data", "", card.data, ""]
    lines.append(f"- studies: {card.studies}{', synthetic' if card.synthetic else ''}")
    # Where there are phantoms, that nobody wrote down which must be seen.
    lines += [f"- seeds of phantoms: {card.seeds or 'not said'}"] if card.seeds or card.synthetic else []
    lines += ["", "## Training", ""]
    lines += [f"- {plane}: {recipe['encoder_training']}" for plane, recipe in description["planes"].items()]
    lines += [f"- all planes: {description['refinement']['training']}"] if description["refinement"] else []
    lines += ["", "## Known limits", "", *(f"- {limit}" for limit in card.known_limits)]
    return "\n".join(lines) + "\n"
