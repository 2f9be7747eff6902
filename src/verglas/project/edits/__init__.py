"""All edits of a project: each prepares itself against the database, and applies itself live and on rebuild alike."""

from __future__ import annotations

from verglas.project.edits import assets, groups, history, notes, results, trash
from verglas.project.edits.edit import Edit, Numbers

EDITS: dict[str, Edit] = {
    edit.name: edit for module in (history, assets, groups, results, notes, trash) for edit in module.EDITS
}

__all__ = ["EDITS", "Edit", "Numbers"]
