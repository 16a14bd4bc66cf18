"""Clinical data on the command line: a JSON file, single values, or both; no message ever repeats a value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Optional

import typer
from pydantic import ValidationError

from OrthoDiffusionLib.bundles.clinical_data import ClinicalRecord
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError

PANEL = "Clinical data, for bundles that read them; other users of the machine may see options, but not the file"

ClinicalFile = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(help="JSON file with any of the values below.", rich_help_panel=PANEL),
]
Age = Annotated[Optional[float], typer.Option(help="Years.", rich_help_panel=PANEL)]  # noqa: UP045
Height = Annotated[Optional[float], typer.Option(help="In cm.", rich_help_panel=PANEL)]  # noqa: UP045
Weight = Annotated[Optional[float], typer.Option(help="In kg.", rich_help_panel=PANEL)]  # noqa: UP045
Sex = Annotated[Optional[int], typer.Option(help="0 or 1, as `bundle show` says.", rich_help_panel=PANEL)]  # noqa: UP045
PatientType = Annotated[Optional[int], typer.Option(help="0 or 1, likewise.", rich_help_panel=PANEL)]  # noqa: UP045
Event = Annotated[Optional[int], typer.Option(help="0 to 19, likewise.", rich_help_panel=PANEL)]  # noqa: UP045


def clinical_record(file: Path | None, **values: float | int | None) -> ClinicalRecord | None:
    """What is known; None when nothing was given.

    Args:
        file: JSON object of values.
        values: that were given one by one; they go over the file's.

    Raises:
        OrthoDiffusionError: FILE_NOT_FOUND; USAGE for a value that cannot be, or a name that is none.
    """
    given = {name: value for name, value in values.items() if value is not None}
    if file is None and not given:
        return None
    try:
        content = {} if file is None else json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("no object")
        return ClinicalRecord.model_validate({**content, **given})
    except OSError as error:
        raise OrthoDiffusionError(
            ErrorKind.FILE_NOT_FOUND, "The file of clinical data cannot be read.", "Check its path."
        ) from error
    except ValidationError as error:
        problem = error.errors(include_input=False)[0]
        raise OrthoDiffusionError(
            ErrorKind.USAGE,
            "The clinical data are not valid.",
            f"Correct {'.'.join(map(str, problem['loc']))}: {problem['msg']}.",
        ) from None
    except ValueError:
        raise OrthoDiffusionError(
            ErrorKind.USAGE, "The file of clinical data is no JSON object.", 'Write it as {"age": 40, "sex": 1}.'
        ) from None
