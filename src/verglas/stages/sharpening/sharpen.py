"""Sharpen a map: a B-factor or flattened amplitudes, weights from the halves' correlation, MTF, low-pass, hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from verglas.engine.half_maps import LEAST_SHELLS, HalfMapCurves, guinier_fit, judge_halves
from verglas.engine.shared_start import SharedStart
from verglas.errors import InputError
from verglas.signal import (
    BFactorFit,
    Guinier,
    Transfer,
    apply_filter,
    cosine_lowpass,
    curve,
    guinier_plot,
    rfft,
    shell_amplitudes,
    shell_frequencies,
    ssnr,
)

LOW_B_FACTOR_A2 = -90.0
LEAST_MTF = 0.02
STANDARD_DEVIATION = 0.03
"""What sharpened maps are scaled to, so that contour levels are alike from map to map."""


@dataclass(frozen=True)
class SharpenSettings:
    """How a map is sharpened.

    Attributes
    ----------
    amplitudes
        ``"b-factor"``: multiply by ``exp(-B k^2 / 4)`` at all frequencies. ``"flatten"``: the same up to
        ``flatten_from_A``, and from there bring all shells to one amplitude.
    b_factor_A2
        That B, negative to sharpen. None: minus what the Guinier plot falls by, or -90 A^2 before flattening begins.
    fit_from_A, fit_to_A
        Range of the Guinier plot that B is read from; ``fit_to_A`` 0: to the resolution.
    flatten_from_A
        Where flattening begins.
    b_factor_beyond_A2
        B from there on.
    weighting
        Whether to multiply by the figure of merit, the expected correlation with the truth.
    ssnr_scale
        The signal-to-noise ratio that the figure of merit follows from is multiplied by this first.
    cutoff_A
        Resolution of the low-pass at the end; None: where the corrected correlation falls below 0.143.
    edge_A
        Its edge is 1 / edge_A wide.
    mtf
        Frequencies in 1/A and the detector's modulation transfer there, which is divided out; None: none.
    invert_hand
        Return the mirror image (the map inverted through its origin).
    """

    amplitudes: Literal["b-factor", "flatten"] = "b-factor"
    b_factor_A2: float | None = None
    fit_from_A: float = 10.0
    fit_to_A: float = 0.0
    flatten_from_A: float = 12.0
    b_factor_beyond_A2: float = 0.0
    weighting: bool = True
    ssnr_scale: float = 1.0
    cutoff_A: float | None = None
    edge_A: float = 20.0
    mtf: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
    invert_hand: bool = False


@dataclass(frozen=True)
class GuinierCurves:
    """Logarithm of the mean amplitude of shells 1 to the last, over squared frequency; all of shape (shells - 1,).

    Attributes
    ----------
    squared_frequency_per_A2
        Of the shells.
    before
        Of the map as it was.
    weighted
        With the MTF divided out and weighted: what the B-factor is fitted to.
    sharpened
        Of the result, before it was scaled.
    fit
        The line through ``weighted``; None where too few shells lie in its range.
    """

    squared_frequency_per_A2: NDArray[np.float64]
    before: NDArray[np.float64]
    weighted: NDArray[np.float64]
    sharpened: NDArray[np.float64]
    fit: BFactorFit | None


@dataclass(frozen=True)
class SharpenedMap:
    """A sharpened map and how it came about; maps have shape (n, n, n), float32.

    Attributes
    ----------
    map
        Sharpened, not masked, with the standard deviation 0.03.
    masked
        The same times the mask.
    mask
        The mask.
    b_factor_A2
        What was applied (up to ``flatten_from_A``, where amplitudes were flattened).
    cutoff_A
        Resolution of the low-pass.
    curves
        Correlations of the halves; None for a map without halves.
    guinier
        Amplitudes before and after.
    settings
        As given.
    notes
        What a person should know.
    """

    map: NDArray[np.float32]
    masked: NDArray[np.float32]
    mask: NDArray[np.float32]
    b_factor_A2: float
    cutoff_A: float
    curves: HalfMapCurves | None
    guinier: GuinierCurves
    settings: SharpenSettings
    notes: tuple[str, ...]


def sharpen_halves(
    first: NDArray[np.float32], second: NDArray[np.float32], mask: NDArray[np.float32], pixel_size_A: float,
    settings: SharpenSettings | None = None, *, molecular_mass_kDa: float | None = None,
    shared: SharedStart | None = None, threads: int = 1,
) -> SharpenedMap:  # fmt: skip
    """Sharpen the mean of two half maps by what they agree on.

    Parameters
    ----------
    first, second
        Half maps, not filtered, one cubic shape [z, y, x], protein bright.
    mask
        Soft mask around the particle, same shape.
    pixel_size_A
        Pixel size in A.
    settings
        How; the defaults when None.
    molecular_mass_kDa
        Mass of the particle, for the correlation corrected for solvent (``part_fsc``).
    shared
        What both halves were once aligned to, where that is known.
    threads
        Threads.

    Raises
    ------
    InputError
        If the halves agree on nothing and no cut-off is given, or shapes differ.

    References
    ----------
    Rosenthal & Henderson (2003), J. Mol. Biol. 333, 721; Grant, Rohou & Grigorieff (2018), eLife 7, e35383.
    """
    curves = judge_halves(
        first, second, mask, pixel_size_A, molecular_mass_kDa=molecular_mass_kDa, shared=shared, threads=threads
    )
    mean = np.float32(0.5) * (first + second)
    return _sharpen(mean, mask, pixel_size_A, settings or SharpenSettings(), curves, threads)


def sharpen_map(
    volume: NDArray[np.float32], mask: NDArray[np.float32], pixel_size_A: float, settings: SharpenSettings, *,
    threads: int = 1,
) -> SharpenedMap:  # fmt: skip
    """Sharpen a map whose halves are not known: nothing weights it, and its cut-off must be given.

    Parameters
    ----------
    volume, mask
        The map and a soft mask, one cubic shape.
    pixel_size_A
        Pixel size in A.
    settings
        With ``cutoff_A``.
    threads
        Threads.

    Raises
    ------
    InputError
        If there is no cut-off, or shapes differ.
    """
    if mask.shape != volume.shape:
        raise InputError(f"The mask has shape {mask.shape}, the map {volume.shape}: bring them to one.")
    return _sharpen(volume, mask, pixel_size_A, settings, None, threads)


def inverted_hand(volume: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a map inverted through its origin n // 2: the mirror image, in the same setting of its symmetry."""
    turned = np.flip(volume)
    shift = [1 - n % 2 for n in volume.shape]
    return np.ascontiguousarray(np.roll(turned, shift, axis=(0, 1, 2)))


def _sharpen(
    volume: NDArray[np.float32], mask: NDArray[np.float32], pixel_size_A: float, settings: SharpenSettings,
    curves: HalfMapCurves | None, threads: int,
) -> SharpenedMap:  # fmt: skip
    cutoff_A = settings.cutoff_A or (curves.resolution_A if curves is not None else None)
    if cutoff_A is None:
        raise InputError(
            "the halves agree on nothing, or there are none, so nothing says where to cut: give the cut-off resolution."
        )
    cutoff_A = max(cutoff_A, 2.0 * pixel_size_A)
    notes: list[str] = []
    weights = _weights(volume.shape, pixel_size_A, settings, curves)
    before = guinier_plot(volume, pixel_size_A, workers=threads)
    with np.errstate(divide="ignore"):
        weighted = before.log_amplitude + np.log(weights[1:])
    plot = Guinier(before.squared_frequency_per_A2, weighted)
    fit = guinier_fit(plot, settings.fit_from_A, settings.fit_to_A or cutoff_A)
    b_A2 = settings.b_factor_A2
    if b_A2 is None and settings.amplitudes == "flatten":
        b_A2 = LOW_B_FACTOR_A2
    elif b_A2 is None:
        if fit is None:
            notes.append(
                f"fewer than {LEAST_SHELLS} shells lie between {settings.fit_from_A:g} and {cutoff_A:.1f} A, so no "
                "B-factor can be read: none was applied."
            )
        elif fit.b_factor_A2 > 0.0:
            notes.append(f"the Guinier plot rises (by {fit.b_factor_A2:.0f} A^2), so no B-factor was applied.")
        b_A2 = min(0.0, fit.b_factor_A2) if fit is not None else 0.0
    frequency = shell_frequencies(volume.shape, pixel_size_A)
    shaped = curve(frequency, weights * _amplitude_factors(volume * mask, pixel_size_A, settings, b_A2, threads))
    edge = cosine_lowpass(cutoff_A, 1.0 / settings.edge_A)
    transfer: Transfer = lambda k: shaped(k) * edge(k)  # noqa: E731 - a filter is a function of the frequency
    found = apply_filter(volume, pixel_size_A, transfer, workers=threads)
    after = guinier_plot(found, pixel_size_A, workers=threads)
    if settings.invert_hand:
        found, mask = inverted_hand(found), inverted_hand(mask)
    spread = float(found.std())
    if not spread > 0.0:
        raise InputError("nothing is left of the map after filtering: give a finer cut-off, or look at the half maps.")
    found = found * np.float32(STANDARD_DEVIATION / spread)
    guinier = GuinierCurves(
        before.squared_frequency_per_A2, before.log_amplitude, weighted, after.log_amplitude, fit
    )  # fmt: skip
    return SharpenedMap(found, found * mask, mask, float(b_A2), cutoff_A, curves, guinier, settings, tuple(notes))


def _weights(
    shape: tuple[int, ...], pixel_size_A: float, settings: SharpenSettings, curves: HalfMapCurves | None
) -> NDArray[np.float64]:
    """Return 1 / MTF times the figure of merit of each shell."""
    frequency = shell_frequencies(shape, pixel_size_A)
    weights = np.ones(len(frequency))
    if settings.mtf is not None:
        weights = weights / np.maximum(np.interp(frequency, *settings.mtf), LEAST_MTF)
    if settings.weighting and curves is not None:
        ratio = settings.ssnr_scale * ssnr(curves.corrected)
        weights *= np.sqrt(ratio / (1.0 + ratio))
        weights[0] = weights[1]
    return weights


def _amplitude_factors(
    masked: NDArray[np.float32], pixel_size_A: float, settings: SharpenSettings, b_A2: float, threads: int
) -> NDArray[np.float64]:
    """Return the factor of each shell that restores amplitudes."""
    frequency = shell_frequencies(masked.shape, pixel_size_A)
    if settings.amplitudes == "b-factor":
        falling: NDArray[np.float64] = np.exp(-0.25 * b_A2 * frequency**2)
        return falling
    start = 1.0 / settings.flatten_from_A
    if not start < frequency[-1]:
        raise InputError(f"{settings.flatten_from_A:g} A, where flattening should begin, lies beyond the last shell.")
    before = np.minimum(frequency, start)
    factors = np.exp(-0.25 * (b_A2 * before**2 + settings.b_factor_beyond_A2 * (frequency**2 - before**2)))
    amplitude = shell_amplitudes(rfft(masked, workers=threads), masked.shape)
    level = np.interp(start, frequency, amplitude)
    flat = np.divide(level, amplitude, out=np.zeros_like(amplitude), where=amplitude > 0.0)
    result: NDArray[np.float64] = np.where(frequency > start, factors * flat, factors)
    return result
