"""Who is in a class: particles turned and moved onto its average, as a picture."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from verglas.engine import ParticleStack
from verglas.errors import InputError
from verglas.formats import ParticleTable
from verglas.formats.atomic_write import write_whole
from verglas.microscopy import ctf_2d
from verglas.signal import cosine_lowpass, irfft, rfft
from verglas.signal.filters import filter_transform


def members_of(table: ParticleTable, number: int) -> NDArray[np.int64]:
    """Return the rows of a class, from 1, that fits best first."""
    rows = np.flatnonzero((table["class_number"] == number) & (table["active"] > 0))
    return rows[np.argsort(-table["log_likelihood"][rows], kind="stable")]


def aligned_members(
    table: ParticleTable, folder: str | os.PathLike[str], rows: Any, *, low_pass_A: float = 20.0
) -> NDArray[np.float32]:
    """Return particles with the phases of their transfer functions flipped, turned and moved onto their class.

    Parameters
    ----------
    table
        Particles with the poses of a classification.
    folder
        What relative names of stacks are relative to.
    rows
        Which particles.
    low_pass_A
        Finest resolution shown; 0: no filter.

    Returns
    -------
    ndarray, float32, shape (rows, box, box)
        Protein positive.
    """
    part = table.select(np.asarray(rows))
    with ParticleStack(part, folder) as source:
        places = range(len(source))
        raw, defocus = source.read(places), source.defocus(places)
        optics, white = source.one_optics()
    sign = -1.0 if white else 1.0
    box = raw.shape[-1]
    place = np.arange(box) - box // 2
    y, x = np.meshgrid(place, place, indexing="ij")
    made: NDArray[np.float32] = np.empty(raw.shape, np.float32)
    psi = np.deg2rad(part["psi_deg"])
    for i, image in enumerate(raw):
        transform = rfft(image - image.mean(), 2) * np.sign(ctf_2d((box, box), optics, *defocus[i]))
        if low_pass_A > 0.0:
            falls = cosine_lowpass(low_pass_A, 0.1 / low_pass_A)
            filter_transform(transform, (box, box), optics.pixel_size_A, falls)
        flipped = sign * irfft(transform, (box, box))
        c, s = np.cos(psi[i]), np.sin(psi[i])
        at_x = c * x + s * y - part["origin_x_A"][i] / optics.pixel_size_A + box // 2
        at_y = -s * x + c * y - part["origin_y_A"][i] / optics.pixel_size_A + box // 2
        made[i] = map_coordinates(flipped, [at_y, at_x], order=1, mode="nearest")
    return made


def write_members(
    path: Path, table: ParticleTable, folder: str | os.PathLike[str], number: int, averages: Any, *, count: int = 100,
    worst: bool = False, low_pass_A: float = 20.0,
) -> tuple[int, int]:  # fmt: skip
    """Write a PNG of a class: its average, then particles of it from the best fitting to the worst.

    Parameters
    ----------
    path
        Where to.
    table
        Of the classification.
    folder
        What relative names of stacks are relative to.
    number
        The class, from 1.
    averages
        All class averages, shape (classes, box, box).
    count
        At most how many particles: spread evenly from best to worst.
    worst
        Those that fit worst instead.
    low_pass_A
        Finest resolution shown; 0: no filter.

    Returns
    -------
    drawn, held
        How many particles were drawn and how many the class has.

    Raises
    ------
    InputError
        There is no such class, or nobody is in it.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not 1 <= number <= len(averages):
        raise InputError(f"there is no class {number}: the classification has classes 1 to {len(averages)}.")
    rows = members_of(table, number)
    if not rows.size:
        raise InputError(f"class {number} has no particles in this round; choose another class or the last round.")
    places = np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(np.int64))
    chosen = rows[-count:] if worst else rows[places]
    images = [np.asarray(averages[number - 1]), *aligned_members(table, folder, chosen, low_pass_A=low_pass_A)]
    columns = min(12, len(images))
    lines = -(-len(images) // columns)
    figure = Figure(figsize=(columns * 0.95, lines * 1.05 + 0.4), dpi=90, layout="constrained")
    figure.suptitle(f"class {number}: its average, then {len(chosen)} of {len(rows)} particles", fontsize=10)
    axes = np.atleast_1d(figure.subplots(lines, columns, squeeze=False)).ravel()
    likelihoods = table["log_likelihood"][chosen]
    for axis in axes:
        axis.set_axis_off()
    for place, (axis, image) in enumerate(zip(axes, images, strict=False)):
        low, high = np.percentile(image, (1.0, 99.5))
        axis.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1e-12), origin="lower")
        axis.set_title("average" if place == 0 else f"{likelihoods[place - 1]:.0f}", fontsize=6, pad=2)
    with write_whole(path) as temporary:
        FigureCanvasAgg(figure).print_figure(temporary, format="png")
    return len(chosen), len(rows)
