"""The text of ``docs/performance.md``, filled from ``docs/measured/*.json`` so that it says what was measured last."""

from __future__ import annotations

import json
from typing import Any

from tools.measured import MEASURED, REPOSITORY
from tools.performance import classes, engine, house, movies_to_particles, refinement
from tools.performance.rows import Section

PATH = REPOSITORY / "docs" / "performance.md"

OPENING = """# Performance

What each stage costs, and here and there how right it is, beside another program that does the same and beside the
*floor*: the work that cannot be avoided (decoding the file, one Fourier transform, the matrix products), timed in the
same run.
`python -m tools.make_docs` writes this page from `docs/measured/`; `make bench` measures again. Timings are medians of
interleaved rounds. CPU-seconds are summed over threads, so they say what a job costs wherever it runs; the clock's
seconds depend on the machine named under each table.
"""

SECTIONS = (
    *movies_to_particles.SECTIONS,
    *classes.SECTIONS,
    *engine.SECTIONS,
    *refinement.SECTIONS,
    *house.SECTIONS,
)


def measured(name: str) -> dict[str, Any]:
    """Return a measurement as ``tools.measured.record`` wrote it."""
    content: dict[str, Any] = json.loads((MEASURED / f"{name}.json").read_text())
    return content


def section_text(section: Section) -> str:
    """Return a section of the page with its figures filled in.

    Raises
    ------
    KeyError
        A row asks for a figure that the measurement does not hold.
    """
    content = measured(section.measurement)
    figures, machine = content["figures"], content["machine"]
    lines = [f"## {section.title}", "", section.setting.format(**figures), ""]
    lines += ["| what | verglas | beside |", "|---|---|---|"]
    lines += [
        f"| {row.what.format(**figures)} | {row.ours.format(**figures)} | {row.beside.format(**figures)} |"
        for row in section.rows
    ]
    lines += [
        "",
        f"[{section.measurement}.json](measured/{section.measurement}.json): commit {content['commit']}, "
        f"{content['date'][:10]}, {machine['cores']} cores of {machine['processor']}, load {machine['load_1min']}.",
    ]
    return "\n".join(lines)


def page() -> str:
    """Return the whole page: a section for each measurement that was made."""
    made = [section for section in SECTIONS if (MEASURED / f"{section.measurement}.json").exists()]
    return "\n\n".join([OPENING.rstrip(), *(section_text(section) for section in made)]) + "\n"
