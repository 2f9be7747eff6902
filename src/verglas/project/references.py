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
    """Return the resolution to which both half sets of a volume were once aligned to one map; None: unknown.

    Refinements know it of their volumes, and volumes made of a refinement's particles know it themselves; one that was
    made from another volume has its half maps.
    """
    for refinement in project.assets("refinement"):
        if any(_is_of(volume, one["volume_path"], one["half_map_1_path"]) for one in refinement["details"]):
            return shared_limit_of(project, refinement)
    for other in project.assets("volume"):
        if _is_of(volume, other["path"], other.get("half_map_1_path")):
            limit = _recorded(project, "volume", other["id"])
            if limit is not None:
                return limit
    return None


def shared_limit_of(project: Project, refinement: dict[str, Any]) -> float | None:
    """Return the resolution to which both half sets of a refinement were once aligned to one map; None: unknown.

    What a package starts with has the poses of the refinements that it was made from.
    """
    limit = _recorded(project, "refinement", refinement["id"])
    if limit is None and refinement["method"] == "start":
        return shared_limit_of_package(project, project.asset("package", refinement["package"]))
    return limit


def shared_limit_of_package(project: Project, package: dict[str, Any]) -> float | None:
    """Return the finest limit of the refinements that a package's poses come from; None: unknown, or they have none."""
    found: list[float | None] = []
    for result in project.results("package", package["id"]):
        values = result["values"]
        if values.get("refinement"):
            refinements = [one for one in project.assets("refinement") if one["id"] == values["refinement"]]
            found += [shared_limit_of(project, one) for one in refinements]
        else:
            earlier = [one for one in project.assets("package") if one["id"] in values.get("packages", ())]
            found += [shared_limit_of_package(project, one) for one in earlier]
    return min((limit for limit in found if limit is not None), default=None)


def _recorded(project: Project, kind: str, number: int) -> float | None:
    """Return the limit that a result of an asset holds."""
    limits = (result["values"].get("shared_to_A") for result in project.results(kind, number))
    return next((float(limit) for limit in limits if limit is not None), None)


def _is_of(volume: dict[str, Any], path: str, half_map_path: str | None) -> bool:
    """Tell whether a volume is the one at a path, or has its half maps."""
    half = volume.get("half_map_1_path")
    return volume["path"] == path or bool(half and half == half_map_path)
