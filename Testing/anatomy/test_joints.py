"""The joints' vocabularies: where a finding shows is said in the joint's own words."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from OrthoDiffusionLib.anatomy import Joint, joint_names, load_joint
from OrthoDiffusionLib.networks.structure_statistics import statistics_of
from OrthoDiffusionLib.training.diagnosis_fitting import read_by_findings


@pytest.mark.parametrize("change", [{"MM": ("no_such_structure",)}, {"NO_SUCH_FINDING": ("femur",)}])
def test_a_finding_shows_only_in_structures_of_its_joint(change: dict[str, tuple[str, ...]]) -> None:
    knee = load_joint("knee").model_dump()
    with pytest.raises(ValidationError, match="no finding or structure"):
        Joint.model_validate({**knee, "shows_in": change})


@pytest.mark.parametrize("around", [False, True])
@pytest.mark.parametrize("name", joint_names())
def test_each_finding_reads_the_statistics_of_its_structures(name: str, around: bool) -> None:
    joint = load_joint(name)
    reads = read_by_findings(joint, around=around).unflatten(1, (len(joint.structures), statistics_of(around=around)))
    for finding, row in zip(joint.findings, reads, strict=True):
        read = {structure.key for structure, columns in zip(joint.structures, row, strict=True) if columns.all()}
        assert read == set(joint.shows_in.get(finding.key, ()))
        assert torch.equal(row.all(dim=1), row.any(dim=1))
