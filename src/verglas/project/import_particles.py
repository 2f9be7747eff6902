"""Import particles of other programs: a stack and its star, par, cs or cisTEM file become a refinement package."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.errors import InputError
from verglas.formats.images import read_header
from verglas.formats.mrc import MrcStack, MrcStackWriter
from verglas.formats.particle_table import ParticleTable
from verglas.project.assets import Record
from verglas.project.importing import ImportReport
from verglas.project.project import Project
from verglas.project.result_kinds.refinement_package import stack_stem

# Column of the table -> (field, option, words).
NEEDED = {
    "pixel_size_A": ("pixel_size_A", "--pixel-size", "pixel size"),
    "voltage_kV": ("voltage_kV", "--voltage", "acceleration voltage"),
    "spherical_aberration_mm": ("cs_mm", "--cs", "spherical aberration"),
    "amplitude_contrast": ("amplitude_contrast", "--amplitude-contrast", "amplitude contrast"),
}


@dataclass(frozen=True)
class ParticleFields:
    """What an import of particles is told; values given here replace those of the file.

    Attributes
    ----------
    stack
        The stack, for files that do not name theirs (``.par``).
    folder
        Where the names of stacks in the file start from; none: looked for beside the file and above.
    pixel_size_A, voltage_kV, cs_mm, amplitude_contrast
        The microscope and the images.
    white_protein
        Whether protein is white on black; none: as the file says, else dark.
    symmetry, mass_kDa, largest_dimension_A, classes
        The molecule.
    name
        Of the package.
    """

    stack: str | None = None
    folder: str | None = None
    pixel_size_A: float | None = None
    voltage_kV: float | None = None
    cs_mm: float | None = None
    amplitude_contrast: float | None = None
    white_protein: bool | None = None
    symmetry: str = "C1"
    mass_kDa: float | None = None
    largest_dimension_A: float | None = None
    classes: int = 1
    name: str | None = None


def import_particles(
    project: Project,
    file: Path,
    fields: ParticleFields,
    *,
    half_sets: Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]] | None = None,
) -> ImportReport:
    """Make a refinement package of another program's particles.

    One stack is left where it is; the images of several are copied into one.

    Parameters
    ----------
    project
        An open project.
    file
        ``.star`` (RELION's or cisTEM's), ``.cistem``, ``.par``, ``.cs`` or ``.npy``.
    fields
        What the file does not say.
    half_sets
        Gives the half set of each particle from the numbers of its micrograph and image, for files that have none
        (:func:`verglas.stages.extraction.assign_half_sets`); none: they stay unassigned.

    Raises
    ------
    InputError
        A stack is missing, too short or not square, or something is not known.
    FormatError
        A file is damaged.
    """
    from verglas.formats import read_particles, write_particles

    report = ImportReport("package")
    table = read_particles(file)
    if not len(table):
        raise InputError(f"{file}: there are no particles in it.")
    stacks = find_stacks(table, file, fields)
    box = check_sections(table, stacks, file)
    fill(table, fields, file)
    if half_sets is not None and not table["half_set"].any():
        known = table["micrograph"]
        images = table.image_numbers()
        table["half_set"] = half_sets(known if (known >= 0).all() else images, images)
        report.warnings.append(f"{file}: no half sets were given; they were assigned by micrograph.")
    split = images_in_both_halves(table)
    if split:
        report.warnings.append(
            f"{file}: {split} images stand in both half sets, which are not independent then: their correlation says "
            "nothing. Give all copies of an image one half set (rlnRandomSubset), or none to have them assigned."
        )
    contrast = fields.white_protein
    if contrast is None:
        contrast = next((one.contrast_inverted for one in table.optics if one.contrast_inverted is not None), None)
    if contrast is None:
        contrast = False
        report.warnings.append(f"{file}: protein is taken to be dark; where it is white, say --white-protein.")
    for group in table.optics:
        group.contrast_inverted, group.image_size_px = contrast, box

    key = uuid.uuid4().hex[:8]
    scratch = project.layout.scratch / f"import-{key}"
    scratch.mkdir(parents=True)
    try:
        files = {"particles": scratch / "particles.npy", "star": scratch / "particles.star"}
        pixel_size_A = float(table["pixel_size_A"][0])
        stack_path = None
        if len(stacks) == 1:
            stack_path = project.layout.stored(next(iter(stacks.values())))
            table.set_names("image_name", [stack_path] * len(table))
        else:
            files["stack"] = scratch / "stack.mrcs"
            join_stacks(table, stacks, files["stack"], box, pixel_size_A)
            final = f"Assets/ParticleStacks/{stack_stem(None, key)}.mrcs"
            table.set_names("image_name", [final] * len(table))
            table["image_section"] = np.arange(1, len(table) + 1)
        table.save(files["particles"])
        write_particles(table, files["star"])
        values: dict[str, Any] = {
            "name": fields.name or file.name.split(".")[0], "count": len(table), "box_px": box,
            "pixel_size_A": pixel_size_A, "symmetry": fields.symmetry, "mass_kDa": fields.mass_kDa,
            "largest_dimension_A": fields.largest_dimension_A, "classes": fields.classes,
            "contrast_inverted": contrast, "start": "Imported Parameters", "imported": str(file),
            "micrographs": len(np.unique(table["micrograph"])), "stack_path": stack_path,
            "file_bytes": (files.get("stack") or next(iter(stacks.values()))).stat().st_size,
        }  # fmt: skip
        result: Record = {
            "job": None, "key": key, "kind": "refinement_package", "of": None, "values": values,
            "files": {role: project.layout.stored(path) for role, path in files.items()},
        }  # fmt: skip
        line = project.edit({"edit": "result.take-in", "results": [result]})
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    report.imported = [{"id": one["product_id"], "name": one["product_name"]} for one in line["results"]]
    return report


def images_in_both_halves(table: ParticleTable) -> int:
    """Return how many images several rows show that are in different half sets."""
    halves = np.unique(np.stack([table.image_numbers(), table["half_set"]], axis=1), axis=0)
    return len(halves) - len(np.unique(halves[:, 0]))


def find_stacks(table: ParticleTable, file: Path, fields: ParticleFields) -> dict[int, Path]:
    """Return the file behind each image name of a table; particles that name none get the stack that was given.

    Raises
    ------
    InputError
        A stack is not there, or none was named.
    """
    if fields.stack is not None:
        stack = Path(fields.stack).expanduser()
        if not stack.is_file():
            raise InputError(f"{stack}: there is no such stack.")
        if not table["image_section"].any():
            table["image_section"] = table["position"] if table["position"].all() else np.arange(1, len(table) + 1)
        table.set_names("image_name", [str(stack)] * len(table))
        return {int(table["image_name"][0]): stack.resolve()}
    if (table["image_name"] < 0).any():
        raise InputError(f"{file}: it does not name the stack of its particles. Give it with --stack.")
    above = [Path(fields.folder).expanduser()] if fields.folder else [file.resolve().parent, *file.resolve().parents]
    stacks: dict[int, Path] = {}
    for index in np.unique(table["image_name"]).tolist():
        name = table.names[index]
        found = next((folder / name for folder in above if (folder / name).is_file()), None)
        if found is None:
            raise InputError(
                f"{name}: the stack that {file} names is not there. Say with --folder where its names start from, or "
                "give the stack with --stack."
            )
        stacks[index] = found.resolve()
    return stacks


def check_sections(table: ParticleTable, stacks: dict[int, Path], file: Path) -> int:
    """Return the box of the images; refuse stacks that are not square, differ in size or are too short."""
    boxes: dict[Path, int] = {}
    for index, path in stacks.items():
        header = read_header(path)
        if header.n_x != header.n_y:
            raise InputError(f"{path}: images of {header.n_x} x {header.n_y} pixels; particles must be square.")
        boxes[path] = header.n_x
        sections = table["image_section"][table["image_name"] == index]
        if sections.min() < 1 or sections.max() > header.n_sections:
            raise InputError(
                f"{file}: it asks for image {int(sections.max())} of {path.name}, which has {header.n_sections}. "
                "They do not belong together."
            )
    if len(set(boxes.values())) > 1:
        raise InputError(f"{file}: its stacks have boxes of {sorted(set(boxes.values()))} pixels; import them apart.")
    return next(iter(boxes.values()))


def fill(table: ParticleTable, fields: ParticleFields, file: Path) -> None:
    """Put what was given into a table, and refuse one that still lacks something.

    Raises
    ------
    InputError
        A figure is not known, or pixel sizes differ.
    """
    for column, (name, option, words) in NEEDED.items():
        given = getattr(fields, name)
        if given is not None:
            table[column] = given
        unknown = table.is_default(column) if column == "amplitude_contrast" else not (table[column] > 0).all()
        if given is None and unknown and column != "spherical_aberration_mm":
            raise InputError(f"{file}: the {words} is not known. Give it with {option}.")
    sizes = table["pixel_size_A"]
    if np.ptp(sizes) > 1e-3 * sizes[0]:
        raise InputError(
            f"{file}: its particles have pixels of {sizes.min():g} to {sizes.max():g} A; import them apart."
        )


def join_stacks(table: ParticleTable, stacks: dict[int, Path], path: Path, box: int, pixel_size_A: float) -> None:
    """Copy the images of a table, in its order, from several stacks into one."""
    sources = {index: MrcStack(stack) for index, stack in stacks.items()}
    dtype = "float16" if all(stack.dtype == np.float16 for stack in sources.values()) else "float32"
    try:
        with MrcStackWriter(path, box, box, pixel_size_A, dtype) as writer:
            for index, section in zip(table["image_name"].tolist(), table["image_section"].tolist(), strict=True):
                writer.append(sources[index].section(section - 1).astype(np.float32))
    finally:
        for stack in sources.values():
            stack.close()
