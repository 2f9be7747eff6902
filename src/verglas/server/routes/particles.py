"""Tables of particles: pages of rows, histograms of columns, directions of view; and the rounds of a refinement."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Query
from fastapi.responses import Response
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from verglas.errors import InputError
from verglas.formats.particle_table import COLUMNS, ParticleTable
from verglas.project.export_particles import export_package
from verglas.project.references import active_references
from verglas.server.answers import answer
from verglas.server.routes.files import confined
from verglas.server.routes.projects import path_of
from verglas.server.sources import source_path
from verglas.server.workspace import OpenProject, Workspace

SHOWN = (
    "micrograph", "rot_deg", "tilt_deg", "psi_deg", "origin_x_A", "origin_y_A", "defocus_u_A", "defocus_v_A",
    "defocus_angle_deg", "phase_shift_deg", "occupancy", "class_number", "half_set", "log_likelihood", "sigma", "score",
    "score_change", "active",
)  # fmt: skip
BY_ROUND = ("round", "limit_A", "resolution_A")
RING_DEG = 6.0
BINS = 60


class Wanted(BaseModel):
    """Where and for which program a package is written."""

    folder: str = Field(min_length=1, max_length=4000)
    program: Literal["relion", "cistem", "frealign", "cryosparc"]
    refinement: int | None = None
    class_number: int | None = None
    link: bool = False
    name: str = Field("particles", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,100}$")


def add_routes(router: APIRouter, workspace: Workspace) -> None:
    """Add the routes."""

    def table_of(key: str, source: str) -> ParticleTable:
        return ParticleTable.load(source_path(workspace, key, f"asset:{source}"))

    @router.get("/projects/{key}/particles")
    def rows(
        key: str, source: str, offset: Annotated[int, Query(ge=0, le=2**40)] = 0,
        limit: Annotated[int, Query(ge=0, le=2000)] = 200, sort: str | None = None, descending: bool = False,
    ) -> Response:  # fmt: skip
        """Return a page of a table's rows, such as of ``package:2:particles`` or ``refinement:3:particles_1``."""
        table = table_of(key, source)
        order = np.arange(len(table))
        if sort and sort != "id":
            order = np.argsort(column_of(table, sort), kind="stable")
        chosen = (order[::-1] if descending else order)[offset : offset + limit]
        page = table.select(chosen)
        columns: dict[str, list[Any]] = {
            name: list(page.names_of(name)) if table.is_text(name) else np.asarray(page[name]).tolist()
            for name in SHOWN
        }
        made = [
            {"id": int(number) + 1, **{name: column[place] for name, column in columns.items()}}
            for place, number in enumerate(chosen)
        ]
        return answer({"total": len(table), "rows": made})

    @router.get("/projects/{key}/particles/columns")
    def columns(key: str, source: str) -> Response:
        """Return the numeric columns that differ from their defaults, with units and what they are."""
        table = table_of(key, source)
        found = [
            {"name": name, "unit": COLUMNS[name].unit, "help": COLUMNS[name].meaning} for name in SHOWN
            if not table.is_text(name) and len(np.unique(np.asarray(table[name])[:1000])) > 1
        ]  # fmt: skip
        return answer({"columns": found, "count": len(table)})

    @router.get("/projects/{key}/particles/histogram")
    def histogram(key: str, source: str, column: str) -> Response:
        """Return how the values of a column lie among the particles in use."""
        table = table_of(key, source)
        values = column_of(table, column)[in_use(table)]
        values = values[np.isfinite(values)]
        if not values.size:
            return answer({"counts": [], "edges": [], "count": 0})
        counts, edges = np.histogram(values, BINS)
        return answer({
            "counts": counts.tolist(), "edges": edges.tolist(), "count": values.size, "mean": float(values.mean()),
            "deviation": float(values.std()),
        })  # fmt: skip

    @router.get("/projects/{key}/particles/directions")
    def directions(key: str, source: str) -> Response:
        """Return how many particles in use are seen from each part of the half sphere; opposite views are one."""
        table = table_of(key, source)
        used = in_use(table)
        rot, tilt = (np.asarray(table[name], np.float64)[used] for name in ("rot_deg", "tilt_deg"))
        return answer({"cells": view_counts(rot, tilt), "count": len(rot)})

    @router.post("/projects/{key}/packages/{number}/export")
    def export(key: str, number: int, asked: Wanted) -> Response:
        """Write a package's stack and parameters as another program reads them."""
        folder = confined(workspace, path_of(asked.folder))
        project = workspace.get(key).project
        made = export_package(
            project, number, folder, asked.program, refinement=asked.refinement, class_number=asked.class_number,
            link=asked.link, name=asked.name,
        )  # fmt: skip
        return answer({"stack": made.stack, "tables": made.tables, "particles": made.particles, "linked": made.linked,
                       "inverted": made.inverted})  # fmt: skip

    @router.get("/projects/{key}/refinement/{number}")
    def refinement(key: str, number: int) -> Response:
        """Return a refinement with its classes' volumes, and all rounds of the job that made it."""
        return answer(refinement_of(workspace.get(key), number))


def column_of(table: ParticleTable, name: str) -> NDArray[np.float64]:
    """Return a numeric column.

    Raises
    ------
    InputError
        There is none of that name.
    """
    if name not in COLUMNS or table.is_text(name):
        raise InputError(f"particles have no figure {name[:60]!r}.")
    return np.asarray(table[name], np.float64)


def in_use(table: ParticleTable) -> NDArray[np.bool_]:
    """Tell which particles are used: active, and with some occupancy."""
    return (np.asarray(table["active"]) > 0) & (np.asarray(table["occupancy"]) > 0)


def view_counts(rot_deg: NDArray[np.float64], tilt_deg: NDArray[np.float64]) -> list[list[float]]:
    """Count directions of view on the half sphere around +z, in cells of about one size.

    Parameters
    ----------
    rot_deg, tilt_deg
        First and second Euler angle, (n,).

    Returns
    -------
    list of [float, float, float, float, int]
        Tilt from and to, rot from and to (degrees), and the number of directions in the cell; rings from the pole out,
        with as many cells as their circumference asks for.
    """
    tilt = np.deg2rad(tilt_deg)
    z, x, y = np.cos(tilt), np.sin(tilt) * np.cos(np.deg2rad(rot_deg)), np.sin(tilt) * np.sin(np.deg2rad(rot_deg))
    side = np.where(z < 0, -1.0, 1.0)
    theta = np.rad2deg(np.arccos(np.clip(z * side, -1.0, 1.0)))
    phi = np.rad2deg(np.arctan2(y * side, x * side)) % 360.0
    rings = round(90.0 / RING_DEG)
    ring = np.minimum((theta / RING_DEG).astype(int), rings - 1)
    cells: list[list[float]] = []
    for number in range(rings):
        low, high = number * RING_DEG, (number + 1) * RING_DEG
        area = np.cos(np.deg2rad(low)) - np.cos(np.deg2rad(high))
        parts = max(4, round(2.0 * np.pi * area / np.deg2rad(RING_DEG) ** 2))
        where = np.minimum((phi[ring == number] / 360.0 * parts).astype(int), parts - 1)
        counts = np.bincount(where, minlength=parts)
        cells += [
            [low, high, 360.0 * part / parts, 360.0 * (part + 1) / parts, int(counts[part])] for part in range(parts)
        ]
    return cells


def refinement_of(opened: OpenProject, number: int) -> dict[str, Any]:
    """Return a refinement, its classes with the numbers of their volumes, and the rounds beside it."""
    project = opened.project
    record = project.asset("refinement", number)
    result = project.result(record["creation"])
    siblings = [one for one in project.results("refinement") if one["job"] == result["job"] and one["product"]]
    volumes = {
        one["key"]: one["product"]["id"] for one in project.results("volume")
        if one["job"] == result["job"] and one["product"]
    }  # fmt: skip
    by_path = {one["path"]: one["id"] for one in project.assets("volume")} if not volumes else {}
    classes = [
        {**detail, "class": place, "volume": volumes.get(detail["volume_key"], by_path.get(detail["volume_path"]))}
        for place, detail in enumerate(record["details"], start=1)
    ]
    values = {name: value for name, value in result["values"].items() if name != "details"}
    siblings.sort(key=lambda one: one["values"].get("round") or 0)
    return {
        "asset": record, "values": values, "job": result["job"], "result": result["id"], "classes": classes,
        "rounds": [
            {"id": one["product"]["id"], **{name: one["values"].get(name) for name in BY_ROUND}} for one in siblings
        ],
        "percent_changing_class": [one["values"].get("percent_changing_class") for one in siblings],
        "references": active_references(project, record["package"]),
    }  # fmt: skip
