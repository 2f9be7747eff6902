"""What a project is: its folder, history, database, assets and groups."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verglas.project.assets import TABLES
    from verglas.project.layout import Layout, find_project
    from verglas.project.project import Project
    from verglas.project.result_kinds import RESULT_KINDS, ResultKind

_HOMES = {
    "RESULT_KINDS": "result_kinds",
    "TABLES": "assets",
    "Layout": "layout",
    "Project": "project",
    "ResultKind": "result_kinds",
    "find_project": "layout",
}

__all__ = ["RESULT_KINDS", "TABLES", "Layout", "Project", "ResultKind", "find_project"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that help stays instant."""
    if name not in _HOMES:
        raise AttributeError(f"verglas.project has no {name!r}")
    return getattr(importlib.import_module(f"verglas.project.{_HOMES[name]}"), name)
