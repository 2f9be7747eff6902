"""Files of a reconstruction: the map, its halves, the statistics of its shells, and a picture of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from verglas.engine.reconstruction import ReconstructedMap
from verglas.formats import write_mrc, write_whole


def write_reconstruction(found: ReconstructedMap, folder: Path, stem: str, pixel_size_A: float) -> dict[str, Path]:
    """Write a reconstruction's files.

    Parameters
    ----------
    found
        The maps.
    folder, stem
        Where to, and the beginning of the names.
    pixel_size_A
        Pixel size in A.

    Returns
    -------
    dict
        Path of each role: ``map``, ``half_map_1`` and ``half_map_2`` (where there are halves), ``statistics`` (JSON:
        curves over shells) and ``picture``.
    """
    files = {"map": folder / f"{stem}.mrc", "statistics": folder / f"{stem}.json", "picture": folder / f"{stem}.png"}
    write_mrc(files["map"], found.map, pixel_size_A, is_volume=True)
    for number, half in enumerate(found.half_maps or (), start=1):
        files[f"half_map_{number}"] = folder / f"{stem}_map{number}.mrc"
        write_mrc(files[f"half_map_{number}"], half, pixel_size_A, is_volume=True)
    with write_whole(files["statistics"]) as temporary:
        temporary.write_text(json.dumps(_curves(found, pixel_size_A)) + "\n")
    _draw(found, files["picture"], pixel_size_A)
    return files


def result_values(found: ReconstructedMap, pixel_size_A: float) -> dict[str, Any]:
    """Return what the project keeps of a reconstruction as plain JSON; the resolution is None where there is none."""
    resolution = found.resolution
    reached = resolution is not None and np.isfinite(resolution.resolution_A)
    return {
        "n_x": len(found.map), "n_y": len(found.map), "n_z": len(found.map), "pixel_size_A": pixel_size_A,
        "particles_half_1": found.images[0], "particles_half_2": found.images[1],
        "resolution_A": float(resolution.resolution_A) if reached and resolution is not None else None,
    }  # fmt: skip


def _curves(found: ReconstructedMap, pixel_size_A: float) -> dict[str, list[float]]:
    """Return the curves over shells."""
    shells = np.arange(len(found.mean_weight))
    curves: dict[str, Any] = {
        "frequency_per_A": shells / (len(found.map) * pixel_size_A), "mean_weight": found.mean_weight,
    }  # fmt: skip
    if found.correlation is not None:
        curves |= {"fsc": found.correlation.fsc, "part_fsc": found.part_fsc, "ssnr": found.ssnr}
    return {name: [float(value) for value in values] for name, values in curves.items()}


def _draw(found: ReconstructedMap, path: Path, pixel_size_A: float) -> None:
    """Draw slices and projections along z, y and x, and the correlation of the halves."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 5.2), dpi=90, layout="constrained")
    axes = figure.subplot_mosaic([["z", "y", "x", "fsc"], ["Z", "Y", "X", "fsc"]], width_ratios=[1, 1, 1, 1.6])
    middle = len(found.map) // 2
    for number, name in enumerate("zyx"):
        for axis, image in (
            (axes[name], np.take(found.map, middle, axis=number)), (axes[name.upper()], found.map.sum(axis=number)),
        ):  # fmt: skip
            low, high = np.percentile(image, (0.5, 99.8))
            axis.imshow(image, cmap="gray", vmin=low, vmax=high, origin="lower")
            axis.set_axis_off()
        axes[name].set_title(f"slice along {name}", fontsize=9)
        axes[name.upper()].set_title(f"projection along {name}", fontsize=9)
    curve = axes["fsc"]
    curves = _curves(found, pixel_size_A)
    for name, label in (("fsc", "FSC within the mask"), ("part_fsc", "FSC of the particle")):
        if name in curves:
            curve.plot(curves["frequency_per_A"][1:], curves[name][1:], label=label, lw=1)
    if found.resolution is not None:
        curve.axhline(found.resolution.threshold, color="0.6", lw=0.8)
        curve.legend(fontsize=8)
    curve.set_ylim(-0.1, 1.02)
    curve.set_xlabel("spatial frequency (1/A)", fontsize=9)
    with write_whole(path) as temporary:
        FigureCanvasAgg(figure).print_figure(temporary, format="png")
