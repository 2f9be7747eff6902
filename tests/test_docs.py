"""Links between the pages of the documentation lead somewhere, and figures that pages quote by file are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
MEASUREMENT = re.compile(r"measured/([a-z0-9_]+\.json)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_measurements_exist(page: Path) -> None:
    text = page.read_text()
    missing = [target for target in LINK.findall(text) if not (page.parent / target).exists()]
    missing += [name for name in MEASUREMENT.findall(text) if not (ROOT / "docs" / "measured" / name).exists()]
    assert not missing, f"{page.relative_to(ROOT)} points at what is not there: {missing}"


def test_every_page_can_be_found_from_the_readme() -> None:
    found, pending = set(), [ROOT / "README.md"]
    while pending:
        page = pending.pop()
        if page in found:
            continue
        found.add(page)
        targets = ((page.parent / target).resolve() for target in LINK.findall(page.read_text()))
        for target in targets:
            pending += sorted(target.glob("*.md")) if target.is_dir() else [target] if target.suffix == ".md" else []
        pending = [one for one in pending if one.exists()]
    assert found == set(PAGES)
