"""The lines of a job's ``events.jsonl``: state, progress, results, failures, messages, figures."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from verglas.errors import FormatError

WrittenState = Literal["starting", "running", "paused", "cancelled", "failed", "done"]
State = Literal["queued", "starting", "running", "paused", "interrupted", "cancelled", "failed", "done"]


class Line(BaseModel):
    """What every line has: its kind (first, so that readers can filter bytes) and its time."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    @property
    def durable(self) -> bool:
        """Whether the writer waits until the line is on disk."""
        return False


class StateEvent(Line):
    """The job entered a state; ``cpu_seconds`` and ``peak_memory_bytes`` are of this attempt, workers included."""

    event: Literal["state"] = "state"
    t: float = Field(default_factory=time.time)
    state: WrittenState
    failures: int = 0
    message: str = ""
    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None

    @property
    def durable(self) -> bool:
        """States are waited for."""
        return True


class ProgressEvent(Line):
    """How far the job is."""

    event: Literal["progress"] = "progress"
    t: float = Field(default_factory=time.time)
    done: int
    total: int
    phase: str = ""
    seconds_left: float | None = None


class AssetReference(BaseModel):
    """An asset that a result belongs to."""

    model_config = ConfigDict(frozen=True)
    kind: str
    id: int


class ResultEvent(Line):
    """A result whose files lie whole on disk."""

    event: Literal["result"] = "result"
    t: float = Field(default_factory=time.time)
    key: str
    kind: str
    files: dict[str, str] = Field(default_factory=dict)
    values: dict[str, Any] = Field(default_factory=dict)
    of: AssetReference | None = None

    @property
    def durable(self) -> bool:
        """Results are waited for."""
        return True


class FailureEvent(Line):
    """An item that was set aside after it failed, or killed its worker, too often."""

    event: Literal["failure"] = "failure"
    t: float = Field(default_factory=time.time)
    key: str
    error: str
    attempts: int

    @property
    def durable(self) -> bool:
        """Failures are waited for."""
        return True


class MessageEvent(Line):
    """Something a person should read."""

    event: Literal["message"] = "message"
    t: float = Field(default_factory=time.time)
    level: Literal["info", "warning", "error"] = "info"
    text: str


class FiguresEvent(Line):
    """Numbers for live plots."""

    event: Literal["figures"] = "figures"
    t: float = Field(default_factory=time.time)
    values: dict[str, Any]


Event = StateEvent | ProgressEvent | ResultEvent | FailureEvent | MessageEvent | FiguresEvent
_ADAPTER: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])


def parse_event(line: bytes, path: str, offset: int) -> Event | None:
    """Return the event in one finished line; None for a kind that only a newer verglas knows.

    Raises
    ------
    FormatError
        The line is no JSON or lacks a field: the file was damaged.
    """
    try:
        return _ADAPTER.validate_json(line)
    except ValidationError as error:
        if all(problem["type"] == "union_tag_invalid" for problem in error.errors()):
            return None
        raise FormatError(
            path,
            f"the line that ends at byte {offset} is damaged: {line[:80]!r}.",
            "Remove that line; if it was a result, resuming the job makes it again.",
        ) from error
