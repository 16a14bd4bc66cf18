"""How the command line speaks: sentences on standard error, results on standard output, telling exit codes."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError

DEBUG_VARIABLE = "ORTHODIFFUSION_DEBUG"

err = Console(stderr=True, highlight=False)
out = Console(highlight=False)
log = logging.getLogger("orthodiffusion")


def print_json(content: object) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def reported(as_json: bool = False) -> Iterator[None]:
    """Turn whatever goes wrong in the block into a sentence and the exit code of its kind; never a traceback.

    With the environment variable ORTHODIFFUSION_DEBUG set, the details follow.
    """
    try:
        yield
    except OrthoDiffusionError as error:
        _tell(error, as_json)
    except KeyboardInterrupt:
        _tell(OrthoDiffusionError(ErrorKind.CANCELLED, "Cancelled; nothing was written.", ""), as_json)
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:
        log.debug("unforeseen error", exc_info=error)
        _tell(
            OrthoDiffusionError(
                ErrorKind.INTERNAL,
                "Something went wrong that should not have.",
                f"Run it again with {DEBUG_VARIABLE}=1 and report what it says.",
                detail=f"{type(error).__name__}: {error}",
            ),
            as_json,
        )


def _tell(error: OrthoDiffusionError, as_json: bool) -> None:
    if as_json:
        body = {"kind": error.kind.code, "sentence": error.sentence, "action": error.action}
        print_json({"error": body})
    else:
        err.print(f"[bold red]Error:[/] {error.sentence} {error.action}".rstrip(), soft_wrap=True)
    if os.environ.get(DEBUG_VARIABLE) and error.detail:
        err.print(error.detail, style="dim", markup=False)
    raise typer.Exit(error.kind.exit_code)
