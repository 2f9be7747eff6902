"""What people look at after a CTF fit: the spectrum beside the fitted rings, and the curves of frequency."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from verglas.microscopy import ctf_2d
from verglas.signal import full_spectrum
from verglas.stages.ctf_estimation.estimate import CtfEstimate

Array = np.ndarray[Any, Any]


def diagnostic_image(found: CtfEstimate) -> Array:
    """Return the spectrum with its background taken off; the fitted CTF^2 fills its left half.

    Returns
    -------
    array
        float32, shape (box, box), frequency 0 at ``[box // 2, box // 2]``; the spectrum in standard deviations of its
        middle part, the fit from -1 to 1.
    """
    box = found.spectrum.box
    centred = np.indices((box, box)) - box // 2
    radius = np.hypot(*centred)
    spectrum = full_spectrum(found.spectrum.log_power, (box, box))
    background = np.interp(radius, np.arange(box // 2), found.quality.background)
    flat = spectrum - background
    known = (radius > 0.05 * box) & (radius < 0.5 * box)
    flat = np.clip((flat - flat[known].mean()) / flat[known].std(), -3.0, 3.0)
    values = found.values
    rings = ctf_2d(
        (box, box), found.optics, found.defocus_u_A, found.defocus_v_A, values.angle, values.phase_shift,
        pixel_size_A=found.spectrum.pixel_size_A,
    )  # fmt: skip
    fitted = full_spectrum(2.0 * rings**2 - 1.0, (box, box))
    end = min(found.quality.fit_resolution_A, found.settings.coarsest_A)
    shown = (centred[1] < 0) & (radius * found.spectrum.step_per_A <= 1.0 / end)
    picture: Array = np.where(shown, fitted, flat).astype(np.float32)
    return picture


def write_picture(path: Path, found: CtfEstimate, title: str) -> None:
    """Write a PNG of the diagnostic image and of the curves.

    Parameters
    ----------
    path
        Where to.
    found
        The estimate.
    title
        Name of the micrograph.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.0, 4.6), dpi=90, layout="constrained")
    image, curves = figure.subplots(1, 2, width_ratios=(1, 1.6))
    image.imshow(diagnostic_image(found), cmap="gray", vmin=-2.5, vmax=2.5, origin="lower")
    image.set(title=f"{title}: fit left, edge {2 * found.spectrum.pixel_size_A:.2f} A", xticks=[], yticks=[])
    quality = found.quality
    shown = quality.frequency_per_A >= 1.0 / found.settings.coarsest_A
    frequency = quality.frequency_per_A[shown]
    flat = (quality.equiphase_average - quality.background)[shown]
    height = float(np.percentile(abs(flat), 97)) or 1.0
    curves.plot(frequency, np.clip(0.5 + 0.5 * flat / height, -0.2, 1.2), color="k", linewidth=1, label="spectrum")
    curves.plot(frequency, quality.fit[shown] ** 2, color="C1", linewidth=1, label="fitted CTF$^2$")
    curves.plot(frequency, quality.quality[shown], color="C0", linewidth=1.5, label="quality of fit")
    if np.isfinite(quality.fit_resolution_A):
        curves.axvline(1.0 / quality.fit_resolution_A, color="C2", label=f"fit to {quality.fit_resolution_A:.2f} A")
    curves.set(
        xlabel="spatial frequency, 1/A", ylim=(-0.6, 1.25), xlim=(0, frequency[-1]),
        title=f"defocus {found.defocus_u_A:.0f} / {found.defocus_v_A:.0f} A at {found.defocus_angle_deg:.0f} degrees, "
        f"score {found.score:.3f}",
    )  # fmt: skip
    curves.legend(fontsize=8, loc="lower left")
    FigureCanvasAgg(figure).print_figure(path, format="png")
