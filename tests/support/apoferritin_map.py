"""How a map of apoferritin is measured against model 6z6u, whoever made it, and drawn beside it.

Inside the protein's shell, with the spherical average taken off both: without that, shell and cavity dominate the
curve. The hand cannot be known from these images, so a map found from nothing is compared in the nearer one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from verglas.engine.map_views import new_figure, orthogonal_views, save_figure, show_image
from verglas.signal import (
    ShellCorrelation,
    apply_filter,
    centred_rfft,
    curve,
    fourier_shell_correlation,
    resolution_at,
    shell_amplitudes,
    shell_frequencies,
    sphere_mask,
)

Map = NDArray[np.float32]
SHELL_A, EDGE_A = (45.0, 64.0), 4.0
"""Radii of the protein."""
HAND_A = (20.0, 7.0)
"""What decides which hand is nearer to the model's."""


@dataclass(frozen=True)
class Judged:
    """Curves within the shell, less the spherical average."""

    halves: ShellCorrelation
    model: ShellCorrelation

    @property
    def figures(self) -> dict[str, float | None]:
        """Resolutions, A; None where curves are never above."""

        def at(found: ShellCorrelation, threshold: float) -> float | None:
            finest = float(resolution_at(found.frequency_per_A, found.fsc, threshold).resolution_A)
            return round(finest, 3) if np.isfinite(finest) else None

        return {"halves_0.143_A": at(self.halves, 0.143), "model_0.5_A": at(self.model, 0.5),
                "model_0.143_A": at(self.model, 0.143)}  # fmt: skip


def without_mean_shell(volume: Map) -> Map:
    """Return a map less its mean at each distance from the middle."""
    axis = np.arange(len(volume)) - len(volume) // 2
    distance = np.rint(np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)).astype(int)
    mean = np.bincount(distance.ravel(), volume.ravel()) / np.bincount(distance.ravel())
    return np.asarray(volume - mean[distance], np.float32)


def shell_mask(box: int, pixel_size_A: float) -> Map:
    """Return the soft mask of the protein's shell."""
    outer = sphere_mask((box,) * 3, SHELL_A[1], pixel_size_A, edge_A=EDGE_A)
    return np.asarray(outer - sphere_mask((box,) * 3, SHELL_A[0] - EDGE_A, pixel_size_A, edge_A=EDGE_A), np.float32)


def judged(halves: tuple[Map, Map], model: Map, pixel_size_A: float) -> Judged:
    """Measure half maps, and their mean against a model in the same frame."""
    mask = shell_mask(len(model), pixel_size_A)
    first, second = (without_mean_shell(one) for one in halves)
    target = without_mean_shell(model)
    return Judged(
        fourier_shell_correlation(first, second, pixel_size_A, mask=mask),
        fourier_shell_correlation(np.asarray(0.5 * (first + second), np.float32), target, pixel_size_A, mask=mask),
    )


def nearer_hand(halves: tuple[Map, Map], model: Map, pixel_size_A: float) -> tuple[tuple[Map, Map], float, float]:
    """Return half maps in the hand that is nearer to the model's, and the mean correlation of both hands, it first.

    Axes of O leave nothing else open: a map in its standard setting lies as the model does, or inverted.
    """
    other = (_inverted(halves[0]), _inverted(halves[1]))
    means = []
    for pair in (halves, other):
        found = judged(pair, model, pixel_size_A).model
        within = (found.frequency_per_A > 1.0 / HAND_A[0]) & (found.frequency_per_A < 1.0 / HAND_A[1])
        means.append(float(np.mean(found.fsc[within])))
    return (halves, means[0], means[1]) if means[0] >= means[1] else (other, means[1], means[0])


def _inverted(volume: Map) -> Map:
    return np.asarray(np.roll(volume[::-1, ::-1, ::-1], 1, (0, 1, 2)), np.float32)


def with_amplitudes_of(volume: Map, model: Map, limit_A: float, pixel_A: float) -> Map:
    """Return a map with the mean amplitudes of a model in each shell, and nothing beyond a resolution."""
    shape = volume.shape
    own, wanted = (shell_amplitudes(centred_rfft(one), shape) for one in (volume, model))
    frequency = shell_frequencies(shape, pixel_A)
    gain = np.where(frequency < 1.0 / limit_A, wanted / np.maximum(own, 1e-30), 0.0)
    return np.asarray(apply_filter(volume, pixel_A, curve(frequency, gain)), np.float32)


def draw(
    path: Path, maps: dict[str, Map], model: Map, limit_A: float, curves: dict[str, ShellCorrelation], pixel_A: float
) -> None:  # fmt: skip
    """Draw sections and projections of maps, all to one resolution and with the model's amplitudes, and curves."""
    figure = new_figure(4.4 * (len(maps) + 1), 6.0)
    axes = figure.subplots(1, len(maps) + 1)
    for axis, (title, volume) in zip(axes, maps.items(), strict=False):
        show_image(axis, orthogonal_views(with_amplitudes_of(volume, model, limit_A, pixel_A)), title)
    for name, one in curves.items():
        axes[-1].plot(one.frequency_per_A, one.fsc, label=name)
    for threshold in (0.143, 0.5):
        axes[-1].axhline(threshold, color="0.7", lw=0.8)
    axes[-1].set(xlabel="1/A", ylabel="correlation in the shell", ylim=(-0.1, 1.02))
    axes[-1].legend(fontsize=8)
    save_figure(figure, path)
