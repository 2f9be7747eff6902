"""Class averages as a picture, the fullest first, each with its particles and resolution."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from verglas.formats.atomic_write import write_whole


def write_class_montage(path: Path, averages: Any, occupancy: Any, resolution_A: Any, title: str) -> None:
    """Write a PNG of all classes.

    Parameters
    ----------
    path
        Where to.
    averages
        Shape (classes, box, box).
    occupancy, resolution_A
        Particles and resolution of each class, shape (classes,).
    title
        Heading.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    order = np.argsort(-np.asarray(occupancy), kind="stable")
    columns = min(10, len(order))
    rows = -(-len(order) // columns)
    figure = Figure(figsize=(columns * 1.2, rows * 1.42 + 0.4), dpi=90, layout="constrained")
    figure.suptitle(title, fontsize=10)
    axes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, number in zip(axes, order, strict=False):
        image = averages[number]
        low, high = np.percentile(image, (1.0, 99.8))
        axis.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1e-12), origin="lower")
        resolved = f"{resolution_A[number]:.0f} A" if np.isfinite(resolution_A[number]) else "-"
        axis.set_title(f"{number + 1}: {occupancy[number]:.0f}, {resolved}", fontsize=7, pad=2)
    with write_whole(path) as temporary:
        FigureCanvasAgg(figure).print_figure(temporary, format="png")
