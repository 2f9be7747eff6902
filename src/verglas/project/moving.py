"""Move and copy whole projects, and find imported data again after it has moved."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from verglas.errors import ProjectError, VerglasError
from verglas.execution.job_folder import JobFolder
from verglas.project.edits.assets import PATH_COLUMNS
from verglas.project.importing import read_header_checked
from verglas.project.layout import Layout, check_name
from verglas.project.project import Project

LEFT_OUT = ("owner-*", "*.letter.json", "*.answer.json", "*.db-wal", "*.db-shm")


def _check_free(project: Project, target: Path) -> None:
    if not project.is_owner:
        raise ProjectError(f"{project.folder} is in use by {project.owner_words}: close it first.")
    active = [job.number for job in JobFolder.all_in(project.layout.jobs) if job.state().is_active]
    if active:
        raise ProjectError(f"job {active[0]} is running in {project.folder}: wait for it or cancel it first.")
    if target.exists():
        raise ProjectError(f"{target} exists: choose a folder that does not.")
    if target.is_relative_to(project.folder):
        raise ProjectError(f"{target} lies inside the project: choose a folder outside it.")


def move_project(folder: Path, target: Path) -> Path:
    """Move a project; all paths inside it are relative, so nothing in it changes.

    Raises
    ------
    ProjectError
        It is in use, a job is running, or the target exists.
    """
    source, target = Layout(folder).folder, target.resolve()
    with Project.open(source, "rw") as project:
        _check_free(project, target)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(source, target)
    return target


def copy_project(folder: Path, target: Path, *, name: str | None = None, database: Path | None = None) -> Path:
    """Copy a project under a new identity; the copy's database is made from its journal.

    Parameters
    ----------
    folder, target
        The project, and where its copy shall be.
    name
        Name of the copy; default is that of its folder.
    database
        File for the copy's database where it shall not lie in the folder.

    Raises
    ------
    ProjectError
        The project is in use, a job is running, or the target exists.
    """
    target = target.resolve()
    name = check_name(name or target.name)
    with Project.open(folder, "rw") as project:
        _check_free(project, target)
        database_name = project.layout.database(project.file).name
        ignored = shutil.ignore_patterns(*LEFT_OUT, database_name)
        shutil.copytree(project.folder, target, symlinks=True, ignore=ignored)
        copied = project.file.with_new_id(name, database)
        Layout(target).write(copied)
        origin = str(project.folder)
    with Project.open(target, "rw") as copy:
        copy.edit({"edit": "project.copy", "name": copied.name, "id": copied.id, "from": origin})
    return target


@dataclass
class RelinkReport:
    """What a relink found: changed paths, files that are missing, files that are not the ones that were imported."""

    changed: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    different: dict[str, str] = field(default_factory=dict)


def relink(project: Project, old: str, new: str) -> RelinkReport:
    """Look for imported files below ``new`` that were below ``old``, and remember the new places of those found.

    Parameters
    ----------
    project
        An open project.
    old, new
        Folder where imported data used to be, and where it is now.

    Returns
    -------
    RelinkReport
        A file counts as found when its size, and for images its header, are those that were imported.
    """
    report, changes = RelinkReport(), []
    old_folder, new_folder = Path(os.path.abspath(old)), Path(os.path.abspath(new))
    for kind, columns in PATH_COLUMNS.items():
        for asset in project.assets(kind):
            for column in columns:
                stored = asset[column]
                if not stored or not Path(stored).is_absolute() or not Path(stored).is_relative_to(old_folder):
                    continue
                path = new_folder / Path(stored).relative_to(old_folder)
                if not path.is_file():
                    report.missing.append(str(path))
                    continue
                problem = _difference(path, asset, is_asset=column == "path")
                if problem:
                    report.different[str(path)] = problem
                    continue
                changes.append([kind, asset["id"], column, project.layout.stored(path)])
                report.changed.append(str(path))
    if changes:
        request = {"edit": "asset.relink", "old": str(old_folder), "new": str(new_folder), "changes": changes}
        project.edit(request)
    return report


def _difference(path: Path, asset: dict[str, object], *, is_asset: bool) -> str | None:
    """Return how a file differs from the one that was imported, or None."""
    if is_asset and asset["file_bytes"] is not None and path.stat().st_size != asset["file_bytes"]:
        return f"it has {path.stat().st_size} bytes, the imported file had {asset['file_bytes']}"
    if asset["kind"] == "model":
        return None
    try:
        header = read_header_checked(path)
    except (VerglasError, OSError) as error:
        return str(error)
    if is_asset and (header.n_x, header.n_y) != (asset["n_x"], asset["n_y"]):
        return f"it is {header.n_x} x {header.n_y}, the imported file was {asset['n_x']} x {asset['n_y']}"
    return None
