"""Tables of a generated page: a heading, the measurement it quotes, and lines filled from its figures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of a table; each text is a format string that is filled from the figures of the measurement."""

    what: str
    ours: str
    beside: str = ""


@dataclass(frozen=True)
class Section:
    """One table of the page: heading, measurement, what it was measured on, rows."""

    title: str
    measurement: str
    setting: str
    rows: tuple[Row, ...]
