"""Every real file at hand opens, converts to all packages and comes back: docs/measured/formats_real_files.json."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tests.formats.tables import PAR_LINES, differing
from tools.measured import REPOSITORY, record

from verglas.errors import FormatError
from verglas.formats import (
    TextColumn,
    read_avrot,
    read_coordinates,
    read_ctffind,
    read_header,
    read_mdoc,
    read_particles,
    read_stack,
    read_star,
    write_avrot,
    write_coordinates,
    write_ctffind,
    write_mdoc,
    write_mrc,
    write_particles,
    write_star,
)
from verglas.formats.frealign import read_par, write_par

REAL = Path(os.environ.get("VERGLAS_REAL_DATA", REPOSITORY.parent / "shared" / "data"))
# A star file whose rows have a value too many and one too few: it must be refused, with the line.
DAMAGED = {"formats/star/sample.star": "line 19: 5 values where the loop has 4 labels"}
# target -> ending, package, relative error that its own precision allows
TARGETS = {
    "relion": (".star", "relion", 0.0),
    "cistem": (".star", "cistem", 1e-15),
    "cryosparc": (".cs", "cryosparc", 1e-4),
    "verglas": (".npy", "", 0.0),
}


def convert_particles(path: Path, folder: Path) -> dict[str, Any]:
    """Write the particles of a file for every package, read them again, and name the columns that differ."""
    table = read_particles(path)
    row: dict[str, Any] = {"particles": len(table), "columns": len(list(table.columns))}
    for name, (ending, to, rtol) in TARGETS.items():
        there = folder / f"{name}{ending}"
        write_particles(table, there, to)
        row[f"by_{name}_differing_columns"] = differing(table, read_particles(there), rtol=rtol)
    return row


def equal(first: Any, second: Any) -> bool:
    """Say whether two things that were read hold the same, down to the numbers of their arrays."""
    if isinstance(first, np.ndarray):
        return bool(np.array_equal(first, second))
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(equal(a, b) for a, b in zip(first, second, strict=True))
    if is_dataclass(first):
        return all(equal(getattr(first, f.name), getattr(second, f.name)) for f in fields(first))
    if isinstance(first, float) and np.isnan(first):
        return bool(np.isnan(second))
    return bool(first == second)


def there_and_back(path: Path, folder: Path, read: Callable[..., Any], write: Callable[..., Any]) -> dict[str, Any]:
    """Write what was read and read it again; say whether it is the same."""
    first = read(path)
    write(first, folder / path.name)
    second = read(folder / path.name)
    return {"same": equal(first, second)}


def star_there_and_back(path: Path, folder: Path) -> dict[str, Any]:
    """Do so with all blocks of a star file that holds no particles."""
    first = read_star(path)
    write_star(folder / path.name, first)
    second = read_star(folder / path.name)
    same = [block.name for block in first] == [block.name for block in second]
    rows = 0
    for one, other in zip(first, second, strict=True):
        same &= one.items == other.items
        for loop, again in zip(one.loops, other.loops, strict=True):
            rows += len(loop)
            for label in loop.labels:
                a, b = loop.column(label), again.column(label)
                same &= a.tolist() == b.tolist() if isinstance(a, TextColumn) else bool(np.array_equal(a, b))
    return {"blocks": len(first), "rows": rows, "same": same}


def image_there_and_back(path: Path, folder: Path) -> dict[str, Any]:
    """Do so with an image, map or stack, as float32."""
    header = read_header(path)
    stack, pixel_size_A = read_stack(path)
    write_mrc(folder / "image.mrc", np.asarray(stack, np.float32), pixel_size_A or 0.0)
    again, _ = read_stack(folder / "image.mrc")
    return {"shape": list(stack.shape), "pixel_size_A": header.pixel_size_A, "same": bool(np.array_equal(stack, again))}


def one_file(path: Path, folder: Path) -> dict[str, Any]:
    """Treat a file as what it is."""
    name = path.name
    if name.endswith("_avrot.txt"):
        return there_and_back(path, folder, read_avrot, write_avrot)
    if path.parent.name == "ctf":
        return there_and_back(path, folder, read_ctffind, write_ctffind)
    if name.endswith(".mdoc"):
        return there_and_back(path, folder, read_mdoc, write_mdoc)
    if name.endswith((".mrc", ".mrcs", ".map.bz2", ".map.gz", ".mrc.gz")):
        return image_there_and_back(path, folder)
    if path.suffix in {".box", ".coord", ".csv"}:
        return there_and_back(
            path, folder, read_coordinates, lambda centres, there: write_coordinates(there, centres, box_px=256)
        )
    damage = DAMAGED.get(str(path.relative_to(REAL)))
    try:
        return convert_particles(path, folder)
    except FormatError as error:
        if damage is not None:
            return {"refused": damage, "same": damage in str(error)}
        if "no table of particles" not in str(error):
            raise
    return star_there_and_back(path, folder)


def par_lines(folder: Path) -> dict[str, bool]:
    """Say by way of which packages the ten published .par lines come back byte by byte."""
    (folder / "in.par").write_text(PAR_LINES)
    found = {}
    for name, (ending, to, _) in {"frealign": (".par", "frealign", 0.0), **TARGETS}.items():
        write_particles(read_par(folder / "in.par"), folder / f"way{ending}", to)
        write_par(read_particles(folder / f"way{ending}"), folder / "out.par")
        found[f"by_{name}"] = (folder / "out.par").read_text() == PAR_LINES
    return found


def main() -> None:
    if not REAL.is_dir():
        raise FileNotFoundError(f"{REAL} is not there: set VERGLAS_REAL_DATA to the folder of real data.")
    rows: dict[str, Any] = {}
    folders = ("formats", "particles", "maps", "ice_micrograph")
    for path in sorted(path for name in folders for path in (REAL / name).rglob("*") if path.is_file()):
        with tempfile.TemporaryDirectory() as folder:
            rows[str(path.relative_to(REAL))] = one_file(path, Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        published = par_lines(Path(folder))
    star = read_particles(REAL / "particles" / "empiar_10076_7.star")
    cs = read_particles(REAL / "formats" / "cs" / "empiar_10076_7.cs")
    shared = [name for name in star.columns if name in cs and not star.is_text(name)]
    bad = [
        name for name, row in rows.items()
        if row.get("same") is False or any(value for key, value in row.items() if key.endswith("differing_columns"))
    ]  # fmt: skip
    record("formats_real_files", {
        "files": len(rows), "files_that_differ": bad, "published_par_lines_come_back": published,
        "empiar_10076": {
            "particles": len(star), "columns_compared": shared,
            "columns_that_differ": [name for name in shared if not np.allclose(star[name], cs[name], rtol=2e-7)],
        },
        "each": rows,
    })  # fmt: skip


if __name__ == "__main__":
    main()
