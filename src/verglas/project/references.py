"""The active reference of each class of a package: the volume that its next refinement begins with."""

from __future__ import annotations

from typing import Any

from verglas.project.edits.references import references_key
from verglas.project.project import Project


def active_references(project: Project, package: int) -> list[dict[str, Any]]:
    """Return the active reference of each class.

    Parameters
    ----------
    project
        An open project.
    package
        Number of the package.

    Returns
    -------
    list of dict
        ``class`` (from 1), ``volume`` and ``name`` (None where there is none), ``chosen`` (by hand, since the latest
        refinement).
    """
    own = [one for one in project.assets("refinement") if one["package"] == package]
    latest = own[-1] if own else None
    by_path = {one["path"]: one for one in project.assets("volume")}
    paths = [one["volume_path"] for one in latest["details"]] if latest else [None]
    set_by_hand = project.remembered(references_key(package))
    by_number = {one["id"]: one for one in by_path.values()}
    found = []
    for number, path in enumerate(paths, start=1):
        choice = set_by_hand.get(str(number), {})
        chosen = bool(choice) and choice["after"] == (latest["id"] if latest else 0)
        volume = by_number.get(choice["volume"]) if chosen else by_path.get(path)
        found.append({
            "class": number, "volume": volume["id"] if volume else None, "name": volume["name"] if volume else None,
            "chosen": chosen,
        })  # fmt: skip
    return found


def shared_limit(project: Project, volume: dict[str, Any]) -> float | None:
    """Return the resolution to which both half sets of a refined volume were once aligned to one map; None: unknown.

    A volume made from a refined one has its half maps.
    """
    for refinement in project.assets("refinement"):
        if any(_is_of(volume, one) for one in refinement["details"]):
            return shared_limit_of(project, refinement)
    return None


def shared_limit_of(project: Project, refinement: dict[str, Any]) -> float | None:
    """Return the resolution to which both half sets of a refinement were once aligned to one map; None: unknown."""
    for result in project.results("refinement", refinement["id"]):
        limit = result["values"].get("shared_to_A")
        return None if limit is None else float(limit)
    return None


def _is_of(volume: dict[str, Any], detail: dict[str, Any]) -> bool:
    """Tell whether a volume, or its half maps, are those of a class of a refinement."""
    half = volume.get("half_map_1_path")
    return volume["path"] == detail["volume_path"] or bool(half and half == detail["half_map_1_path"])
