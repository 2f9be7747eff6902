"""Write what was picked: positions, candidates and a picture, and the figures that go with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from verglas.formats.atomic_write import write_whole
from verglas.stages.picking.pick import Picks
from verglas.stages.picking.pictures import write_picture


def write_picks(picks: Picks, folder: Path, stem: str, *, title: str, picture: bool = True) -> dict[str, Path]:
    """Write the files of a result and return them by role.

    ``positions`` holds the picks and ``candidates`` all that may become picks when the threshold is moved, both as
    arrays of type `CANDIDATES`.
    """
    files = {"positions": folder / f"{stem}.npy", "candidates": folder / f"{stem}_candidates.npy"}
    write_candidates(files["positions"], picks.candidates[picks.chosen])
    write_candidates(files["candidates"], picks.candidates)
    if picture:
        files["diagnostic"] = folder / f"{stem}.png"
        with write_whole(files["diagnostic"]) as path:
            write_picture(path, picks, title)
    return files


def write_candidates(path: Path, candidates: np.ndarray[Any, Any]) -> None:
    """Write candidates whole or not at all."""
    with write_whole(path) as temporary, open(temporary, "wb") as stream:
        np.save(stream, candidates)


def result_values(picks: Picks) -> dict[str, Any]:
    """Return the figures of a result, plain JSON."""
    heights = picks.candidates["peak_height"][picks.chosen]
    background = picks.candidates["background"][picks.chosen]
    return {
        "count": len(heights),
        "candidates": len(picks.candidates),
        "threshold": picks.settings.threshold,
        "background_factor": picks.settings.background_factor,
        "max_background": picks.settings.max_background,
        "score_factor": picks.settings.score_factor,
        "max_score": picks.settings.max_score,
        "median_score": round(float(np.median(heights)), 3) if len(heights) else None,
        "highest_score": round(float(heights.max()), 3) if len(heights) else None,
        "median_background": round(float(np.median(background)), 3) if len(background) else None,
        "avoided_part": round(picks.areas.avoided, 4),
        "picking_pixel_size_A": round(picks.coarse.pixel_size_A, 4),
        "radius_A": picks.settings.radius_A,
        "min_distance_A": picks.settings.distance_A,
    }
