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


class Clock:
    """Times calls by the clock and by this process's CPU, which tells what other programs on the machine took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.cpu_seconds: dict[str, float] = {}

    def time(self, name: str, function: Callable[[], Any], repeats: int = REPEATS) -> None:
        """Note the medians of some calls."""
        by_clock, by_cpu = [], []
        for _ in range(repeats):
            start, start_cpu = time.perf_counter(), time.process_time()
            function()
            by_clock.append(time.perf_counter() - start)
            by_cpu.append(time.process_time() - start_cpu)
        self.seconds[name] = round(statistics.median(by_clock), 4)
        self.cpu_seconds[name] = round(statistics.median(by_cpu), 4)


def movie(number: int) -> dict[str, Any]:
    """Return one movie's record as an import would make it."""
    return {
        "name": f"FoilHole_{number:06d}", "path": f"/data/grid{number % 7}/FoilHole_{number:06d}.tif", "n_x": 5760,
        "n_y": 4092, "n_frames": 50, "pixel_size_A": 0.83, "voltage_kV": 300.0, "cs_mm": 2.7,
        "dose_per_frame_e_A2": 1.0, "protein_is_white": 0, "sources": {"pixel_size_A": "header", "voltage_kV": "user"},
    }  # fmt: skip


def measure(folder: Path) -> dict[str, Any]:
    """Return all times in seconds."""
    quick, other = Clock(), Clock()
    with Project.create(folder) as project:
        request = {"edit": "asset.import", "kind": "movie", "records": [movie(number) for number in range(ASSETS)]}
        other.time("import_100000_as_one_edit", lambda: project.edit(request), 1)
        add = {"edit": "group.add", "kind": "movie", "members": list(range(1, ASSETS + 1, 2))}
        names = (f"half {number}" for number in range(REPEATS))
        rename = {"edit": "asset.rename", "kind": "movie", "asset": 9, "name": "x"}
        invert = {"edit": "group.invert", "kind": "movie", "group": 1}
        quick.time("list_a_page_of_200", lambda: project.assets("movie", limit=200, offset=70_000))
        quick.time("filter_by_name", lambda: project.assets("movie", name="*_01234*"))
        quick.time("filter_and_count", lambda: project.count("movie", name="*7"))
        quick.time("make_a_group_of_50000", lambda: project.edit({**add, "name": next(names)}))
        quick.time("list_a_page_of_that_group", lambda: project.assets("movie", group=1, limit=200, offset=30_000))
        quick.time("invert_that_group", lambda: project.edit(invert))
        quick.time("list_groups_with_sizes", lambda: project.groups("movie"))
        quick.time("rename_one", lambda: project.edit(rename))
        other.time("all_100000_as_records", lambda: project.assets("movie"), 3)
        other.time("rebuild", project.rebuild, 1)
    other.time("open_to_read", lambda: Project.open(folder).close())
    other.time("open_to_write", lambda: Project.open(folder, "rw").close())
    return {
        "assets": ASSETS, "limit_seconds": LIMIT_SECONDS, "seconds": quick.seconds, "cpu_seconds": quick.cpu_seconds,
        "reached_by_the_clock": max(quick.seconds.values()) < LIMIT_SECONDS,
        "reached_by_cpu": max(quick.cpu_seconds.values()) < LIMIT_SECONDS,
        "without_limit": {"seconds": other.seconds, "cpu_seconds": other.cpu_seconds},
    }  # fmt: skip


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        record("project_benchmark", measure(Path(folder) / "large"))


if __name__ == "__main__":
    main()
