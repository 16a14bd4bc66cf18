"""The messages that the worker and its clients exchange: JSON-RPC 2.0, one message a line, UTF-8."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.bundles.clinical_data import ClinicalRecord
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError

PROTOCOL_VERSION = 1
APPLICATION_ERROR_BASE = -33000
"""An error of ours has the code APPLICATION_ERROR_BASE - exit code: outside JSON-RPC's reserved -32768 to -32000."""


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    def line(self) -> bytes:
        """The message as the one line that goes over the wire: UTF-8, with its end of line."""
        return self.model_dump_json().encode() + b"\n"


class Request(_Message):
    """A call; `id` comes back with the answer."""

    jsonrpc: Literal["2.0"] = "2.0"
    id: int
    method: Literal["hello", "load", "run", "cancel", "shutdown"]
    params: dict[str, Any] = {}


class ErrorData(_Message):
    """What a person needs to know of an error: the kind's code, what to do, and detail for the log."""

    kind: str
    action: str
    detail: str = ""


class ErrorBody(_Message):
    """A JSON-RPC error; `message` is the sentence for the person."""

    code: int
    message: str
    data: ErrorData

    @classmethod
    def of(cls, error: OrthoDiffusionError) -> ErrorBody:
        """The body that carries this error."""
        return cls(
            code=APPLICATION_ERROR_BASE - error.kind.exit_code,
            message=error.sentence,
            data=ErrorData(kind=error.kind.code, action=error.action, detail=error.detail),
        )

    def exception(self) -> OrthoDiffusionError:
        """The error that this body carries."""
        return OrthoDiffusionError(
            ErrorKind.from_code(self.data.kind), self.message, self.data.action, self.data.detail
        )


class Response(_Message):
    """The answer to a request: a result or an error, never both; `id` is None when the request was unreadable."""

    jsonrpc: Literal["2.0"] = "2.0"
    id: int | None
    result: dict[str, Any] | None = None
    error: ErrorBody | None = None

    def line(self) -> bytes:
        """The message as one line; of result and error only the one that there is."""
        absent = "result" if self.error is not None else "error"
        return self.model_dump_json(exclude={absent}).encode() + b"\n"


class Progress(_Message):
    """How far a run is: the stage's name, the fraction of the whole run from 0 to 1, and a sentence for the person."""

    stage: str
    fraction: float = Field(ge=0.0, le=1.0)
    message: str


class Notification(_Message):
    """A message that wants no answer."""

    jsonrpc: Literal["2.0"] = "2.0"
    method: Literal["progress"] = "progress"
    params: Progress


class HelloResult(_Message):
    """What the worker is: protocol and code version, and process id."""

    protocol: int
    version: str
    pid: int


class CancelResult(_Message):
    """Whether there was a job that is now being cancelled; its own answer follows when it has ended."""

    cancelling: bool


class LoadParams(_Message):
    """Load a bundle ahead of the first run: a registered name, a folder, or None for the default one."""

    bundle: str | None = None
    device: str = "auto"


class LoadResult(_Message):
    """The bundle that is now in memory."""

    name: str
    version: str
    device: str
    seconds: float


class RunParams(_Message):
    """Run one study.

    Attributes:
        paths: files or folders whose series are sorted into planes by their geometry.
        series: files or folders for one plane each; a series in the wrong plane is refused.
        output: folder that the result is written to, all or nothing, at the end.
        bundle: a registered bundle's name, a bundle's folder, or None for the default one.
        segment: write label maps.
        diagnose: write findings.
        combine: average the answers of all planes that show the joint in the same place, on each plane's grid.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        seed: of the noise in the feature extraction.
        clinical: what is known of the person besides the images; never logged. None for nothing.
    """

    paths: tuple[Path, ...] = ()
    series: dict[Plane, Path] = {}
    output: Path
    bundle: str | None = None
    segment: bool = True
    diagnose: bool = True
    combine: bool = True
    device: str = "auto"
    seed: int = 0
    clinical: ClinicalRecord | None = Field(default=None, repr=False)


class RunResult(_Message):
    """Where the result lies, and the seconds that the run took."""

    output: Path
    seconds: float
