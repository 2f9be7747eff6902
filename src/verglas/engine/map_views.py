"""Pictures of maps: central sections and projections along three axes, as images and as figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.formats import write_mrc, write_whole

SMALL, TINY = 9, 7
READ_OFF = {
    "crosses": "{0:.2f} A at {1:g}", "never below": "above {1:g} up to the pixels' {0:.2f} A",
    "start": "{0:.2f} A, that of the start",
}  # fmt: skip


def orthogonal_views(volume: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return central sections and projections of a map, tiled: sections below, projections above, along z, y and x.

    Parameters
    ----------
    volume
        Cubic map [z, y, x], n voxels a side.

    Returns
    -------
    ndarray
        float32, shape (2 n, 3 n); every tile has mean 0 and standard deviation 1.
    """
    n = len(volume)
    tiles = np.zeros((2 * n, 3 * n), np.float32)
    for axis in range(3):
        for row, image in enumerate((np.take(volume, n // 2, axis=axis), volume.sum(axis=axis, dtype=np.float64))):
            spread = float(image.std())
            tile = (image - image.mean()) / (spread if spread > 0.0 else 1.0)
            tiles[row * n : (row + 1) * n, axis * n : (axis + 1) * n] = tile
    return tiles


def write_orthogonal_views(path: Path, volume: NDArray[np.float32], pixel_size_A: float) -> None:
    """Write :func:`orthogonal_views` as an MRC image."""
    write_mrc(path, orthogonal_views(volume), pixel_size_A)


def new_figure(width: float, height: float) -> Any:
    """Return an empty figure that needs no screen, sizes in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=90, layout="constrained")


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure whole as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with write_whole(path) as temporary:
        FigureCanvasAgg(figure).print_figure(temporary, format="png")


def show_image(axes: Any, image: Any, title: str, *, low: float = 0.5, high: float = 99.8) -> None:
    """Show an image in grey, y upwards, between two percentiles."""
    bottom, top = np.percentile(image, (low, high))
    axes.imshow(image, cmap="gray", vmin=bottom, vmax=top, origin="lower")
    axes.set_title(title, fontsize=SMALL)
    axes.set_axis_off()


def show_views(sections: Any, projections: Any, volume: NDArray[np.float32], name: str = "") -> None:
    """Show a map's central sections, and its projections unless they are None, on three axes each (z, y, x)."""
    middle = len(volume) // 2
    for number, along in enumerate("zyx"):
        title = f"{name} section along {along}".strip()
        show_image(sections[number], np.take(volume, middle, axis=number), title)
        if projections is not None:
            show_image(projections[number], volume.sum(axis=number), f"{name} projection along {along}".strip())


def show_correlations(
    axes: Any, frequency_per_A: Any, curves: dict[str, Any], *, threshold: float | None = 0.143,
    resolution_A: float | None = None, kind: str = "crosses",
) -> None:  # fmt: skip
    """Plot correlations by name over frequency, with the threshold and the resolution that was read off.

    ``kind`` is that of :class:`verglas.signal.Resolution`: the title says where a resolution was not read off a curve.
    """
    for name, curve in curves.items():
        axes.plot(frequency_per_A[1:], curve[1:], label=name, lw=1.2)
    if threshold is not None:
        axes.axhline(threshold, color="0.6", lw=0.8)
    if resolution_A is not None:
        axes.axvline(1.0 / resolution_A, color="0.6", lw=0.8, ls=":")
        axes.set_title(READ_OFF.get(kind, READ_OFF["crosses"]).format(resolution_A, threshold), fontsize=SMALL)
    axes.axhline(0.0, color="0.85", lw=0.8)
    axes.set_ylim(-0.15, 1.03)
    axes.set_xlim(0.0, float(frequency_per_A[-1]))
    axes.set_xlabel("spatial frequency (1/A)", fontsize=SMALL)
    axes.set_ylabel("correlation", fontsize=SMALL)
    axes.tick_params(labelsize=TINY)
    axes.legend(fontsize=TINY, frameon=False)
