"""Time a project of 100,000 assets: import, listing, filtering, grouping, opening, rebuilding."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.measured import record

from verglas.project import Project

ASSETS = 100_000
REPEATS = 7
LIMIT_SECONDS = 0.3


def seconds(function: Callable[[], Any], repeats: int = REPEATS) -> float:
    """Return the median time of a call by the clock."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return round(statistics.median(times), 4)


def movie(number: int) -> dict[str, Any]:
    """Return one movie's record as an import would make it."""
    return {
        "name": f"FoilHole_{number:06d}", "path": f"/data/grid{number % 7}/FoilHole_{number:06d}.tif", "n_x": 5760,
        "n_y": 4092, "n_frames": 50, "pixel_size_A": 0.83, "voltage_kV": 300.0, "cs_mm": 2.7,
        "dose_per_frame_e_A2": 1.0, "protein_is_white": 0, "sources": {"pixel_size_A": "header", "voltage_kV": "user"},
    }  # fmt: skip


def measure(folder: Path) -> dict[str, Any]:
    """Return all times in seconds."""
    figures: dict[str, Any] = {"assets": ASSETS, "limit_seconds": LIMIT_SECONDS}
    with Project.create(folder) as project:
        request = {"edit": "asset.import", "kind": "movie", "records": [movie(number) for number in range(ASSETS)]}
        figures["import_as_one_edit_seconds"] = seconds(lambda: project.edit(request), 1)
        half = list(range(1, ASSETS + 1, 2))
        add = {"edit": "group.add", "kind": "movie", "members": half}
        numbers = iter(range(REPEATS))
        times = {
            "list_a_page_of_200": seconds(lambda: project.assets("movie", limit=200, offset=70_000)),
            "filter_by_name": seconds(lambda: project.assets("movie", name="*_01234*")),
            "filter_and_count": seconds(lambda: project.count("movie", name="*7")),
            "make_a_group_of_50000": seconds(lambda: project.edit({**add, "name": f"half {next(numbers)}"})),
            "list_a_page_of_that_group": seconds(
                lambda: project.assets("movie", group="half 0", limit=200, offset=30_000)
            ),
            "invert_that_group": seconds(lambda: project.edit({"edit": "group.invert", "kind": "movie", "group": 1})),
            "list_groups_with_sizes": seconds(lambda: project.groups("movie")),
            "rename_one": seconds(
                lambda: project.edit({"edit": "asset.rename", "kind": "movie", "asset": 9, "name": "x"})
            ),
        }
        figures["seconds"] = times
        figures["all_100000_as_records_seconds"] = seconds(lambda: project.assets("movie"), 3)
        figures["rebuild_seconds"] = seconds(project.rebuild, 1)
    figures["open_to_read_seconds"] = seconds(lambda: Project.open(folder).close())
    figures["open_to_write_seconds"] = seconds(lambda: Project.open(folder, "rw").close())
    figures["reached"] = all(value < LIMIT_SECONDS for value in times.values())
    return figures


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        record("project_benchmark", measure(Path(folder) / "large"))


if __name__ == "__main__":
    main()
