"""The page on file formats lists every column as the table declares it."""

from __future__ import annotations

from pathlib import Path

from verglas.formats import COLUMNS

PAGE = Path(__file__).parents[2] / "docs" / "file-formats.md"


def test_every_column_is_on_the_page() -> None:
    text = PAGE.read_text()
    for name, column in COLUMNS.items():
        unit = "" if column.unit == "name" else column.unit
        assert f"| `{name}` | {column.default:g} | {unit} | {column.meaning} |" in text
