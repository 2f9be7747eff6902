"""Maps and class averages: voxels for the 3D view, slices and projections, and the members of a class."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query
from fastapi.responses import Response
from numpy.typing import NDArray

from verglas.errors import FormatError, InputError
from verglas.formats.images import read_header, read_volume
from verglas.formats.particle_table import ParticleTable
from verglas.server.answers import answer
from verglas.server.rendering import Grey, png, reduce, to_grey
from verglas.server.sources import source_path
from verglas.server.workspace import Workspace

KEPT_VOLUMES = 3
LARGEST_VOLUME = 1200**3
FLATTEST = 16
"""What has fewer sections than this part of its width is a stack or an image, not a map."""
AXES = {"z": 0, "y": 1, "x": 2}


class VolumeCache:
    """The maps that were looked at last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, int], tuple[NDArray[np.float32], float]] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, path: Path) -> tuple[NDArray[np.float32], float]:
        """Return a map and its voxel size in A.

        Raises
        ------
        FormatError
            The file is no map, or too large to show.
        """
        name = (str(path), path.stat().st_mtime_ns)
        with self._lock:
            if name not in self._kept:
                header = read_header(path)
                if header.n_sections * FLATTEST < max(header.n_x, header.n_y):
                    raise FormatError(
                        path, f"its {header.n_sections} section(s) make no map.", "Open it in the viewer."
                    )
                if header.n_x * header.n_y * header.n_sections > LARGEST_VOLUME:
                    raise FormatError(path, "it has more voxels than can be shown.", "Bin it first.")
                self._kept[name] = read_volume(path)
                while len(self._kept) > KEPT_VOLUMES:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(name)
            return self._kept[name]


def binned(volume: NDArray[np.float32], edge: int) -> tuple[NDArray[np.float32], int]:
    """Return a map of at most ``edge`` voxels a side, as means of whole blocks, and the edge of a block."""
    factor = -(-max(volume.shape) // edge)
    if factor == 1:
        return volume, 1
    if min(volume.shape) < factor:
        raise InputError(f"a map of {volume.shape} voxels cannot be binned to {edge}; ask for a larger one.")
    n_z, n_y, n_x = (size // factor for size in volume.shape)
    cut = volume[: n_z * factor, : n_y * factor, : n_x * factor]
    return cut.reshape(n_z, factor, n_y, factor, n_x, factor).mean(axis=(1, 3, 5), dtype=np.float32), factor


def in_16_bits(volume: NDArray[np.float32]) -> tuple[NDArray[np.uint16], float, float]:
    """Return values as whole numbers from 0 to 65535, the value of 0, and the step; what is no number becomes 0."""
    least, most = float(volume.min()), float(volume.max())
    if not np.isfinite(most - least):
        volume = np.nan_to_num(volume, nan=0.0, posinf=0.0, neginf=0.0)
        least, most = float(volume.min()), float(volume.max())
    step = (most - least) / 65535 or 1.0
    scaled = volume - np.float32(least)
    scaled *= np.float32(1.0 / step)
    scaled += np.float32(0.5)
    np.clip(scaled, 0, 65535, out=scaled)
    return scaled.astype("<u2"), least, step


def mean_and_deviation(volume: NDArray[np.float32]) -> tuple[float, float]:
    """Return mean and standard deviation of what is finite, summed section by section in double precision."""
    count = total = squares = 0.0
    for section in volume:
        finite = section if np.isfinite(section.sum()) else section[np.isfinite(section)]
        part = finite.astype(np.float64).ravel()
        count, total, squares = count + part.size, total + part.sum(), squares + part @ part
    mean = total / max(count, 1.0)
    return float(mean), float(np.sqrt(max(0.0, squares / max(count, 1.0) - mean * mean)))


def add_routes(router: APIRouter, workspace: Workspace) -> None:
    """Add the routes."""
    cache = VolumeCache()

    @router.get("/projects/{key}/map")
    def voxels(key: str, source: str, edge: Annotated[int, Query(ge=16, le=400)] = 160) -> Response:
        """Return a map as little-endian whole numbers of 16 bits, x fastest; the header ``x-map`` tells what they mean.

        A value is ``least + step * number``: half of what single precision would send, fine enough for any surface.
        Voxel i of the answer lies at ``((i + 0.5) * factor - 0.5) * pixel_size_A`` from the centre of the first voxel
        of the file.
        """
        volume, pixel_size_A = cache.read(source_path(workspace, key, source))
        small, factor = binned(volume, edge)
        numbers, least, step = in_16_bits(small)
        mean, deviation = mean_and_deviation(volume)
        facts = {
            "shape": small.shape, "factor": factor, "pixel_size_A": pixel_size_A, "whole": volume.shape, "mean": mean,
            "deviation": deviation, "least": least, "most": least + 65535 * step, "step": step,
        }  # fmt: skip
        return Response(numbers.tobytes(), media_type="application/octet-stream", headers={"x-map": json.dumps(facts)})

    @router.get("/projects/{key}/view")
    def view(
        key: str, source: str, what: Literal["slice", "projection"] = "slice", axis: Literal["x", "y", "z"] = "z",
        position: Annotated[int | None, Query(ge=0, lt=2**31)] = None,
        edge: Annotated[int, Query(ge=16, le=2048)] = 512,
    ) -> Response:  # fmt: skip
        """Return a slice of a map, or its projection, along an axis as a grey PNG; the first row is below."""
        volume, _ = cache.read(source_path(workspace, key, source))
        number = AXES[axis]
        if what == "projection":
            image = volume.sum(axis=number, dtype=np.float32)
        else:
            middle = volume.shape[number] // 2 if position is None else position
            if middle >= volume.shape[number]:
                raise InputError(f"the map has {volume.shape[number]} slices along {axis}, counted from 0.")
            image = np.take(volume, middle, axis=number)
        shown = to_grey(reduce(image, edge), Grey(0.5, 99.8))
        return Response(png(shown), media_type="image/png", headers={"cache-control": "private, max-age=60"})

    @router.get("/projects/{key}/classification/{number}")
    def classification(key: str, number: int) -> Response:
        """Return a classification with the figures of its classes, and all rounds of the job that made it."""
        project = workspace.get(key).project
        record = project.asset("classification", number)
        result = project.result(record["creation"])
        siblings = [
            {"id": one["product"]["id"], "round": one["values"].get("round")}
            for one in project.results("classification") if one["job"] == result["job"]
        ]  # fmt: skip
        return answer({"asset": record, "values": result["values"], "job": result["job"], "rounds": siblings})

    @router.get("/projects/{key}/classification/{number}/members")
    def members(
        key: str, number: int, class_number: Annotated[int, Query(ge=1)],
        limit: Annotated[int, Query(ge=1, le=200)] = 60, offset: Annotated[int, Query(ge=0, lt=2**31)] = 0,
    ) -> Response:  # fmt: skip
        """Return the particles of a class: how many, and the sections of the stack that show some of them."""
        project = workspace.get(key).project
        record = project.asset("classification", number)
        table = ParticleTable.load(source_path(workspace, key, f"asset:classification:{number}:particles"))
        rows = np.flatnonzero((np.asarray(table["class_number"]) == class_number) & (table["image_section"] > 0))
        chosen = rows[offset : offset + limit]
        sections = np.asarray(table["image_section"])[chosen] - 1
        return answer({
            "count": len(rows), "sections": sections.astype(int).tolist(), "rows": chosen.tolist(),
            "source": f"asset:package:{record['package']}",
        })  # fmt: skip
