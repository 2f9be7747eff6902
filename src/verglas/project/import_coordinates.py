"""Import particle positions: a list with the image in each line, or one file an image as other programs write them."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from verglas.errors import FormatError, InputError, VerglasError
from verglas.project.assets import Record
from verglas.project.importing import ImportReport
from verglas.project.project import Project

POSITIONS = np.dtype([("x_A", "<f4"), ("y_A", "<f4"), ("peak_height", "<f4")])
STEM_ENDINGS = ("_autopick", "_manualpick", "_picks", "_coords", "_COOS")


def import_coordinates(project: Project, files: Iterable[str]) -> ImportReport:
    """Import particle positions; each image's set becomes its active one, earlier sets stay.

    Parameters
    ----------
    project
        An open project that has the images.
    files
        ``.txt`` files of lines ``image x y`` (number, name or file of the image; x and y in A from the centre of the
        first pixel; ``#`` starts a comment), or files of one image each, named after it, in pixels (``.star``,
        ``.box``, ``.coord``, ``.csv``, ``.plt``).
    """
    report = ImportReport("positions")
    images = project.assets("image")
    names: dict[str, list[Record]] = {}
    for image in images:
        for name in {
            str(image["id"]),
            image["name"],
            image["path"],
            Path(image["path"]).name,
            Path(image["path"]).stem,
        }:
            names.setdefault(name, []).append(image)
    sets: dict[int, list[NDArray[np.float64]]] = {}
    for name in files:
        try:
            found = read_list(Path(name), names, report) if _is_list(Path(name)) else read_one(Path(name), names)
        except (VerglasError, OSError) as error:
            report.problems[name] = str(error)
            continue
        for number, positions_A in found.items():
            sets.setdefault(number, []).append(positions_A)
    scratch = project.layout.scratch / f"import-{uuid.uuid4().hex}"
    scratch.mkdir(parents=True)
    sizes = {image["id"]: image for image in images}
    results = []
    for number, parts in sorted(sets.items()):
        positions_A = np.concatenate(parts)
        outside = _outside(positions_A, sizes[number])
        if outside:
            report.warnings.append(
                f"{sizes[number]['name']}: {outside} of {len(positions_A)} positions lie outside it."
            )
        table = np.zeros(len(positions_A), POSITIONS)
        table["x_A"], table["y_A"] = positions_A.T
        path = scratch / f"{number}.npy"
        np.save(path, table)
        results.append({
            "job": None, "key": scratch.name, "kind": "particle_positions", "of": {"kind": "image", "id": number},
            "files": {"positions": project.layout.stored(path)},
            "values": {"count": len(table), "file_bytes": path.stat().st_size, "imported": True},
        })  # fmt: skip
    if results:
        report.imported = [
            {"id": result["product_id"], "name": result["product_name"]}
            for result in project.edit({"edit": "result.take-in", "results": results})["results"]
        ]
    shutil.rmtree(scratch, ignore_errors=True)
    return report


def _is_list(path: Path) -> bool:
    """Tell whether the lines of a text file begin with an image."""
    if path.suffix.lower() != ".txt":
        return False
    words = next(
        (line.split("#")[0].split() for line in path.read_text().splitlines() if line.split("#")[0].strip()), []
    )
    return len(words) >= 3


def _image(name: str, names: dict[str, list[Record]]) -> Record:
    found = names.get(name) or names.get(Path(name).name) or names.get(Path(name).stem) or []
    if len(found) != 1:
        many = "several images are" if found else "no image of the project is"
        raise InputError(f"{many} called {name!r}; use the number that `verglas list images` shows.")
    return found[0]


def read_list(path: Path, names: dict[str, list[Record]], report: ImportReport) -> dict[int, NDArray[np.float64]]:
    """Read lines ``image x y`` in A; bad lines go to the report, the good ones are returned by image."""
    points: dict[int, list[tuple[float, float]]] = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        words = line.split("#")[0].split()
        if not words:
            continue
        try:
            x, y = float(words[1]), float(words[2])
            if not np.isfinite([x, y]).all():
                raise ValueError("not finite")
            points.setdefault(_image(words[0], names)["id"], []).append((x, y))
        except (ValueError, IndexError):
            report.problems[f"{path}:{number}"] = (
                f"{path}, line {number}: {line[:60]!r} is not `image x y`; correct it."
            )
        except InputError as error:
            report.problems[f"{path}:{number}"] = f"{path}, line {number}: {error}"
    return {image: np.array(found, dtype=np.float64) for image, found in points.items()}


def read_one(path: Path, names: dict[str, list[Record]]) -> dict[int, NDArray[np.float64]]:
    """Read one image's file, in pixels, and return its positions in A.

    Raises
    ------
    InputError
        No image, or several, are called as the file is.
    FormatError
        The file has no positions.
    """
    from verglas.formats.coordinates import read_coordinates

    stem = path.stem
    for ending in STEM_ENDINGS:
        if stem not in names:
            stem = stem.removesuffix(ending)
    image = _image(stem, names)
    centres_px = read_coordinates(path, image_height_px=image["n_y"])
    if not len(centres_px):
        raise FormatError(path, "there are no positions in it.", "Leave it out.")
    return {image["id"]: centres_px * image["pixel_size_A"]}


def _outside(positions_A: NDArray[np.float64], image: Record) -> int:
    size_A = np.array([image["n_x"], image["n_y"]]) * image["pixel_size_A"]
    return int(np.sum(np.any((positions_A < 0) | (positions_A >= size_A), axis=1)))
