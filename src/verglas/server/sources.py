"""From the name of a picture's source to its file: assets' and results' own files, or a file below allowed folders."""

from __future__ import annotations

from pathlib import Path

from verglas.errors import InputError, NotFoundError
from verglas.project import Project
from verglas.server.workspace import Workspace

COLUMNS = {
    "file": "path", "scaled": "scaled_path", "spectrum": "spectrum_path", "half1": "half_map_1_path",
    "half2": "half_map_2_path", "picture": "picture_path", "particles": "particles_path", "gain": "gain_path",
    "dark": "dark_path", "star": "star_path", "mask": "mask_path",
}  # fmt: skip

OF_A_CLASS = {
    "particles": "particles_path", "volume": "volume_path", "statistics": "statistics_path",
    "half1": "half_map_1_path", "half2": "half_map_2_path",
}  # fmt: skip
"""What a refinement keeps of each class, as ``asset:refinement:3:volume_2`` names it."""


def source_path(workspace: Workspace, key: str, source: str) -> Path:
    """Return the file of a source.

    Parameters
    ----------
    workspace
        The open projects.
    key
        The project.
    source
        ``asset:image:12``, ``asset:image:12:scaled``, ``result:7:picture`` or ``file:/data/map.mrc``.

    Raises
    ------
    NotFoundError
        There is no such asset, result or file, or it may not be looked at.
    InputError
        The source makes no sense.
    """
    from verglas.server.routes.files import confined
    from verglas.server.routes.projects import path_of

    kind, _, rest = source.partition(":")
    project = workspace.get(key).project
    if kind == "file":
        path = confined(workspace, path_of(rest))
    elif kind == "asset":
        path = inside(project, _asset_file(project, rest))
    elif kind == "result":
        number, _, role = rest.partition(":")
        if not number.isdecimal() or int(number) >= 2**63:
            raise InputError(f"{source[:100]!r} names no result.")
        files = project.result(int(number))["files"]
        if role not in files:
            raise NotFoundError(f"result {number} has no file {role[:50]!r}.")
        path = inside(project, files[role])
    else:
        raise InputError(f"{source[:100]!r} is no source: it begins with asset:, result: or file:.")
    if not path.is_file():
        raise NotFoundError(f"{path} is not there. If data were moved, `verglas project relink` finds them again.")
    return path


def _asset_file(project: Project, rest: str) -> str:
    kind, number, *role = rest.split(":")[:3] if rest.count(":") else (rest, "")
    if not number.isdecimal() or int(number) >= 2**63:
        raise InputError(f"{rest[:100]!r} names no asset.")
    asset = project.asset(kind, int(number))
    part, _, class_number = role[0].partition("_") if role else ("file", "", "")
    if kind == "refinement" and class_number.isdecimal() and 1 <= int(class_number) <= len(asset["details"]):
        stored = asset["details"][int(class_number) - 1].get(OF_A_CLASS.get(part, ""))
    else:
        column = COLUMNS.get(role[0] if role else "file")
        stored = asset.get(column) if column else None
    if not stored:
        raise NotFoundError(f"{kind} {number} has no file {role[0][:50] if role else 'file'!r}.")
    return str(stored)


def inside(project: Project, stored: str) -> Path:
    """Return a remembered file; one of the project must not lead out of it.

    ``Assets`` and ``Jobs`` may themselves be links to other disks.

    Raises
    ------
    NotFoundError
        It leads elsewhere.
    """
    path = project.layout.absolute(stored)
    if Path(stored).is_absolute():
        return path  # imported from outside, by the user's own word
    whole = path.resolve()
    top = project.folder / Path(stored).parts[0]
    roots = [project.folder, *([top.resolve()] if top.name in {"Assets", "Jobs"} else [])]
    if ".." in Path(stored).parts or not any(whole.is_relative_to(root) for root in roots):
        raise NotFoundError(f"{stored} leads out of the project folder; it is not shown.")
    return whole
