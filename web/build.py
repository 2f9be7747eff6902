"""Build hook of the wheel: fetch the page's pinned libraries by npm, and ship the page with them inside."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

WEB = Path(__file__).parent
sys.path.insert(0, str(WEB))
from fetch import fetch, libraries  # noqa: E402 - a neighbour of this file, which is loaded by its path

INSIDE = "verglas/server/page"


class PageBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Puts ``web/page`` and the libraries that ``web/page/libraries.json`` names into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Fetch the libraries; without npm the page is shipped alone, and ``verglas serve`` says what is missing."""
        if not fetch():
            self.app.display_warning("npm is not here: verglas is built without its browser page (see docs/gui.md).")
        if version == "editable":
            return
        shipped = build_data["force_include"]
        shipped[str(WEB / "page")] = INSIDE
        for name, source in libraries().items():
            if (WEB / "node_modules" / source).is_file():
                shipped[str(WEB / "node_modules" / source)] = f"{INSIDE}/libraries/{name}"
