"""Export a refinement package: its stack and its particles' parameters as another program reads them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from verglas.errors import InputError
from verglas.formats import write_particles
from verglas.formats.mrc import MrcStack, MrcStackWriter
from verglas.formats.particle_table import ParticleTable
from verglas.project.assets import Record
from verglas.project.project import Project

ENDINGS = {"relion": (".mrcs", ".star"), "cistem": (".mrc", ".star"), "frealign": (".mrc", ".par"),
           "cryosparc": (".mrc", ".cs")}  # fmt: skip
WHITE = {"relion": True, "cistem": False, "frealign": False, "cryosparc": None}
"""Whether a program wants protein white; None: it reads which it is."""
AT_ONCE = 64


@dataclass
class Exported:
    """What an export wrote.

    Attributes
    ----------
    stack
        The images.
    tables
        The parameters; several where a program keeps each class in a file of its own.
    particles
        How many.
    linked
        Whether the stack is a link to the project's.
    inverted
        Whether the contrast was turned over.
    """

    stack: Path
    tables: list[Path] = field(default_factory=list)
    particles: int = 0
    linked: bool = False
    inverted: bool = False


def export_package(
    project: Project, package: int | str, folder: Path, program: str, *, refinement: int | str | None = None,
    class_number: int | None = None, white_protein: bool | None = None, link: bool = False, name: str = "particles",
) -> Exported:  # fmt: skip
    """Write a package's stack and parameters for another program.

    Parameters
    ----------
    project
        An open project.
    package
        Number or name of the package.
    folder
        Where to; made if absent.
    program
        ``relion`` (3.1 star), ``cistem`` (star), ``frealign`` (par) or ``cryosparc`` (cs).
    refinement
        Number or name of one of its refinements, whose parameters are written; none: the package's own.
    class_number
        Class of the refinement whose parameters alone are written, of all particles; none: each class in a file of its
        own, or where a program has one file for all, each particle in its most occupied class.
    white_protein
        Contrast of the stack; none: as the program wants it.
    link
        Make a symbolic link to the stack where it can stay as it is.
    name
        Of the files.

    Raises
    ------
    InputError
        The program is not known, the refinement is of another package or has no such class, or files are there already.
    """
    if program not in ENDINGS:
        raise InputError(f"packages are written for {', '.join(ENDINGS)}, not for {program!r}.")
    record = project.asset("package", package)
    stack_ending, table_ending = ENDINGS[program]
    tables = [ParticleTable.load(project.folder / one) for one in _paths(project, record, refinement)]
    if class_number is not None:
        if not 1 <= class_number <= len(tables):
            raise InputError(f"there are classes 1 to {len(tables)}, not {class_number}.")
        tables = [tables[class_number - 1]]
    several = len(tables) > 1 and program in {"cistem", "frealign"}
    made = Exported(folder / f"{name}{stack_ending}", particles=len(tables[0]))
    names = [f"{name}_{number}" for number in range(1, len(tables) + 1)] if several else [name]
    made.tables = [folder / f"{one}{table_ending}" for one in names]
    for path in (made.stack, *made.tables):
        if path.exists() or path.is_symlink():
            raise InputError(f"{path} is there already; choose another folder or name.")
    folder.mkdir(parents=True, exist_ok=True)
    dark = not record["contrast_inverted"]
    wanted = WHITE[program] if white_protein is None else white_protein
    made.inverted = wanted is not None and wanted == dark
    made.linked = _write_stack(project.folder / record["path"], tables[0], made, link=link)
    for table, path in zip(tables if several else [_best(tables)], made.tables, strict=True):
        copy = table.copy()
        copy.set_names("image_name", [made.stack.name] * len(copy))
        copy["position"] = copy["image_section"] = np.arange(1, len(copy) + 1)
        for group in copy.optics:
            group.contrast_inverted = bool(record["contrast_inverted"]) != made.inverted
        write_particles(copy, path, program)
    return made


def _paths(project: Project, package: Record, refinement: int | str | None) -> list[str]:
    if refinement is None:
        return [package["particles_path"]]
    record = project.asset("refinement", refinement)
    if record["package"] != package["id"]:
        raise InputError(f"{record['name']} is a refinement of package {record['package']}, not of {package['id']}.")
    return [one["particles_path"] for one in record["details"]]


def _best(tables: list[ParticleTable]) -> ParticleTable:
    """Return each particle with the parameters of its most occupied class, which its class number says."""
    if len(tables) == 1:
        return tables[0]
    best = np.stack([table["occupancy"] for table in tables]).argmax(axis=0)
    made = tables[0].copy()
    for number, table in enumerate(tables):
        for column in made.columns:
            if not made.is_text(column):
                made[column][best == number] = table[column][best == number]
    made["class_number"] = best + 1
    return made


def _write_stack(source: Path, table: ParticleTable, made: Exported, *, link: bool) -> bool:
    """Write or link the stack in the table's order; return whether it is a link."""
    sections = np.asarray(table["image_section"], np.int64) - 1
    with MrcStack(source) as stack:
        if link and not made.inverted and np.array_equal(sections, np.arange(len(stack))):
            os.symlink(os.path.relpath(source.resolve(), made.stack.parent.resolve()), made.stack)
            return True
        box, kind = stack.shape[1], "float16" if stack.dtype == np.float16 else "float32"
        pixel_A = float(table["pixel_size_A"][0])
        with MrcStackWriter(made.stack, box, box, pixel_A, kind) as writer:
            for first in range(0, len(sections), AT_ONCE):
                images: np.ndarray[Any, Any] = np.asarray(stack.read(sections[first : first + AT_ONCE]), np.float32)
                writer.append(-images if made.inverted else images)
    return False
