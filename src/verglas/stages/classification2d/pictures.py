"""Class averages as a picture, the fullest first, and how a classification went from round to round."""

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


CURVES = (
    ("log_likelihood", "log-likelihood a particle"), ("certainty", "certainty"), ("moved", "part that changed class"),
    ("shift_sigma_A", "spread of shifts (A)"), ("best_resolution_A", "best class (A)"),
    ("particles_used", "particles used"),
)  # fmt: skip


def write_curves(path: Path, history: dict[str, Any], title: str) -> None:
    """Write a PNG of what changed from round to round.

    Parameters
    ----------
    path
        Where to.
    history
        One array a quantity of ``CURVES``, and ``round``; shape (rounds,). What is not a number is left out.
    title
        Heading.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 4.2), dpi=90, layout="constrained")
    figure.suptitle(title, fontsize=10)
    for axis, (name, label) in zip(np.ravel(figure.subplots(2, 3)), CURVES, strict=True):
        axis.plot(history["round"], history[name], "o-", color="#1f5f8b", markersize=3, linewidth=1)
        axis.set_title(label, fontsize=8)
        axis.tick_params(labelsize=7)
        axis.xaxis.get_major_locator().set_params(integer=True)
    with write_whole(path) as temporary:
        FigureCanvasAgg(figure).print_figure(temporary, format="png")
