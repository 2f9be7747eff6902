"""What all imports share: finding files, reading headers side by side, and telling where each value came from."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from verglas.errors import InputError, VerglasError
from verglas.formats.image_header import ImageHeader
from verglas.project.assets import Record
from verglas.project.project import Project

READERS = 16
ENDINGS = {
    "movie": (".mrc", ".mrcs", ".tif", ".tiff", ".eer"),
    "image": (".mrc", ".tif", ".tiff"),
    "volume": (".mrc", ".map", ".mrcs"),
    "model": (".pdb", ".ent", ".cif", ".mmcif"),
}


@dataclass
class ImportReport:
    """What an import did.

    Attributes
    ----------
    kind
        Kind of asset.
    imported
        The new assets, as the journal has them.
    skipped
        Files that were in the project already.
    problems
        File -> why it was left out.
    warnings
        What a person should look at.
    """

    kind: str
    imported: list[Record] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def find_files(kind: str, patterns: Iterable[str]) -> list[Path]:
    """Return the files that names, patterns (``*``, ``?``, ``**``) and folders stand for, sorted, each once.

    Raises
    ------
    InputError
        A name or pattern matches nothing.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        place = Path(pattern).expanduser()
        if place.is_dir():
            hits = sorted(path for path in place.iterdir() if path.suffix.lower() in ENDINGS[kind])
        elif place.exists():
            hits = [place]
        else:
            hits = [Path(name) for name in sorted(glob.glob(str(place), recursive=True)) if Path(name).is_file()]
        if not hits:
            raise InputError(f"{pattern}: no such file, and no {kind} matches it ({', '.join(ENDINGS[kind])}).")
        found |= dict.fromkeys(Path(os.path.abspath(path)) for path in hits)
    return list(found)


def read_header_checked(path: Path) -> ImageHeader:
    """Return the header of an image file.

    Raises
    ------
    FormatError
        It is damaged, cut short or no image.
    """
    from verglas.formats.images import read_header

    return read_header(path)


def gather(
    project: Project, kind: str, files: Sequence[Path], describe: Callable[[Path], Record], report: ImportReport
) -> list[Record]:
    """Describe all files that are not yet in the project, in parallel; those that cannot be read go to the report."""
    known = project.paths(kind)
    wanted = []
    for path in files:
        stored = project.layout.stored(path)
        if stored in known:
            report.skipped.append(stored)
        else:
            wanted.append((path, stored))

    def one(entry: tuple[Path, str]) -> Record | str:
        path, stored = entry
        try:
            return {"name": path.name.split(".")[0], "path": stored, "file_bytes": path.stat().st_size} | describe(path)
        except (VerglasError, OSError) as error:
            return str(error)

    records = []
    with ThreadPoolExecutor(READERS) as pool:
        for (_, stored), answer in zip(wanted, pool.map(one, wanted), strict=True):
            if isinstance(answer, str):
                report.problems[stored] = answer
            else:
                records.append(answer)
    return records


def choose(
    name: str,
    candidates: Sequence[tuple[str, float | None]],
    *,
    path: Path,
    option: str,
    warnings: list[str] | None = None,
) -> tuple[float, str]:
    """Return the first value that is there, and where it came from.

    Parameters
    ----------
    name
        What it is, with its unit, for messages.
    candidates
        (source, value or None), the most trusted first.
    path
        The file it is for.
    option
        The command's option that gives it.
    warnings
        Gets a line where user and header differ by more than 1 %.

    Raises
    ------
    InputError
        No source has a value, or it is not positive.
    """
    there = {source: value for source, value in candidates if value is not None}
    if not there:
        raise InputError(f"{path}: the {name} is not known from the file or an earlier import. Give it with {option}.")
    source, value = next(iter(there.items()))
    if not value > 0 and name not in {"spherical aberration (mm)", "dose per frame (e/A^2)"}:
        raise InputError(f"{path}: the {name} is {value}; it must be positive. Give the right one with {option}.")
    header = there.get("header")
    if warnings is not None and source != "header" and header and abs(header / value - 1) > 0.01:
        warnings.append(f"{path}: {name} {value:g} ({source}) is used; the file's header says {header:g}.")
    return value, source


def send(project: Project, kind: str, records: list[Record], remember: dict[str, Any], report: ImportReport) -> None:
    """Put the records into the project as one edit."""
    if records:
        request = {"edit": "asset.import", "kind": kind, "records": records, "remember": remember}
        report.imported = project.edit(request)["records"]
