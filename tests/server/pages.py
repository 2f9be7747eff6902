"""What tests of the page share: the size of its window, and how it is sent to one of its pages."""

from __future__ import annotations

from typing import Any

SIZE = {"width": 1280, "height": 800}


def shell(key: str, *parts: str) -> str:
    """Return the script that sends a tab to a page of a project."""
    return f"location.hash = '#/p/{key}/{'/'.join(parts)}'"


def overflow(page: Any) -> int:
    """Return by how many pixels a page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))
