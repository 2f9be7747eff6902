"""Files of a sharpened map: maps, mask, statistics, correlation for deposition, views and a picture of it all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine.map_views import (
    SMALL,
    TINY,
    new_figure,
    save_figure,
    show_correlations,
    show_views,
    write_orthogonal_views,
)
from verglas.formats import write_mrc, write_whole
from verglas.stages.sharpening.emdb import fsc_xml
from verglas.stages.sharpening.sharpen import SharpenedMap


def write_sharpened(
    found: SharpenedMap, original: NDArray[np.float32], folder: Path, stem: str, pixel_size_A: float
) -> dict[str, Path]:
    """Write the files of a sharpened map.

    Parameters
    ----------
    found
        The map.
    original
        The map before, for the picture.
    folder, stem
        Where to, and the beginning of the names.
    pixel_size_A
        Pixel size in A.

    Returns
    -------
    dict
        Path of each role: ``map``, ``masked``, ``mask``, ``statistics`` (JSON), ``views`` (MRC), ``picture``, and
        ``fsc_xml`` where there were halves.
    """
    endings = {
        "map": ".mrc", "masked": "_masked.mrc", "mask": "_mask.mrc", "statistics": ".json", "views": "_views.mrc",
        "picture": ".png",
    }  # fmt: skip
    files = {role: folder / f"{stem}{ending}" for role, ending in endings.items()}
    for role in ("map", "masked", "mask"):
        write_mrc(files[role], getattr(found, role), pixel_size_A, is_volume=True)
    write_orthogonal_views(files["views"], found.masked, pixel_size_A)
    with write_whole(files["statistics"]) as temporary:
        temporary.write_text(json.dumps(_statistics(found)) + "\n")
    if found.curves is not None:
        files["fsc_xml"] = folder / f"{stem}_fsc.xml"
        with write_whole(files["fsc_xml"]) as temporary:
            temporary.write_text(fsc_xml(found.curves.frequency_per_A, found.curves.corrected, "Corrected FSC"))
    _draw(found, original, files["picture"])
    return files


def result_values(found: SharpenedMap, pixel_size_A: float) -> dict[str, Any]:
    """Return what the project keeps of a sharpened map as plain JSON."""
    box = len(found.map)
    fit = found.guinier.fit
    return {
        "n_x": box, "n_y": box, "n_z": box, "pixel_size_A": pixel_size_A,
        "resolution_A": found.curves.resolution_A if found.curves is not None else None,
        "resolution_kind": found.curves.resolution.kind if found.curves is not None else None,
        "resolutions_A": found.curves.resolutions() if found.curves is not None else {},
        "cutoff_A": round(found.cutoff_A, 4), "amplitudes": found.settings.amplitudes,
        "b_factor_A2": round(found.b_factor_A2, 3),
        "guinier_b_factor_A2": round(fit.b_factor_A2, 3) if fit is not None else None,
        "guinier_correlation": round(fit.correlation, 4) if fit is not None else None,
        "inverted_hand": found.settings.invert_hand, "notes": list(found.notes),
        "mask_volume_A3": round(float(found.mask.sum(dtype=np.float64)) * pixel_size_A**3, 1),
    }  # fmt: skip


def _statistics(found: SharpenedMap) -> dict[str, Any]:
    g = found.guinier

    def plain(values: Any) -> list[float | None]:
        return [round(float(value), 5) if np.isfinite(value) else None for value in values]

    guinier: dict[str, Any] = {
        "squared_frequency_per_A2": plain(g.squared_frequency_per_A2), "before": plain(g.before),
        "weighted": plain(g.weighted), "sharpened": plain(g.sharpened),
    }  # fmt: skip
    if g.fit is not None:
        guinier |= {"fit_b_factor_A2": g.fit.b_factor_A2, "fit_intercept": g.fit.intercept}
    return {"guinier": guinier, **({"correlation": found.curves.table()} if found.curves is not None else {})}


def _draw(found: SharpenedMap, original: NDArray[np.float32], path: Path) -> None:
    figure = new_figure(12.5, 7.2)
    axes = figure.subplot_mosaic(
        [["a", "b", "c", "fsc"], ["d", "e", "f", "guinier"], ["g", "h", "i", "guinier"]],
        width_ratios=[1, 1, 1, 1.9],
    )  # fmt: skip
    show_views([axes[name] for name in "abc"], None, original, "before:")
    show_views([axes[name] for name in "def"], [axes[name] for name in "ghi"], found.masked, "sharpened:")
    if found.curves is not None:
        c = found.curves
        curves = {"unmasked": c.unmasked, "masked": c.masked, "random phases": c.randomised, "corrected": c.corrected}
        if c.part_fsc is not None:
            curves["of the particle (Part_FSC)"] = c.part_fsc
        show_correlations(axes["fsc"], c.frequency_per_A, curves, resolution_A=c.resolution_A, kind=c.resolution.kind)
    else:
        axes["fsc"].set_axis_off()
    _draw_guinier(axes["guinier"], found)
    save_figure(figure, path)


def _draw_guinier(axes: Any, found: SharpenedMap) -> None:
    g = found.guinier
    end = 1.4 / found.cutoff_A**2
    shown = g.squared_frequency_per_A2 <= end
    x = g.squared_frequency_per_A2[shown]
    visible = []
    for label, values in (("before", g.before), ("weighted", g.weighted), ("sharpened", g.sharpened)):
        # Amplitudes are only known up to a factor: each curve begins at 0.
        line = values[shown] - values[0]
        inside = line[(x <= 1.0 / found.cutoff_A**2) & np.isfinite(line)]
        visible += [float(inside.min()), float(inside.max())] if inside.size else []
        axes.plot(x, line, lw=1.2, label=label)
    if g.fit is not None and np.isfinite(g.weighted[0]):
        span = np.array([1 / found.settings.fit_from_A**2, 1 / (found.settings.fit_to_A or found.cutoff_A) ** 2])
        axes.plot(
            span, g.fit.intercept + g.fit.b_factor_A2 / 4 * span - g.weighted[0], "k--", lw=1,
            label=f"B = {g.fit.b_factor_A2:.0f} A²",
        )  # fmt: skip
    axes.axvline(1.0 / found.cutoff_A**2, color="0.6", lw=0.8, ls=":")
    if visible:
        axes.set_ylim(min(visible) - 1.5, max(visible) + 1.0)
    axes.set_title(
        f"Guinier plot; applied B = {found.b_factor_A2:.0f} A², cut at {found.cutoff_A:.2f} A", fontsize=SMALL
    )
    axes.set_xlabel("squared frequency (1/A²)", fontsize=SMALL)
    axes.set_ylabel("ln amplitude, relative", fontsize=SMALL)
    axes.tick_params(labelsize=TINY)
    axes.legend(fontsize=TINY, frameon=False)
