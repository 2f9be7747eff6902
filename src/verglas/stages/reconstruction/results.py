"""Files of a reconstruction: the map, its halves, the statistics of its shells, views of it, and a picture of all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine.angular_distribution import show_views_seen
from verglas.engine.map_views import (
    new_figure,
    save_figure,
    show_correlations,
    show_views,
    write_orthogonal_views,
)
from verglas.engine.reconstructed_map import ReconstructedMap
from verglas.formats import ResolutionStatistics, write_mrc, write_statistics, write_whole
from verglas.signal import ssnr


def write_reconstruction(
    found: ReconstructedMap, folder: Path, stem: str, pixel_size_A: float, *,
    views_seen: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
) -> dict[str, Path]:  # fmt: skip
    """Write a reconstruction's files.

    Parameters
    ----------
    found
        The maps.
    folder, stem
        Where to, and the beginning of the names.
    pixel_size_A
        Pixel size in A.
    views_seen
        Directions that particles were seen from (:func:`verglas.engine.angular_distribution.all_views`) and their
        weights, for the picture.

    Returns
    -------
    dict
        Path of each role: ``map``, ``half_map_1`` and ``half_map_2`` (where there are halves), ``statistics`` (JSON:
        curves over shells), ``fsc_table`` (the same as cisTEM's text, where there are halves), ``views`` (sections and
        projections, MRC) and ``picture``.
    """
    endings = {"map": ".mrc", "statistics": ".json", "views": "_views.mrc", "picture": ".png"}
    files = {role: folder / f"{stem}{ending}" for role, ending in endings.items()}
    write_mrc(files["map"], found.map, pixel_size_A, is_volume=True)
    for number, half in enumerate(found.half_maps or (), start=1):
        files[f"half_map_{number}"] = folder / f"{stem}_map{number}.mrc"
        write_mrc(files[f"half_map_{number}"], half, pixel_size_A, is_volume=True)
    with write_whole(files["statistics"]) as temporary:
        temporary.write_text(json.dumps(_curves(found, pixel_size_A)) + "\n")
    if found.correlation is not None:
        files["fsc_table"] = folder / f"{stem}_statistics.txt"
        write_statistics(_statistics(found, pixel_size_A), files["fsc_table"])
    write_orthogonal_views(files["views"], found.map, pixel_size_A)
    _draw(found, files["picture"], pixel_size_A, views_seen)
    return files


def result_values(found: ReconstructedMap, pixel_size_A: float) -> dict[str, Any]:
    """Return what the project keeps of a reconstruction as plain JSON; the resolution is None where there is none."""
    resolution = found.resolution
    reached = resolution is not None and np.isfinite(resolution.resolution_A)
    return {
        "n_x": len(found.map), "n_y": len(found.map), "n_z": len(found.map), "pixel_size_A": pixel_size_A,
        "particles_half_1": found.images[0], "particles_half_2": found.images[1],
        "resolution_A": float(resolution.resolution_A) if reached and resolution is not None else None,
        "resolution_kind": None if resolution is None else resolution.kind,
    }  # fmt: skip


def _curves(found: ReconstructedMap, pixel_size_A: float) -> dict[str, list[float]]:
    """Return the curves over shells."""
    shells = np.arange(len(found.mean_weight))
    curves: dict[str, Any] = {
        "frequency_per_A": shells / (len(found.map) * pixel_size_A), "mean_weight": found.mean_weight,
    }  # fmt: skip
    if found.correlation is not None:
        curves |= {"fsc": found.correlation.fsc, "ssnr": found.ssnr}
        if found.part_fsc is not None:
            curves["part_fsc"] = found.part_fsc
        elif found.corrected is not None and not np.array_equal(found.corrected, found.correlation.fsc):
            curves["corrected"] = found.corrected
    return {name: [float(value) for value in values] for name, values in curves.items()}


def _statistics(found: ReconstructedMap, pixel_size_A: float) -> ResolutionStatistics:
    """Return the shells from 1 on as cisTEM's table has them; its Part_FSC is what the resolution was read from."""
    assert found.correlation is not None and found.corrected is not None and found.ssnr is not None
    radius = np.arange(1, len(found.mean_weight)) / len(found.map)
    return ResolutionStatistics(
        pixel_size_A / radius, radius, found.correlation.fsc[1:], found.corrected[1:], found.ssnr[1:],
        ssnr(found.correlation.fsc[1:]),
    )  # fmt: skip


def _draw(
    found: ReconstructedMap, path: Path, pixel_size_A: float,
    views_seen: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
) -> None:  # fmt: skip
    """Draw slices and projections along z, y and x, the correlation of the halves, and the views."""
    figure = new_figure(11.5, 5.4)
    axes = figure.subplot_mosaic([["z", "y", "x", "fsc"], ["Z", "Y", "X", "seen"]], width_ratios=[1, 1, 1, 1.8])
    show_views([axes[name] for name in "zyx"], [axes[name] for name in "ZYX"], found.map)
    curves = _curves(found, pixel_size_A)
    named = {
        "fsc": "FSC within the mask", "corrected": "corrected for the mask", "part_fsc": "of the particle (Part_FSC)",
    }  # fmt: skip
    shown = {label: np.asarray(curves[name]) for name, label in named.items() if name in curves}
    if shown and found.resolution is not None:
        reached = np.isfinite(found.resolution.resolution_A)
        show_correlations(
            axes["fsc"], np.asarray(curves["frequency_per_A"]), shown, threshold=found.resolution.threshold,
            resolution_A=found.resolution.resolution_A if reached else None, kind=found.resolution.kind,
        )  # fmt: skip
    else:
        axes["fsc"].set_axis_off()
    if views_seen is not None:
        show_views_seen(axes["seen"], *views_seen)
    else:
        axes["seen"].set_axis_off()
    save_figure(figure, path)
