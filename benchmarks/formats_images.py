"""What it costs to read and write a 4096 x 4096 movie frame in each format, beside tifffile and mrcfile."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import mrcfile
import numpy as np
import tifffile
from tests.support.eer_writer import write_eer
from tools.measured import record

from verglas.formats import open_movie, write_mrc, write_tiff_movie

SIDE, FRAMES, ROUNDS = 4096, 3, 5


def median_ms(actions: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Time all actions interleaved, after one unmeasured round; return the median of each in ms."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    for number in range(ROUNDS + 1):
        for name, action in actions.items():
            start = time.perf_counter()
            action()
            if number:
                times[name].append((time.perf_counter() - start) * 1e3)
    return {name: round(statistics.median(found), 1) for name, found in times.items()}


def main() -> None:
    rng = np.random.Generator(np.random.Philox(1))
    frames = rng.poisson(0.6, (FRAMES, SIDE, SIDE)).astype(np.uint8)
    reading: dict[str, Callable[[], object]] = {}
    writing: dict[str, Callable[[], object]] = {}
    sizes: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("lzw", "deflate", "zstd", None):
            path = Path(folder) / f"{name}.tif"
            write_tiff_movie(path, frames, compression=name)
            sizes[f"tiff_{name}"] = path.stat().st_size / FRAMES / 1e6
            movie = open_movie(path)
            into = np.empty((SIDE, SIDE), np.uint8)
            reading[f"tiff_{name}"] = lambda movie=movie, into=into: movie.read_frame(1, into)
            reading[f"tiff_{name}_by_tifffile"] = lambda path=path: tifffile.imread(path, key=1, maxworkers=1)
            writing[f"tiff_{name}"] = lambda path=path, name=name: write_tiff_movie(
                path.with_suffix(".w"), frames[:1], compression=name
            )
        for dtype in ("int8", "float32"):
            path = Path(folder) / f"{dtype}.mrcs"
            write_mrc(path, frames.astype(dtype), 1.0)
            sizes[f"mrc_{dtype}"] = path.stat().st_size / FRAMES / 1e6
            movie = open_movie(path)
            reading[f"mrc_{dtype}"] = lambda movie=movie: movie.read_frame(1)
            reading[f"mrc_{dtype}_by_mrcfile"] = lambda path=path: np.array(mrcfile.mmap(path).data[1])
            one = frames[:1].astype(dtype)
            writing[f"mrc_{dtype}"] = lambda path=path, one=one: write_mrc(path.with_suffix(".w"), one, 1.0)
        pixels = np.unique(rng.integers(0, SIDE * SIDE, SIDE * SIDE // 200))  # a usual dose rate
        raw = [np.stack([pixels // SIDE, pixels % SIDE], axis=1) * 4]
        write_eer(Path(folder) / "a.eer", raw, SIDE, SIDE)
        eer = open_movie(Path(folder) / "a.eer")
        reading["eer_one_raw_frame"] = lambda: eer.read_frame(0)
        figures = {"frame": f"{SIDE} x {SIDE}, Poisson counts of mean 0.6", "read_ms": median_ms(reading),
                   "write_and_sync_ms": median_ms(writing),
                   "frame_MB": {name: round(size, 2) for name, size in sizes.items()},
                   "eer_electrons_in_the_raw_frame": len(raw[0]),
                   "note": "one thread; files in the page cache; no real EER or DM file was at hand"}  # fmt: skip
    record("formats_images", figures)


if __name__ == "__main__":
    main()
