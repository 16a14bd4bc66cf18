"""The joints: each a schema of structures and findings, read from Resources/Schemas."""

from __future__ import annotations

from functools import cache
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from OrthoDiffusionLib.anatomy.structures import Code, Finding, Structure
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.resources import resources_folder


class Joint(BaseModel):
    """A joint's vocabulary: its structures in label order and its findings in network order.

    Attributes:
        schema_version: 1.
        name: lower case.
        region: of the body.
        structures: in label order.
        findings: in network order.
        shows_in: keys of the structures within which, or around which, a finding shows, by the finding's key; a finding
            that is not there shows elsewhere.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1]
    name: str = Field(pattern=r"^[a-z]+$")
    region: Code
    structures: tuple[Structure, ...] = Field(min_length=1)
    findings: tuple[Finding, ...] = Field(min_length=1)
    shows_in: dict[str, tuple[str, ...]] = {}

    @model_validator(mode="after")
    def _check_vocabulary(self) -> Joint:
        labels = [structure.label for structure in self.structures]
        if labels != list(range(1, len(labels) + 1)):
            raise ValueError(f"structures must be in label order 1 to {len(labels)} without gaps, not {labels}")
        for words in (
            [structure.key for structure in self.structures],
            [structure.name for structure in self.structures],
            [structure.color for structure in self.structures],
            [finding.key for finding in self.findings],
        ):
            if len(set(words)) != len(words):
                raise ValueError(f"a structure's or finding's key, name or colour appears twice in {words}")
        structures, findings = {one.key for one in self.structures}, {one.key for one in self.findings}
        if unknown := sorted(
            {*self.shows_in} - findings | {key for keys in self.shows_in.values() for key in keys} - structures
        ):
            raise ValueError(f"shows_in names what is no finding or structure of the joint: {unknown}")
        return self

    def structure(self, key: str) -> Structure:
        """The structure with this key.

        Raises:
            KeyError: the joint has no such structure.
        """
        for structure in self.structures:
            if structure.key == key:
                return structure
        raise KeyError(key)


def joint_names() -> tuple[str, ...]:
    """Names of the joints that have a schema, in alphabetical order."""
    return tuple(sorted(path.stem for path in (resources_folder() / "Schemas").glob("*.json")))


@cache
def load_joint(name: str) -> Joint:
    """Read and validate the schema of a joint.

    Args:
        name: one of `joint_names()`.

    Raises:
        OrthoDiffusionError: USAGE for an unknown joint, UNREADABLE_FILE for a schema that does not validate.
    """
    path = resources_folder() / "Schemas" / f"{name}.json"
    if name not in joint_names():
        raise OrthoDiffusionError(
            ErrorKind.USAGE, f"There is no joint called “{name}”.", f"Choose one of: {', '.join(joint_names())}."
        )
    try:
        joint = Joint.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise OrthoDiffusionError(
            ErrorKind.UNREADABLE_FILE,
            f"The schema of the {name} is damaged.",
            "Install OrthoDiffusion again.",
            detail=str(error),
        ) from error
    if joint.name != name:
        raise OrthoDiffusionError(
            ErrorKind.UNREADABLE_FILE,
            f"The schema file of the {name} describes the {joint.name}.",
            "Install OrthoDiffusion again.",
        )
    return joint
