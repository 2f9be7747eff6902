"""Pictures: any section of any image, strips of many sections, facts about a file, and results' own files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query
from fastapi.responses import FileResponse, Response

from verglas.errors import FormatError, InputError
from verglas.formats.ctffind import read_avrot
from verglas.formats.images import read_header
from verglas.formats.npy import read_npy
from verglas.server.answers import answer
from verglas.server.rendering import Grey, SectionCache, amplitudes, filtered, limits, png, reduce, strip, to_grey
from verglas.server.sources import source_path
from verglas.server.workspace import Workspace

TYPES = {
    ".png": "image/png", ".txt": "text/plain; charset=utf-8", ".star": "text/plain; charset=utf-8",
    ".json": "application/json", ".mrc": "application/octet-stream", ".mrcs": "application/octet-stream",
    ".npy": "application/octet-stream",
}  # fmt: skip
MOST_IN_A_STRIP = 200
Edge = Annotated[int, Query(ge=16, le=4096)]
Value = Annotated[float | None, Query(allow_inf_nan=False)]
Resolution = Annotated[float | None, Query(gt=0, le=1e6, allow_inf_nan=False)]
Percent = Annotated[float, Query(ge=0, le=100)]


def add_routes(router: APIRouter, workspace: Workspace) -> None:
    """Add the routes."""
    cache = SectionCache()

    @router.get("/projects/{key}/picture")
    def picture(
        key: str, source: str, section: Annotated[int, Query(ge=0, lt=2**31)] = 0, edge: Edge = 1024, low: Value = None,
        high: Value = None, low_percent: Percent = 0.5, high_percent: Percent = 99.5, fft: bool = False,
        invert: bool = False, low_pass_A: Resolution = None, high_pass_A: Resolution = None,
    ) -> Response:  # fmt: skip
        """Return one section as a grey PNG, without its finest or coarsest detail where that is asked for."""
        path = source_path(workspace, key, source)
        if path.suffix == ".png":
            return FileResponse(path, media_type="image/png", headers={"cache-control": "private, max-age=60"})
        image, pixel_size_A = cache.read(path, section)
        shown = amplitudes(image, edge) if fft else reduce(image, edge)
        if (low_pass_A or high_pass_A) and not fft:
            if not pixel_size_A:
                raise InputError(f"{path.name} has no pixel size, so no filter in A can be used on it.")
            shown = filtered(shown, pixel_size_A * image.shape[1] / shown.shape[1], low_pass_A, high_pass_A)
        grey = Grey(low_percent, high_percent, None if fft else low, None if fft else high, invert)
        return Response(
            png(to_grey(shown, grey)), media_type="image/png", headers={"cache-control": "private, max-age=60"}
        )

    @router.get("/projects/{key}/picture/facts")
    def facts(key: str, source: str, section: Annotated[int, Query(ge=0, lt=2**31)] = 0, edge: Edge = 1024) -> Response:
        """Tell a file's size, pixel size, and how a section's values lie."""
        path = source_path(workspace, key, source)
        header = read_header(path)
        image, pixel_size_A = cache.read(path, section)
        shown = reduce(image, edge)
        finite = shown[np.isfinite(shown)]
        if not finite.size:
            raise FormatError(path, "its values are all infinite or not a number.")
        counts, edges = np.histogram(finite, 100, range=limits(shown, Grey(0.01, 99.99)))
        low, high = limits(shown, Grey())
        return answer({
            "path": path, "n_x": header.n_x, "n_y": header.n_y, "n_sections": header.n_sections, "type": header.dtype,
            "pixel_size_A": pixel_size_A, "is_volume": header.is_volume, "mean": float(finite.mean()),
            "deviation": float(finite.std()), "least": float(finite.min()), "most": float(finite.max()),
            "low": low, "high": high, "histogram": counts.tolist(), "edges": edges.tolist(),
            "shown_x": shown.shape[1], "shown_y": shown.shape[0],
        })  # fmt: skip

    @router.get("/projects/{key}/strip")
    def sections(
        key: str, source: str, first: Annotated[int, Query(ge=0, lt=2**31)] = 0,
        count: Annotated[int, Query(ge=1, le=MOST_IN_A_STRIP)] = 50, numbers: str = "",
        edge: Annotated[int, Query(ge=16, le=256)] = 128, invert: bool = False, low: Value = None, high: Value = None,
    ) -> Response:  # fmt: skip
        """Return several sections one below the other as one PNG, each scaled by itself or between two values."""
        path = source_path(workspace, key, source)
        wanted = [int(one) for one in numbers.split(",") if one.isdecimal() and len(one) < 10] if numbers else []
        if not wanted:
            there = read_header(path).n_sections
            wanted = list(range(first, min(first + count, there)))
        if not wanted or len(wanted) > MOST_IN_A_STRIP:
            raise InputError(f"a strip holds 1 to {MOST_IN_A_STRIP} sections.")
        made, width, height = strip(path, wanted, edge, Grey(0.2, 99.8, low, high, invert))
        headers = {"cache-control": "private, max-age=60", "x-width": str(width), "x-height": str(height)}
        return Response(made, media_type="image/png", headers=headers)

    @router.get("/projects/{key}/download")
    def download(key: str, source: str) -> Response:
        """Return a file of the project as it is: a map, a table, a text."""
        if source.startswith("file:"):
            raise InputError("only files of assets and results can be downloaded.")
        path = source_path(workspace, key, source)
        kind = TYPES.get(path.suffix.lower())
        if kind is None:
            raise InputError(f"{path.name} is not of a kind that is given out.")
        return FileResponse(path, media_type=kind, filename=path.name)

    @router.get("/projects/{key}/curves")
    def curves(key: str, source: str) -> Response:
        """Return the curves in a file: CTFFIND's rotational averages, statistics of shells."""
        return answer(curves_of(source_path(workspace, key, source)))


def curves_of(path: Path) -> dict[str, object]:
    """Return the curves in a file, each a list of numbers.

    Raises
    ------
    InputError
        The file holds no curves.
    FormatError
        It is damaged.
    """
    if path.name.endswith("_avrot.txt"):
        found = read_avrot(path)[0]
        return {name: np.asarray(value).tolist() for name, value in vars(found).items() if np.ndim(value) == 1}
    if path.suffix == ".json":
        try:
            content = json.loads(path.read_text())
        except ValueError as error:
            raise FormatError(path, f"it is no JSON ({error}).") from error
        if isinstance(content, dict):
            return content
    if path.suffix == ".npy":
        table = read_npy(path)
        if table.dtype.names:
            return {name: np.asarray(table[name]).tolist() for name in table.dtype.names}
    raise InputError(f"{path.name} holds no curves.")
