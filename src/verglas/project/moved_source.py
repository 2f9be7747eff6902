"""Find a folder of imported movies again after somebody has moved it, and remember its new place."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from verglas.project.assets import Record
from verglas.project.moving import RelinkReport, relink
from verglas.project.project import Project

ANCESTORS = 3
DEPTH = 4
MOST_FOLDERS = 20_000


def moved_into(project: Project, folder: Path) -> dict[str, str]:
    """Return the old folders of movies that are missing where they were imported and that lie in or below ``folder``.

    Parameters
    ----------
    project
        An open project.
    folder
        Where to look.

    Returns
    -------
    dict
        Old folder to new folder. A file is taken for the same where name and size are.
    """
    found = {}
    for old, movies in _missing(project).items():
        for place in (folder, *(below for below in _subfolders(folder, DEPTH) if below.name == Path(old).name)):
            if any(_is_there(movie, place) for movie in movies):
                found[old] = str(place)
                break
    return found


def find_moved(project: Project, old: Path, identity: tuple[int, int] | None = None) -> Path | None:
    """Look where a folder may have gone: near its old place, under its own name or as the very same folder.

    Parameters
    ----------
    project
        An open project whose movies came from there.
    old
        The folder that is gone.
    identity
        Its device and inode when it was there.

    Returns
    -------
    Path or None
        Its new place: the same folder of the disk, or one of its name with movies of the project in it.
    """
    missing = [movie for place, movies in _missing(project).items() if Path(place).is_relative_to(old)
               for movie in movies]  # fmt: skip
    start = old.parent
    for _ in range(ANCESTORS):
        if start == start.parent:
            return None  # the root: too much to search
        if start.is_dir():
            for folder in _subfolders(start, DEPTH):
                same = identity is not None and _identity(folder) == identity
                if not (same or folder.name == old.name):
                    continue
                below = [folder / Path(movie["path"]).relative_to(old).parent for movie in missing]
                if any(_is_there(movie, place) for movie, place in zip(missing, below)) or (same and not missing):
                    return folder
        start = start.parent
    return None


def follow_move(project: Project, old: str, new: str) -> RelinkReport:
    """Remember the new place of everything that was imported from below a moved folder.

    Where folders above have moved with it, what lies in them is found too (gain references beside the movies' folder).
    """
    old_folder, new_folder = Path(old), Path(new)
    while (
        old_folder.name == new_folder.name
        and not old_folder.parent.exists()
        and old_folder.parent != old_folder.parent.parent
    ):
        old_folder, new_folder = old_folder.parent, new_folder.parent
    return relink(project, str(old_folder), str(new_folder))


def _missing(project: Project) -> dict[str, list[Record]]:
    """Return the movies whose files are not where they were imported from, by folder."""
    found: dict[str, list[Record]] = defaultdict(list)
    for movie in project.assets("movie"):
        path = Path(movie["path"])
        if path.is_absolute() and not path.exists():
            found[str(path.parent)].append(movie)
    return found


def _is_there(movie: Record, folder: Path) -> bool:
    path = folder / Path(movie["path"]).name
    try:
        size = path.stat().st_size
    except OSError:
        return False
    return movie["file_bytes"] in {None, size}


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _subfolders(start: Path, depth: int) -> Iterator[Path]:
    """Yield the folders below one, nearest first, without hidden ones and not more than is reasonable."""
    level, count = [start], 0
    for _ in range(depth):
        following = []
        for folder in level:
            try:
                with os.scandir(folder) as entries:
                    folders = (entry for entry in entries if entry.is_dir(follow_symlinks=False))
                    below = sorted(entry.path for entry in folders if not entry.name.startswith("."))
            except OSError:
                continue
            for path in map(Path, below):
                count += 1
                if count > MOST_FOLDERS:
                    return
                yield path
                following.append(path)
        level = following
