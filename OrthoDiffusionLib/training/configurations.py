"""Configurations and cards, read from YAML files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.resources import resources_folder

Settings = TypeVar("Settings", bound=BaseModel)


def load_settings(kind: type[Settings], name: str, changes: Sequence[str] = ()) -> Settings:
    """Read the settings of a training.

    Args:
        kind: of settings.
        name: of a file that comes with the library, such as `small`, or the path of another one.
        changes: `key=value`, over what the file says; values are YAML.

    Raises:
        OrthoDiffusionError: FILE_NOT_FOUND; BAD_SETTINGS for a key or a value that cannot be.
    """
    shipped = resources_folder() / "Training"
    path = Path(name) if name.endswith((".yaml", ".yml")) else shipped / f"{name}.yaml"
    if not path.is_file():
        fitting = ", ".join(sorted(file.stem for file in shipped.glob("*.yaml") if _fits(kind, file)))
        raise OrthoDiffusionError(
            ErrorKind.FILE_NOT_FOUND, f"There is no configuration {name}.", f"Name a YAML file, or one of {fitting}."
        )
    return _read(kind, path, "configuration", changes)


def load_card(kind: type[Settings], path: Path) -> Settings:
    """Read what people say of a bundle or of a refinement.

    Args:
        kind: of card.
        path: of a YAML file.

    Raises:
        OrthoDiffusionError: FILE_NOT_FOUND; BAD_SETTINGS for a key or a value that cannot be.
    """
    if not path.is_file():
        raise OrthoDiffusionError(
            ErrorKind.FILE_NOT_FOUND,
            f"There is no card {path}.",
            "Name a YAML file; Resources/Training/demonstration-card.yaml is one to copy and change.",
        )
    return _read(kind, path, "card", ())


def first_problem(error: ValidationError, what: str) -> str:
    """What is wrong first, in words that need no source code.

    Args:
        error: of a model that a file is read into.
        what: the file is.
    """
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        return f"{place} is nothing that this {what} can say"
    said = first["msg"].removeprefix("Value error, ")
    return f"{place}: {said}" if place else said


def _read(kind: type[Settings], path: Path, what: str, changes: Sequence[str]) -> Settings:
    try:
        content = _parsed(path.read_text(encoding="utf-8"), "the file")
        if content is None:
            content = {}
        if not isinstance(content, dict):
            raise ValueError("the file must hold lines like “key: value”")
        for change in changes:
            key, separator, value = change.partition("=")
            if not separator:
                raise ValueError(f"“{change}” is not key=value")
            content[key.strip()] = _parsed(value, f"“{change}”")
        return kind.model_validate(content)
    except (ValueError, OSError) as error:
        said = first_problem(error, what) if isinstance(error, ValidationError) else str(error)
        raise OrthoDiffusionError(
            ErrorKind.BAD_SETTINGS, f"The {what} is not valid.", f"Correct it: {said}.", detail=str(error)
        ) from error


def _parsed(text: str, what: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ValueError(f"line {mark.line + 1} of {what} is no YAML" if mark else f"{what} is no YAML") from error


def _fits(kind: type[BaseModel], path: Path) -> bool:
    try:
        _read(kind, path, "configuration", ())
    except OrthoDiffusionError:
        return False
    return True
