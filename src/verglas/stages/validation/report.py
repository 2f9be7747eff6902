"""The validation report: one HTML page with pictures, the same figures as JSON, and the main picture by itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine.angular_distribution import show_views_seen
from verglas.engine.map_views import SMALL, TINY, new_figure, save_figure, show_correlations, show_views
from verglas.formats import write_whole
from verglas.formats.html_report import Section, page
from verglas.stages.validation.hand import HandEvidence, contradiction, hand_of
from verglas.stages.validation.measures import ModelComparison, ResLog, Validation
from verglas.stages.validation.noise_substitution import NoiseSubstitution

NOT_IN_THE_TABLE = {
    "warnings", "resolutions_A", "reslog_particles", "reslog_resolution_A", "worst_direction", "hand", "hand_by",
}  # fmt: skip
HAND_WORDS = {
    "undetermined": "Undetermined: the map may be the mirror image. A model, a tilt pair or a significant test of the "
    "Ewald sphere's curvature can decide.",
    "right": "The map has the right hand.",
    "mirrored": "The map is the mirror image: invert it with --invert-hand of Sharpen 3D.",
}


def figures_of(
    found: Validation, model: ModelComparison | None, reslog: ResLog | None, noise: NoiseSubstitution | None = None,
    hand: Sequence[HandEvidence] = (),
) -> dict[str, Any]:  # fmt: skip
    """Return the figures as plain JSON; what was not measured is None."""
    evidence = [*([] if model is None else [model.hand]), *hand]
    warnings = [*found.warnings, *([noise.sentence()] if noise is not None and noise.overfitted else [])]
    at_odds = contradiction(evidence)
    return {
        "resolution_A": found.curves.resolution_A, "resolutions_A": found.curves.resolutions(),
        "best_direction_A": _plain(found.spread.best_A), "worst_direction_A": _plain(found.spread.worst_A),
        "anisotropy_ratio": round(found.spread.ratio, 4),
        "worst_direction": [round(float(value), 4) for value in found.spread.worst_direction],
        "angular_efficiency": None if found.efficiency is None else round(found.efficiency, 4),
        "model_resolution_A": None if model is None else model.resolution_A,
        "hand": hand_of(evidence),
        "hand_by": {one.by: one.words for one in evidence},
        "hand_lead_of_model": None if model is None else round(model.hand.strength, 4),
        "reslog_particles": None if reslog is None else reslog.particles.tolist(),
        "reslog_resolution_A": None if reslog is None else [_plain(value) for value in reslog.resolution_A],
        "reslog_b_factor_A2": None if reslog is None else reslog.b_factor_A2,
        "noise_beyond_A": None if noise is None else round(noise.substituted_from_A, 4),
        "noise_agrees_to_A": None if noise is None else noise.noise_agrees_to_A,
        "resolution_without_noise_A": None if noise is None else noise.true_resolution_A,
        "overfitted": None if noise is None else noise.overfitted,
        "warnings": warnings if at_odds is None else [*warnings, at_odds],
    }  # fmt: skip


def write_validation(
    found: Validation, volume: NDArray[np.float32], folder: Path, stem: str, title: str, *,
    model: ModelComparison | None = None, reslog: ResLog | None = None, noise: NoiseSubstitution | None = None,
    hand: Sequence[HandEvidence] = (),
    views_seen: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
) -> dict[str, Path]:  # fmt: skip
    """Write ``report`` (HTML), ``figures`` (JSON) and ``picture`` (PNG).

    Parameters
    ----------
    found
        The measures.
    volume
        The map, for the picture.
    folder, stem
        Where to, and the beginning of the names.
    title
        Of the page.
    model, reslog, noise
        Where they were measured.
    hand
        What else says something of the hand.
    views_seen
        Views and their weights, where known.
    """
    files = {
        role: folder / f"{stem}{end}" for role, end in (("report", ".html"), ("figures", ".json"), ("picture", ".png"))
    }
    _draw(found, volume, files["picture"], model, reslog, noise, views_seen)
    figures = figures_of(found, model, reslog, noise, hand)
    warnings = [(f"warning {number}", text) for number, text in enumerate(figures["warnings"], start=1)]
    rows = [(name.replace("_", " "), _words(value)) for name, value in figures.items() if name not in NOT_IN_THE_TABLE]
    sections = [
        Section(
            "What the measures say", "" if warnings else "Nothing speaks against this map.",
            warnings, [(files["picture"].read_bytes(), "Sections, correlations, directions and views.")],
        ),
        Section("Hand", HAND_WORDS[figures["hand"]], list(figures["hand_by"].items())),
        Section("Figures", "Resolutions in A; B-factors in A^2.", rows),
        Section(
            "Resolution of the halves", "Where each correlation falls below 0.143.",
            [(name, _words(value)) for name, value in found.curves.resolutions().items()],
        ),
    ]  # fmt: skip
    with write_whole(files["report"]) as temporary:
        temporary.write_text(page(title, sections), encoding="utf-8")
    with write_whole(files["figures"]) as temporary:
        temporary.write_text(json.dumps(figures, indent=1) + "\n")
    return files


def _plain(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None


def _words(value: Any) -> str:
    return "not measured" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def _draw(
    found: Validation, volume: NDArray[np.float32], path: Path, model: ModelComparison | None, reslog: ResLog | None,
    noise: NoiseSubstitution | None,
    views_seen: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
) -> None:  # fmt: skip
    figure = new_figure(12.0, 9.0)
    axes = figure.subplot_mosaic([["z", "y", "x"], ["fsc", "directions", "seen"], ["model", "reslog", "map"]])
    show_views([axes[name] for name in "zyx"], None, volume)
    c = found.curves
    curves = {"unmasked": c.unmasked, "masked": c.masked, "random phases": c.randomised, "corrected": c.corrected}
    if noise is not None:
        curves |= {"noise substituted": noise.substituted, "masked, less noise": noise.true}
    show_correlations(axes["fsc"], c.frequency_per_A, curves, resolution_A=c.resolution_A, kind=c.resolution.kind)
    _draw_directions(axes["directions"], axes["map"], found)
    if views_seen is not None:
        show_views_seen(axes["seen"], *views_seen)
    else:
        axes["seen"].set_axis_off()
    if model is not None:
        label = f"map and model, hand: {model.hand.says}"
        show_correlations(
            axes["model"], model.correlation.frequency_per_A, {label: model.correlation.fsc}, threshold=0.5,
            resolution_A=model.resolution_A,
        )  # fmt: skip
    else:
        axes["model"].set_axis_off()
    if reslog is not None:
        axes["reslog"].semilogx(reslog.particles, 1.0 / reslog.resolution_A**2, "o-", lw=1, ms=4)
        axes["reslog"].set_xticks(reslog.particles.tolist(), [str(count) for count in reslog.particles])
        axes["reslog"].minorticks_off()
        words = "no B-factor" if reslog.b_factor_A2 is None else f"B = {reslog.b_factor_A2:.0f} A²"
        axes["reslog"].set_title(f"ResLog: {words}", fontsize=SMALL)
        axes["reslog"].set_xlabel("particles", fontsize=SMALL)
        axes["reslog"].set_ylabel("1 / resolution² (1/A²)", fontsize=SMALL)
        axes["reslog"].tick_params(labelsize=TINY)
    else:
        axes["reslog"].set_axis_off()
    save_figure(figure, path)


def _draw_directions(axes: Any, hemisphere: Any, found: Validation) -> None:
    d = found.directional
    low, middle, high = (np.percentile(d.fsc, part, axis=0) for part in (5, 50, 95))
    axes.fill_between(d.frequency_per_A[1:], low[1:], high[1:], color="0.8", label="5 to 95 % of directions")
    axes.plot(d.frequency_per_A[1:], middle[1:], lw=1.2, label="median")
    axes.axhline(0.143, color="0.6", lw=0.8)
    axes.set_ylim(-0.15, 1.03)
    axes.set_title(f"by direction: {found.spread.best_A:.2f} to {found.spread.worst_A:.2f} A", fontsize=SMALL)
    axes.set_xlabel("spatial frequency (1/A)", fontsize=SMALL)
    axes.tick_params(labelsize=TINY)
    axes.legend(fontsize=TINY, frameon=False)
    seen = np.where(np.isfinite(found.spread.resolution_A), found.spread.resolution_A, np.nan)
    # Equal areas: the radius grows with the sine of half the angle from the pole.
    x, y, z = d.directions.T
    radius = np.sqrt(np.maximum(1.0 - z, 0.0)) / np.maximum(np.hypot(x, y), 1e-9)
    dots = hemisphere.scatter(radius * x, radius * y, c=seen, cmap="turbo", s=26)
    bar = hemisphere.figure.colorbar(dots, ax=hemisphere, fraction=0.04)
    bar.set_label("resolution (A)", fontsize=SMALL)
    bar.ax.tick_params(labelsize=TINY)
    hemisphere.set_aspect("equal")
    hemisphere.set_axis_off()
    hemisphere.set_title("resolution by direction, z in the middle", fontsize=SMALL)
