"""Pictures of what was found: phase differences beside their fit, and changes of defocus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from verglas.engine import Band
from verglas.engine.map_views import new_figure, save_figure
from verglas.stages.ctf_refinement.planes import DefocusEstimate
from verglas.stages.ctf_refinement.refine import GroupFits
from verglas.stages.ctf_refinement.sums import GroupSums

SMOOTH_PIXELS = 1.5


def phase_images(sums: GroupSums, fits: GroupFits, band: Band) -> NDArray[np.float32]:
    """Return the measured odd phase of an optics group, smoothed, and the fitted one, in radians.

    Returns
    -------
    ndarray, shape (2, box, box)
        float32; origin at ``n // 2``; 0 outside the band.
    """
    box = band.box
    middle = box // 2
    complex_sum = np.zeros((box, box), np.complex128)
    fitted = np.zeros((box, box))
    inside = np.zeros((box, box), bool)
    for sign in (1, -1):
        rows, columns = middle + sign * band.row, middle + sign * band.column
        complex_sum[rows, columns] = sums.odd if sign == 1 else np.conj(sums.odd)
        inside[rows, columns] = True
        if fits.odd is not None:
            fitted[rows, columns] = sign * fits.odd.phase
    smooth = gaussian_filter(complex_sum.real, SMOOTH_PIXELS) + 1j * gaussian_filter(complex_sum.imag, SMOOTH_PIXELS)
    measured = np.where(inside, np.angle(smooth), 0.0)
    return np.stack([measured, np.angle(np.exp(1j * fitted))]).astype(np.float32)


def draw(
    path: Path, phases: dict[str, NDArray[np.float32]], estimate: DefocusEstimate | None, words: dict[str, str]
) -> None:
    """Draw the phases of each optics group, and the histogram of defocus changes.

    Parameters
    ----------
    path
        PNG to write.
    phases
        Images of each group by its name.
    estimate
        Of the defocus; None where it was not refined.
    words
        What was found of each group, in words.
    """
    lines = max(len(phases), 1)
    columns = (2 if phases else 0) + (1 if estimate is not None else 0)
    figure = new_figure(3.4 * max(columns, 1) + 0.6, 3.4 * lines)
    axes = figure.subplots(lines, max(columns, 1), squeeze=False)
    for line, (name, pair) in enumerate(phases.items()):
        titles = (f"{name}: phase differences", words.get(name, "fit"))
        for axis, image, title in zip(axes[line], pair, titles, strict=False):
            axis.imshow(image, origin="lower", cmap="RdBu_r", vmin=-np.pi, vmax=np.pi)
            axis.set_title(title, fontsize=8)
            axis.set_axis_off()
    if estimate is not None:
        _histogram(axes[0][columns - 1], estimate)
        for axis in axes[1:, columns - 1]:
            axis.set_axis_off()
    save_figure(figure, path)


def _histogram(axis: Any, estimate: DefocusEstimate) -> None:
    axis.hist(estimate.change_A, bins=60, color="#4477aa")
    axis.set_xlabel("change of defocus (A)", fontsize=8)
    axis.set_ylabel("particles", fontsize=8)
    axis.set_title(f"about planes: {estimate.spread_A:.0f} A", fontsize=8)
    axis.tick_params(labelsize=7)
