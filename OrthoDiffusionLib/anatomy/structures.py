"""What is segmented and what is diagnosed."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

ColorValue = Annotated[int, Field(ge=0, le=255)]


class Code(BaseModel):
    """A term of a coding scheme, such as SNOMED CT (`SCT`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scheme: str = Field(min_length=1)
    value: str = Field(min_length=1)
    meaning: str = Field(min_length=1)


class Terminology(BaseModel):
    """The DICOM segmentation property of a structure: category, type and type modifier.

    Categories and types are those of Slicer's own lists (SegmentationCategoryTypeModifier-*.json), which have no tibia
    and no talus: those take their SNOMED CT codes. The lists have no code for each ligament, meniscus or tendon either:
    such a structure is of the general type, under "Tissue" as there, with a modifier that tells which.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    category: Code
    type: Code
    modifier: Code | None = None


class Structure(BaseModel):
    """A structure that label maps hold.

    Attributes:
        label: its value in label maps, from 1.
        key: its name in files and commands.
        name: its name for people.
        color: red, green and blue, each 0 to 255.
        terminology: its DICOM codes.
        one_piece: whether it is in one piece in everybody, as a bone is; smaller pieces apart are then no part of it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: int = Field(ge=1, le=32767)
    key: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    name: str = Field(min_length=1)
    color: tuple[ColorValue, ColorValue, ColorValue]
    terminology: Terminology
    one_piece: bool = False


class Finding(BaseModel):
    """A finding that gets a probability; `key` is the column name of the published code."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str = Field(pattern=r"^[A-Z][A-Z0-9_]*$")
    name: str = Field(min_length=1)
    description: str = Field(min_length=1)
