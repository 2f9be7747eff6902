"""Import: forms made from declared fields, a live check of the first header, and the import itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, Field, ValidationError

from verglas.actions.declaration import ActionParameters, field
from verglas.actions.import_package import import_package
from verglas.errors import InputError, VerglasError
from verglas.formats import read_particles
from verglas.formats.images import read_header
from verglas.project.import_coordinates import import_coordinates
from verglas.project.import_movies import MovieFields, import_movies, read_metadata, values_of_metadata
from verglas.project.import_others import import_micrographs, import_models, import_volumes
from verglas.project.import_particles import ParticleFields, find_stacks
from verglas.project.importing import ENDINGS, ImportReport, find_files
from verglas.project.project import Project
from verglas.server.answers import answer
from verglas.server.routes.files import confined
from verglas.server.routes.projects import path_of
from verglas.server.workspace import Workspace

PARTICLE_ENDINGS = (".star", ".cistem", ".par", ".cs", ".npy")
FROM_FILE = "none: as the file says, or as at the last import."


class Movies(ActionParameters):
    """What is said about movies."""

    pixel_size_A: float | None = field(None, help=f"Pixel size of the files; {FROM_FILE}", unit="A", gt=0)
    voltage_kV: float | None = field(None, help="Acceleration voltage; none: as at the last import.", unit="kV", gt=0)
    cs_mm: float | None = field(None, help="Spherical aberration; none: as at the last import.", unit="mm", ge=0)
    dose_per_frame_e_A2: float | None = field(
        None, help="Dose per frame; none: from SerialEM's .mdoc, or as at the last import.", unit="e/A^2", ge=0
    )
    gain: str | None = field(None, help="Gain reference; none: movies are corrected already.")
    dark: str | None = field(None, help="Dark reference; none: movies are corrected already.")
    output_pixel_size_A: float | None = field(None, help="Resample sums to this pixel size; none: no.", unit="A", gt=0)
    protein_is_white: bool = field(False, help="Particles are brighter than ice.")
    eer_super_resolution: Literal[1, 2, 4] = field(1, help="EER: how finely electrons are placed.", expert=True)
    eer_frames_per_image: int | None = field(None, help="EER: frames averaged into one image.", ge=1, expert=True)
    mag_distortion_angle_deg: float | None = field(
        None, help="Anisotropic magnification: direction.", unit="degrees", expert=True
    )
    mag_distortion_major: float | None = field(None, help="Its scale along that direction.", gt=0, expert=True)
    mag_distortion_minor: float | None = field(None, help="Its scale across.", gt=0, expert=True)


class Micrographs(ActionParameters):
    """What is said about micrographs."""

    pixel_size_A: float | None = field(None, help=f"Pixel size of the files; {FROM_FILE}", unit="A", gt=0)
    voltage_kV: float | None = field(None, help="Acceleration voltage; none: as at the last import.", unit="kV", gt=0)
    cs_mm: float | None = field(None, help="Spherical aberration; none: as at the last import.", unit="mm", ge=0)
    protein_is_white: bool = field(False, help="Particles are brighter than ice.")
    scaled_copies: bool = field(False, help="Keep copies of 1200 pixels, for quick display.")


class Volumes(ActionParameters):
    """What is said about maps."""

    pixel_size_A: float | None = field(None, help="Voxel size; none: as the file says.", unit="A", gt=0)


class Packages(ActionParameters):
    """What is said about another program's particles; values given here replace those of the file."""

    stack: str | None = field(None, help="The stack, where the file does not name it (par); none: as the file says.")
    folder: str | None = field(
        None, help="Where names of stacks start from; none: looked for beside the file and above."
    )
    pixel_size_A: float | None = field(None, help="Pixel size; none: as the file says.", unit="A", gt=0)
    voltage_kV: float | None = field(None, help="Acceleration voltage; none: as the file says.", unit="kV", gt=0)
    cs_mm: float | None = field(None, help="Spherical aberration; none: as the file says.", unit="mm", ge=0)
    amplitude_contrast: float | None = field(None, help="Amplitude contrast; none: as the file says.", ge=0, le=1)
    white_protein: bool | None = field(None, help="Protein is white on black; none: as the file says, else dark.")
    symmetry: str = field("C1", help="Point group of the molecule.")
    mass_kDa: float | None = field(None, help="Its mass.", unit="kDa", gt=0)
    largest_dimension_A: float | None = field(None, help="Its largest dimension.", unit="A", gt=0)
    classes: int = field(1, help="Number of classes to refine.", ge=1, le=1000)
    name: str | None = field(None, help="Name of the package; none: that of the file.")


class Nothing(ActionParameters):
    """Nothing needs to be said."""


FORMS: dict[str, tuple[str, type[ActionParameters], tuple[str, ...]]] = {
    "movie": ("Import movies", Movies, ENDINGS["movie"]),
    "image": ("Import micrographs", Micrographs, ENDINGS["image"]),
    "positions": ("Import positions", Nothing, (".txt", ".star", ".box", ".coord", ".csv", ".plt")),
    "volume": ("Import maps", Volumes, ENDINGS["volume"]),
    "model": ("Import atomic models", Nothing, ENDINGS["model"]),
    "package": ("Import particles", Packages, PARTICLE_ENDINGS),
}


class Asked(BaseModel):
    """Files and what is said about them."""

    patterns: list[str] = Field(default_factory=list, max_length=5000)
    fields: dict[str, Any] = Field(default_factory=dict)


def add_routes(router: APIRouter, workspace: Workspace) -> None:
    """Add the routes."""

    @router.get("/projects/{key}/import/{kind}")
    def form(key: str, kind: str) -> Response:
        """Return the form: fields, the values of the last import, and which files fit."""
        project = workspace.get(key).project
        title, model, endings = _form(kind)
        remembered = {name: value for name, value in project.remembered(kind).items() if name in model.model_fields}
        return answer({
            "title": title, "parameters": model.model_json_schema(), "remembered": remembered, "endings": endings,
        })  # fmt: skip

    @router.post("/projects/{key}/import/{kind}/check")
    def check(key: str, kind: str, asked: Asked) -> Response:
        """Tell how many files are meant and what the header of the first one says, or as ``error`` why none can be."""
        project = workspace.get(key).project
        _form(kind)
        try:
            files = _files(workspace, kind, asked.patterns)
        except InputError as error:
            return answer({"error": str(error)})
        known = project.paths(kind)
        return answer({
            "count": len(files), "known": sum(project.layout.stored(path) in known for path in files),
            "first": files[0], "last": files[-1], "header": _header(kind, files[0]),
        })  # fmt: skip

    @router.post("/projects/{key}/import/{kind}")
    def import_files(key: str, kind: str, asked: Asked) -> Response:
        """Import files."""
        opened = workspace.get(key)
        _, model, _ = _form(kind)
        try:
            fields = model.model_validate(asked.fields).model_dump()
        except ValidationError as error:
            raise InputError(
                "; ".join(f"{one['loc'][0]}: {one['msg']}" for one in error.errors() if one["loc"])
            ) from error
        files = _files(workspace, kind, asked.patterns)
        if kind == "package":
            report = _import_particles(workspace, opened.project, files, fields)
        else:
            report = _import(opened.project, kind, [str(path) for path in files], fields)
        opened.jobs.wake()
        return answer({
            "imported": len(report.imported), "skipped": len(report.skipped), "problems": report.problems,
            "warnings": report.warnings[:50],
        })  # fmt: skip


def _form(kind: str) -> tuple[str, type[ActionParameters], tuple[str, ...]]:
    if kind not in FORMS:
        raise InputError(f"files cannot be imported as {kind!r}; they can be as {', '.join(FORMS)}.")
    return FORMS[kind]


def _files(workspace: Workspace, kind: str, patterns: list[str]) -> list[Path]:
    """Return the files that are meant, all below the folders that may be looked at."""
    wanted = [str(path_of(one)) for one in patterns if one.strip()]
    if not wanted:
        raise InputError("choose files first.")
    files = find_files(kind, wanted) if kind in ENDINGS else [Path(one) for one in wanted]
    for folder in {path.parent for path in files}:
        confined(workspace, folder)
    for path in files:
        if path.is_symlink():
            confined(workspace, path)
    return files


def _header(kind: str, path: Path) -> dict[str, Any]:
    """Return what the first file says, or what is wrong with it."""
    if kind not in {"movie", "image", "volume", "package"}:
        return {}
    try:
        if kind == "package":
            return _particle_facts(path)
        header = read_header(path)
        found: dict[str, Any] = {
            "format": header.kind, "n_x": header.n_x, "n_y": header.n_y, "n_sections": header.n_sections,
            "type": header.dtype, "pixel_size_A": header.pixel_size_A,
        }  # fmt: skip
        if kind == "movie":
            found["mdoc"] = values_of_metadata(read_metadata(path), header.n_sections)
    except (VerglasError, OSError) as error:
        return {"error": str(error)}
    return found


def _import(project: Project, kind: str, files: list[str], fields: dict[str, Any]) -> ImportReport:
    if kind == "movie":
        return import_movies(project, files, MovieFields(**fields))
    if kind == "image":
        return import_micrographs(project, files, **fields)
    if kind == "volume":
        return import_volumes(project, files, **fields)
    if kind == "model":
        return import_models(project, files)
    return import_coordinates(project, files)


def _particle_facts(path: Path) -> dict[str, Any]:
    """Return how many particles a file names, and in which stacks."""
    table = read_particles(path)
    names = [table.names[index] for index in np.unique(table["image_name"]).tolist() if index >= 0]
    pixel_A = float(table["pixel_size_A"][0]) if len(table) else 0.0
    return {
        "particles": len(table), "stacks": names[:5], "stack_count": len(names), "pixel_size_A": pixel_A or None,
        "half_sets": bool(table["half_set"].any()), "classes": int(table["class_number"].max()) if len(table) else 0,
    }  # fmt: skip


def _import_particles(
    workspace: Workspace, project: Project, files: list[Path], fields: dict[str, Any]
) -> ImportReport:
    """Import one file of particles; its stacks, too, must lie where the page may look."""
    if len(files) != 1:
        raise InputError(f"{len(files)} files are chosen; particles are imported one file at a time.")
    given = ParticleFields(**fields)
    for one in (given.stack, given.folder):
        if one:
            path_of(one)
    for stack in find_stacks(read_particles(files[0]), files[0], given).values():
        confined(workspace, stack)
    return import_package(project, files[0], given)
