"""Reports as one HTML page with its pictures inside."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass, field

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1c2733; }
h1 { font-weight: 600; } h2 { margin-top: 2.5rem; font-weight: 600; border-bottom: 1px solid #d5dde5; }
table { border-collapse: collapse; } td, th { padding: .2rem .9rem .2rem 0; text-align: left; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 1rem 0; } img { max-width: 100%; } figcaption { color: #5a6877; font-size: .9rem; }
@media (prefers-color-scheme: dark) { body { background: #11161b; color: #dde5ec; } img { background: #fff; } }
"""


@dataclass
class Section:
    """A chapter of the report: words, rows of (name, figure) and pictures as (PNG bytes, caption)."""

    title: str
    text: str = ""
    rows: list[tuple[str, str]] = field(default_factory=list)
    pictures: list[tuple[bytes, str]] = field(default_factory=list)


def page(title: str, sections: Sequence[Section]) -> str:
    """Return a report as HTML that needs no other file."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        f"<title>{html.escape(title)}</title><style>{STYLE}</style><h1>{html.escape(title)}</h1>",
    ]
    for section in sections:
        parts.append(f"<h2>{html.escape(section.title)}</h2>")
        if section.text:
            parts.append(f"<p>{html.escape(section.text)}</p>")
        if section.rows:
            rows = "".join(
                f"<tr><td>{html.escape(name)}</td><td class=number>{html.escape(value)}</td></tr>"
                for name, value in section.rows
            )
            parts.append(f"<table>{rows}</table>")
        for picture, caption in section.pictures:
            data = base64.b64encode(picture).decode("ascii")
            parts.append(
                f'<figure><img alt="{html.escape(caption)}" src="data:image/png;base64,{data}">'
                f"<figcaption>{html.escape(caption)}</figcaption></figure>"
            )
    return "\n".join(parts)
