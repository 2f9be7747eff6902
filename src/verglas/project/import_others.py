"""Import micrographs, volumes and atomic models."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from verglas.errors import FormatError, InputError
from verglas.project.assets import Record
from verglas.project.importing import ImportReport, choose, find_files, gather, read_header_checked, send
from verglas.project.project import Project

SCALED_PIXELS = 1200


def import_micrographs(
    project: Project,
    patterns: Iterable[str],
    *,
    pixel_size_A: float | None = None,
    voltage_kV: float | None = None,
    cs_mm: float | None = None,
    protein_is_white: bool = False,
    scaled_copies: bool = False,
) -> ImportReport:
    """Import images that are already sums of frames.

    Parameters
    ----------
    project
        An open project.
    patterns
        Names, patterns or folders.
    pixel_size_A, voltage_kV, cs_mm
        What is said about all of them; None means the file's header (pixel size) or the value of the last import.
    protein_is_white
        Whether particles are brighter than ice.
    scaled_copies
        Keep a copy of each image whose longest side has 1200 pixels, for quick display and picking.
    """
    report, remembered = ImportReport("image"), project.remembered("image")
    said = {"pixel_size_A": pixel_size_A, "voltage_kV": voltage_kV, "cs_mm": cs_mm}

    def describe(path: Path) -> Record:
        header = read_header_checked(path)
        if header.n_sections != 1:
            raise InputError(f"{path}: {header.n_sections} sections, a micrograph has one. Import it as a movie?")
        record: Record = {"n_x": header.n_x, "n_y": header.n_y, "protein_is_white": int(protein_is_white)}
        sources: dict[str, str] = {}
        for name, words, option in (
            ("pixel_size_A", "pixel size (A)", "--pixel-size"),
            ("voltage_kV", "voltage (kV)", "--voltage"),
            ("cs_mm", "spherical aberration (mm)", "--cs"),
        ):
            in_header = header.pixel_size_A if name == "pixel_size_A" else None
            candidates = (("user", said[name]), ("header", in_header), ("remembered", remembered.get(name)))
            record[name], sources[name] = choose(words, candidates, path=path, option=option, warnings=report.warnings)
        if scaled_copies and max(header.n_x, header.n_y) > SCALED_PIXELS:
            record["scaled_from"] = write_scaled(path, record["pixel_size_A"], project, scratch)
        return {**record, "sources": sources}

    scratch = project.layout.scratch / f"import-{uuid.uuid4().hex}"
    scratch.mkdir(parents=True)
    records = gather(project, "image", find_files("image", patterns), describe, report)
    given = {key: value for key, value in said.items() if value is not None}
    send(project, "image", records, remembered | given | {"protein_is_white": protein_is_white}, report)
    shutil.rmtree(scratch, ignore_errors=True)
    return report


def write_scaled(path: Path, pixel_size_A: float, project: Project, scratch: Path) -> str:
    """Write an image with its longest side scaled to 1200 pixels, and return where, relative to the project folder."""
    from verglas.formats.images import read_image
    from verglas.formats.mrc import write_mrc
    from verglas.signal import resize

    image, _ = read_image(path)
    factor = max(image.shape) / SCALED_PIXELS
    scaled = resize(image, [round(size / factor) for size in image.shape])
    target = scratch / f"{uuid.uuid4().hex}.mrc"
    write_mrc(target, scaled, pixel_size_A=pixel_size_A * factor)
    return project.layout.stored(target)


def import_volumes(project: Project, patterns: Iterable[str], *, pixel_size_A: float | None = None) -> ImportReport:
    """Import maps; the voxel size is the one given, else the header's.

    Parameters
    ----------
    project
        An open project.
    patterns
        Names, patterns or folders.
    pixel_size_A
        Voxel size of all of them, or None for the header's.
    """
    report = ImportReport("volume")

    def describe(path: Path) -> Record:
        header = read_header_checked(path)
        candidates = (("user", pixel_size_A), ("header", header.pixel_size_A))
        size, source = choose("pixel size (A)", candidates, path=path, option="--pixel-size", warnings=report.warnings)
        return {
            "n_x": header.n_x, "n_y": header.n_y, "n_z": header.n_sections,
            "pixel_size_A": size, "sources": {"pixel_size_A": source},
        }  # fmt: skip

    send(project, "volume", gather(project, "volume", find_files("volume", patterns), describe, report), {}, report)
    return report


def import_models(project: Project, patterns: Iterable[str]) -> ImportReport:
    """Import atomic models (PDB or mmCIF): size, B factors and mass are read from the file.

    Parameters
    ----------
    project
        An open project.
    patterns
        Names, patterns or folders.
    """
    report = ImportReport("model")
    send(project, "model", gather(project, "model", find_files("model", patterns), describe_model, report), {}, report)
    return report


def describe_model(path: Path) -> Record:
    """Return what a model's file says: identity, atoms, size in A, B factors in A^2, mass in kDa (hydrogens as given).

    Raises
    ------
    FormatError
        The file is no model or has no atom.
    """
    import gemmi

    try:
        structure = gemmi.read_structure(str(path))
    except (RuntimeError, ValueError) as error:
        raise FormatError(
            path, f"it cannot be read as an atomic model ({error}).", "Give a PDB or mmCIF file."
        ) from error
    if not len(structure) or not structure[0].count_atom_sites():
        raise FormatError(path, "it has no atoms.", "Give a PDB or mmCIF file with coordinates.")
    atoms = [
        (*atom.pos.tolist(), atom.b_iso, atom.element.weight * atom.occ)
        for chain in structure[0] for residue in chain for atom in residue
    ]  # fmt: skip
    values = np.array(atoms, dtype=np.float64)
    extent = np.ptp(values[:, :3], axis=0)
    return {
        "pdb_id": structure.name or None, "n_atoms": len(values),
        "size_x_A": round(float(extent[0]), 3), "size_y_A": round(float(extent[1]), 3),
        "size_z_A": round(float(extent[2]), 3), "mean_b_factor_A2": round(float(values[:, 3].mean()), 3),
        "sd_b_factor_A2": round(float(values[:, 3].std()), 3), "mass_kDa": round(float(values[:, 4].sum()) / 1000, 3),
    }  # fmt: skip
