"""`orthodiffusion train-fusion`: one answer of the planes' trained networks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional, get_args

import typer
from rich.progress import Progress

from OrthoDiffusionLib.anatomy import load_joint
from OrthoDiffusionLib.bundles.manifest import FusionKind
from OrthoDiffusionLib.cli.datasets import Phantoms, check_joint, prepared_studies, training_device
from OrthoDiffusionLib.cli.plane_options import plane_folders
from OrthoDiffusionLib.cli.reporting import err, out, reported
from OrthoDiffusionLib.cli.train import Cache, Changes
from OrthoDiffusionLib.cli.training_output import check_training_output
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError

if TYPE_CHECKING:
    from OrthoDiffusionLib.training.fusion_data import FusionStudy
    from OrthoDiffusionLib.training.trained_plane import PlaneDescription

KINDS = tuple(kind for kind in get_args(FusionKind) if kind != "mean")
OF_LOGITS = ("gate", "gate_stacking")


def train_fusion(
    kind: Annotated[str, typer.Option(metavar="KIND", help=f"One of {', '.join(KINDS)}.")],
    plane: Annotated[
        list[str],
        typer.Option(metavar="PLANE=DIR", help="Output folder of train-diagnosis; given for two or three planes."),
    ],
    output: Annotated[Path, typer.Option(help="Folder of the trained fusion.")],
    data: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--data", "--dataset", help="Manifest of the studies that the planes' heads were trained on."),
    ] = None,
    phantoms: Phantoms = None,
    clinical: Annotated[
        bool,
        typer.Option("--clinical", help="Also train a head that reads the manifest's clinical data, where given."),
    ] = False,
    config: Annotated[
        str, typer.Option(help="fusion, or a YAML file, in which what is left out has the default.")
    ] = "fusion",
    change: Changes = None,
    cache: Cache = None,
) -> None:
    """Train a head that makes one answer of two or three planes, on what their diagnosis heads left of each study.

    The planes' networks stay as they are. Planes are left out at random in training, so that studies which lack some
    are answered too.

    Example: orthodiffusion train-fusion --kind concatenate --plane axial=both/axial --plane sagittal=both/sagittal
    --plane coronal=both/coronal --data knees.yaml --output fused
    """
    with reported():
        from OrthoDiffusionLib.training.clinical_training import train_clinical
        from OrthoDiffusionLib.training.configurations import load_settings
        from OrthoDiffusionLib.training.fusion_data import fusion_data
        from OrthoDiffusionLib.training.fusion_training import train_fusion as train
        from OrthoDiffusionLib.training.settings import FusionSettings
        from OrthoDiffusionLib.training.trained_fusion import DESCRIPTION, described_fusion, save_fusion
        from OrthoDiffusionLib.training.trained_plane import common_description, load_plane

        if kind not in KINDS:
            raise OrthoDiffusionError(ErrorKind.USAGE, f"There is no fusion {kind}.", f"Choose {', '.join(KINDS)}.")
        if clinical and kind in OF_LOGITS:
            raise OrthoDiffusionError(
                ErrorKind.USAGE,
                "Clinical data need a fusion of features.",
                f"Choose {', '.join(other for other in KINDS if other not in OF_LOGITS)}.",
            )
        folders = plane_folders(plane)
        if len(folders) < 2:
            raise OrthoDiffusionError(
                ErrorKind.USAGE, "A fusion needs two planes.", "Give --plane twice or three times."
            )
        check_training_output(output, DESCRIPTION)
        settings = load_settings(FusionSettings, config, change or ())
        planes = {named: load_plane(folder) for named, folder in folders.items()}
        studies = _studies(data, phantoms, cache or output / "cache", common_description(planes))
        gathered = fusion_data(kind, folders, studies)
        with Progress(console=err, transient=True) as bar:
            task = bar.add_task("Training", total=1.0)

            def report(what: str, share: float) -> None:
                bar.update(task, completed=share, description=what)

            trained = train(kind, gathered, settings, report, training_device())
            mixing = train_clinical(trained, gathered, settings, report) if clinical else None
        fusion = described_fusion(kind, trained, gathered, planes, settings.plane_dropout, mixing)
        save_fusion(output, fusion)
        out.print(fusion.description.history, soft_wrap=True)
        if fusion.description.clinical is not None:
            out.print(fusion.description.clinical.history, soft_wrap=True)
        out.print(f"Written to {output}", soft_wrap=True)


def _studies(data: Path | None, phantoms: str | None, cache: Path, described: PlaneDescription) -> list[FusionStudy]:
    from OrthoDiffusionLib.datasets.manifest import read_manifest
    from OrthoDiffusionLib.training.fusion_data import FusionStudy
    from OrthoDiffusionLib.training.prepared_size import prepared_size

    if data is None or phantoms is not None:
        prepared = prepared_studies(
            data, phantoms, cache, prepared_size(described.window_size), joint=described.joint if data is None else None
        )
        return [FusionStudy.of_cached(study) for study in prepared]
    manifest = read_manifest(data)
    check_joint(manifest, described.joint)
    findings = [finding.key for finding in load_joint(manifest.joint).findings]
    return [FusionStudy.of_entry(entry, findings) for entry in manifest.studies]
