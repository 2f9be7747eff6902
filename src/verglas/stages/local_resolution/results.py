"""Files of a local resolution and of a locally filtered map, with pictures of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine.map_views import (
    SMALL,
    TINY,
    new_figure,
    save_figure,
    show_image,
    show_views,
    write_orthogonal_views,
)
from verglas.formats import write_mrc
from verglas.stages.local_resolution.estimate import LocalResolution

PERCENTILES = (5, 25, 50, 75, 95)


def write_resolution(
    found: LocalResolution, volume: NDArray[np.float32], folder: Path, stem: str, pixel_size_A: float,
    global_A: float | None,
) -> dict[str, Path]:  # fmt: skip
    """Write a local resolution: ``map`` (A, MRC), ``views`` (MRC) and ``picture`` (PNG).

    Parameters
    ----------
    found
        The local resolution.
    volume
        The map that it belongs to, for the picture.
    folder, stem
        Where to, and the beginning of the names.
    pixel_size_A
        Pixel size in A.
    global_A
        Resolution of the whole map, to be marked.
    """
    files = _files(folder, stem)
    write_mrc(files["map"], found.resolution_A, pixel_size_A, is_volume=True)
    write_orthogonal_views(files["views"], found.resolution_A, pixel_size_A)
    _draw(found, volume, files["picture"], global_A)
    return files


def write_filtered(
    filtered: NDArray[np.float32], volume: NDArray[np.float32], folder: Path, stem: str, pixel_size_A: float
) -> dict[str, Path]:
    """Write a locally filtered map, with views of it and a picture beside the map before; roles as the resolution's."""
    files = _files(folder, stem)
    write_mrc(files["map"], filtered, pixel_size_A, is_volume=True)
    write_orthogonal_views(files["views"], filtered, pixel_size_A)
    figure = new_figure(8.0, 8.2)
    axes = figure.subplots(3, 3)
    show_views(axes[0], None, volume, "before:")
    show_views(axes[1], axes[2], filtered, "filtered:")
    save_figure(figure, files["picture"])
    return files


def resolution_values(found: LocalResolution) -> dict[str, Any]:
    """Return what the project keeps of a local resolution as plain JSON."""
    values = found.resolution_A[found.inside]
    low = np.percentile(values, PERCENTILES)
    return {
        "percentiles_A": {str(part): round(float(value), 3) for part, value in zip(PERCENTILES, low, strict=True)},
        "window_A": found.window_A, "threshold": found.threshold, "coarsest_A": found.coarsest_A,
        "finest_A": round(found.finest_A, 3), "voxels_inside": int(found.inside.sum()),
    }  # fmt: skip


def _files(folder: Path, stem: str) -> dict[str, Path]:
    return {
        "map": folder / f"{stem}.mrc", "views": folder / f"{stem}_views.mrc", "picture": folder / f"{stem}.png",
    }  # fmt: skip


def _draw(found: LocalResolution, volume: NDArray[np.float32], path: Path, global_A: float | None) -> None:
    values = found.resolution_A[found.inside]
    low, high = (float(value) for value in np.percentile(values, (1, 95)))
    figure = new_figure(11.5, 6.2)
    axes = figure.subplot_mosaic([["a", "b", "c"], ["d", "e", "f"], ["h", "h", "h"]], height_ratios=[1, 1, 0.75])
    middle = len(volume) // 2
    shown = None
    for number, (grey, colour) in enumerate((("a", "d"), ("b", "e"), ("c", "f"))):
        show_image(axes[grey], np.take(volume, middle, axis=number), f"section along {'zyx'[number]}")
        section = np.ma.masked_where(
            ~np.take(found.inside, middle, axis=number), np.take(found.resolution_A, middle, axis=number)
        )
        shown = axes[colour].imshow(section, cmap="turbo", vmin=low, vmax=high, origin="lower")
        axes[colour].set_axis_off()
    bar = figure.colorbar(shown, ax=[axes[name] for name in "def"], fraction=0.02)
    bar.set_label("resolution (A)", fontsize=SMALL)
    bar.ax.tick_params(labelsize=TINY)
    histogram = axes["h"]
    histogram.hist(values, bins=80, range=(low * 0.95, high * 1.05), color="0.5")
    histogram.axvline(float(np.median(values)), color="C0", lw=1.2, label=f"median {np.median(values):.2f} A")
    if global_A is not None:
        histogram.axvline(global_A, color="C3", lw=1.2, ls="--", label=f"whole map {global_A:.2f} A")
    histogram.set_xlabel("local resolution within the mask (A)", fontsize=SMALL)
    histogram.set_ylabel("voxels", fontsize=SMALL)
    histogram.tick_params(labelsize=TINY)
    histogram.legend(fontsize=TINY, frameon=False)
    save_figure(figure, path)
