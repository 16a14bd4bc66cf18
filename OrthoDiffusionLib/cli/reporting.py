"""How the command line speaks: sentences on standard error, results on standard output, telling exit codes."""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb

import typer
from rich.console import Console
from rich.markup import escape

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.worker.failures import known_shortage

DEBUG_VARIABLE = "ORTHODIFFUSION_DEBUG"

EXTRAS = {
    "matplotlib": "pictures",
    "sklearn": "evaluation",
    "lightning_fabric": "training",
    "tensorboard": "training",
    "yaml": "training",
}
"""The optional part of the installation that brings a package."""

TRAINING_ROOM = "OrthoDiffusionLib.training"
"""Code that needs all of the optional part `training`, which brings the others too."""

NOT_WRITABLE = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY}
)
"""What the system says of a place that cannot be written. What is read has errors of its own."""

err = Console(stderr=True, highlight=False)
out = Console(highlight=False)
log = logging.getLogger("orthodiffusion")


def print_json(content: object) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def reported(as_json: bool = False, kept: str = "Nothing was written.", when_short: str = "") -> Iterator[None]:
    """Turn whatever goes wrong in the block into a sentence and the exit code of its kind; never a traceback.

    Args:
        as_json: on standard output.
        kept: what is there when the person stops the command.
        when_short: what takes less memory, where there is too little.

    With `orthodiffusion --debug`, or the environment variable ORTHODIFFUSION_DEBUG set, the details follow.
    """
    try:
        yield
    except OrthoDiffusionError as error:
        _tell(error, as_json)
    except KeyboardInterrupt:
        _tell(OrthoDiffusionError(ErrorKind.CANCELLED, "Cancelled.", kept), as_json)
    except (typer.Exit, typer.Abort):
        raise
    except ModuleNotFoundError as error:
        _tell(missing_package(error), as_json)
    except Exception as error:
        if (shortage := known_shortage(error)) is not None:
            if shortage.kind is ErrorKind.OUT_OF_MEMORY and when_short:
                shortage.action = when_short
            _tell(shortage, as_json)
        if isinstance(error, OSError) and error.errno in NOT_WRITABLE:
            _tell(_not_opened(error) if _withheld(error) else _not_writable(error), as_json)
        log.debug("unforeseen error", exc_info=error)
        _tell(
            OrthoDiffusionError(
                ErrorKind.INTERNAL,
                "Something went wrong that should not have.",
                "Run it again as `orthodiffusion --debug ...` and report what it says.",
                detail=f"{type(error).__name__}: {error}",
            ),
            as_json,
        )


def check_writable(output: Path) -> None:
    """Refuse, before long work, an output folder that cannot be made or filled; nothing is made.

    Raises:
        OrthoDiffusionError: OUTPUT_NOT_WRITABLE or DISK_FULL.
    """
    from OrthoDiffusionLib.inference.result_folder import check_output

    check_output(output)


def _withheld(error: OSError) -> bool:
    """Whether what the system refused is there, and this user may not read it; what was tried, the error says not."""
    return isinstance(error.filename, str) and os.path.exists(error.filename) and not os.access(error.filename, os.R_OK)


def _not_opened(error: OSError) -> OrthoDiffusionError:
    return OrthoDiffusionError(
        ErrorKind.UNREADABLE_FILE,
        "You have no right to open a file or folder that is to be read or written.",
        "Have its owner give you the right, or choose another one; `orthodiffusion --debug ...` names it.",
        detail=str(error),
    )


def _not_writable(error: OSError) -> OrthoDiffusionError:
    return OrthoDiffusionError(
        ErrorKind.OUTPUT_NOT_WRITABLE,
        "A file or folder that is to be written cannot be.",
        "Choose an output, and a cache if you name one, in a folder that you may write to.",
        detail=str(error),
    )


def missing_package(error: ModuleNotFoundError) -> OrthoDiffusionError:
    """What to install for an import that failed."""
    package = (error.name or "").partition(".")[0]
    asking = (frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__))
    in_training = any(name.partition(f"{TRAINING_ROOM}.")[1] for name in asking)
    extra = f"[{'training' if in_training else EXTRAS[package]}]" if package in EXTRAS else ""
    return OrthoDiffusionError(
        ErrorKind.MISSING_PACKAGE,
        f"The package {package} is not installed.",
        f"In the folder of the project, install it with: pip install -e '.{extra}'",
        detail=str(error),
    )


def _tell(error: OrthoDiffusionError, as_json: bool) -> None:
    if as_json:
        body = {"kind": error.kind.code, "sentence": error.sentence, "action": error.action}
        print_json({"error": body})
    else:
        # A sentence that lists studies has lines of its own.
        between = "\n" if "\n" in error.sentence else " "
        err.print(f"[bold red]Error:[/] {escape(f'{error.sentence}{between}{error.action}'.rstrip())}", soft_wrap=True)
    if os.environ.get(DEBUG_VARIABLE) and error.detail:
        err.print(error.detail, style="dim", markup=False)
    raise typer.Exit(error.kind.exit_code)
