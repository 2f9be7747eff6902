"""All edits of a project: each prepares itself against the database, and applies itself live and on rebuild alike."""

from __future__ import annotations

from verglas.project.edits import (
    assets,
    filters,
    groups,
    history,
    notes,
    references,
    results,
    selections,
    spheres,
    trash,
)
from verglas.project.edits.edit import Edit, Numbers

MODULES = (history, assets, groups, results, selections, notes, trash, filters, spheres, references)
EDITS: dict[str, Edit] = {edit.name: edit for module in MODULES for edit in module.EDITS}

__all__ = ["EDITS", "Edit", "Numbers"]
