"""What people look at after picking: the micrograph with its picks, and the scores of its candidates."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from verglas.stages.picking.pick import Picks


def write_picture(path: Path, picks: Picks, title: str) -> None:
    """Write a PNG of the small micrograph with circles around picks, avoided areas shaded, and the scores.

    Parameters
    ----------
    path
        Where to.
    picks
        What was found.
    title
        Name of the micrograph.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.collections import PatchCollection
    from matplotlib.figure import Figure
    from matplotlib.patches import Circle

    figure = Figure(figsize=(11.5, 6.2), dpi=90, layout="constrained")
    axes, scores = figure.subplots(1, 2, width_ratios=(1.6, 1))
    small = picks.coarse
    shown = small.image[picks.areas.allowed] if picks.areas.allowed.any() else small.image
    low, high = np.percentile(shown, (0.5, 99.5))
    height, width = (side * small.pixel_size_A / 10 for side in small.image.shape)
    axes.imshow(small.image, cmap="gray", vmin=low, vmax=high, origin="lower", extent=(0, width, 0, height))
    shade = np.zeros((*picks.areas.bad.shape, 4), np.float32)
    shade[picks.areas.bad] = (0.9, 0.3, 0.1, 0.35)
    axes.imshow(shade, origin="lower", extent=(0, width, 0, height))
    circles = [Circle((x / 10, y / 10), picks.settings.radius_A / 10) for x, y in picks.positions_A]
    axes.add_collection(PatchCollection(circles, facecolor="none", edgecolor="#ffd000", linewidth=0.9))
    axes.set(title=f"{title}: {len(circles)} picks", xlabel="nm", ylabel="nm", xlim=(0, width), ylim=(0, height))
    heights = picks.candidates["peak_height"]
    if len(heights):
        scores.hist(heights, bins=40, color="0.6")
    scores.axvline(picks.settings.threshold, color="#c03000")
    scores.set(title="candidates", xlabel="score (standard deviations of the noise)", ylabel="number")
    FigureCanvasAgg(figure).print_figure(path, format="png")
