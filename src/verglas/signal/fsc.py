"""Fourier shell correlation of maps (ring correlation of images), its corrections, and the resolution read from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from verglas.errors import InputError
from verglas.kernels.arrays import array_namespace
from verglas.signal.fourier import Array, frequency_radius, irfft, rfft
from verglas.signal.shells import shell_frequencies, shell_products, slabs

PROTEIN_DENSITY_DALTON_PER_A3 = 0.81


@dataclass(frozen=True)
class ShellCorrelation:
    """A Fourier shell correlation; all arrays have shape (shells,)."""

    frequency_per_A: Any
    fsc: Any
    components: Any
    """Components of the full transform in each shell."""


@dataclass(frozen=True)
class CorrectedCorrelation:
    """The correlations from which the true one is judged; all arrays have shape (shells,)."""

    frequency_per_A: Any
    unmasked: Any
    masked: Any
    randomised: Any
    """Masked correlation after the phases beyond ``randomised_from_A`` were randomised: what the mask alone makes."""
    corrected: Any
    randomised_from_A: float


@dataclass(frozen=True)
class Resolution:
    """Where a correlation falls below a threshold.

    ``kind`` says how to read ``resolution_A``:

    - ``"crosses"``: the curve falls below here.
    - ``"never below"``: it stays above up to the last shell, whose resolution this is; sampling, not signal, limits.
    - ``"never above"``: no shell reaches the threshold; the resolution is infinite.
    - ``"start"``: it falls below beyond this resolution, but so far agreement may come from what a refinement began
      with.
    """

    resolution_A: float
    threshold: float
    kind: str
    rises_again_at_A: tuple[float, ...] = ()
    """Resolutions beyond the crossing where the curve comes back above the threshold (mask or overfitting artefacts,
    or a curve that is noisy there); empty for a clean curve."""


def fourier_shell_correlation(
    first: Array, second: Array, pixel_size_A: float, *, mask: Array | None = None, workers: int = 1
) -> ShellCorrelation:
    """Correlate two maps (or images: ring correlation) shell by shell.

    Parameters
    ----------
    first, second
        Real arrays of one shape, 1 to 3 axes.
    pixel_size_A
        Pixel size in A.
    mask
        Factor for both, same shape.
    workers
        Threads.

    Returns
    -------
    ShellCorrelation
        Shell i is round(|k| x longest axis) = i. Memory besides the inputs: two transforms (each 4 bytes a voxel in
        single precision), one masked copy if there is a mask, and slabs: 1.1 GB for 512^3, 1.6 GB with a mask.

    References
    ----------
    Saxton & Baumeister (1982), J. Microsc. 127, 127; Harauz & van Heel (1986), Optik 73, 146.
    """
    _same_shape(first, second, mask)
    a, b = (rfft(half if mask is None else half * mask, workers=workers) for half in (first, second))
    return correlate_transforms(a, b, first.shape, pixel_size_A, workers=workers)


def correlate_transforms(
    first: Array, second: Array, shape: tuple[int, ...], pixel_size_A: float, *, workers: int = 1
) -> ShellCorrelation:
    """Correlate two transforms, shape ([nz,] ny, nx // 2 + 1), of real arrays of the given shape."""
    sums = shell_products(first, second, shape, workers=workers)
    norm = np.sqrt(sums.power_first * sums.power_second)
    fsc = np.divide(sums.cross, norm, out=np.zeros_like(norm), where=norm > 0)
    return ShellCorrelation(shell_frequencies(shape, pixel_size_A), fsc, sums.components)


def corrected_fsc(
    first: Array,
    second: Array,
    mask: Array,
    pixel_size_A: float,
    *,
    randomise_below: float = 0.8,
    randomise_from_A: float | None = None,
    seed: int = 0,
    workers: int = 1,
) -> CorrectedCorrelation:
    """Correlate two half maps inside a mask and correct for what the mask itself correlates.

    Beyond the resolution where the unmasked curve first falls below ``randomise_below``, the phases of both halves are
    made random before masking; the correlation that remains there, R, is the mask's. The corrected curve is
    (masked - R) / (1 - R) from two shells beyond that resolution, and the masked one before. Corrected values are
    not cut off at zero.

    Parameters
    ----------
    first, second
        Half maps, one shape.
    mask
        Soft mask, 0 to 1, same shape.
    pixel_size_A
        Pixel size in A.
    randomise_below
        Value of the unmasked curve that sets where randomising begins.
    randomise_from_A
        Resolution where it begins, instead.
    seed
        Of the random phases.
    workers
        Threads.

    Returns
    -------
    CorrectedCorrelation
        Memory besides the inputs: two transforms and two copies at a time: 2.3 GB for 512^3.

    References
    ----------
    Chen et al. (2013), Ultramicroscopy 135, 24.
    """
    _same_shape(first, second, mask)
    shape = first.shape
    unmasked = fourier_shell_correlation(first, second, pixel_size_A, workers=workers)
    masked = fourier_shell_correlation(first, second, pixel_size_A, mask=mask, workers=workers)
    frequency = unmasked.frequency_per_A
    if randomise_from_A is None:
        below = np.flatnonzero(unmasked.fsc[1:] < randomise_below) + 1
        shell = int(below[0]) if below.size else len(frequency) - 1
    else:
        shell = max(1, round(max(shape) * pixel_size_A / randomise_from_A))
    if shell >= len(frequency) - 2:
        raise InputError(
            f"The halves correlate above {randomise_below} up to the Nyquist frequency, so nothing is left to "
            "randomise: they are not independent, or the pixels are too coarse. Give randomise_from_A to force it."
        )
    transforms = []
    for number, half in enumerate((first, second)):
        transform = rfft(half, workers=workers)
        randomise_phases(transform, shape, frequency[shell] * pixel_size_A, seed=(seed, number))
        transforms.append(rfft(irfft(transform, shape, workers=workers, overwrite=True) * mask, workers=workers))
    randomised = correlate_transforms(transforms[0], transforms[1], shape, pixel_size_A, workers=workers).fsc
    corrected = masked.fsc.copy()
    corrected[shell + 2 :] = ((masked.fsc - randomised) / np.maximum(1 - randomised, 1e-6))[shell + 2 :]
    return CorrectedCorrelation(frequency, unmasked.fsc, masked.fsc, randomised, corrected, 1 / frequency[shell])


def randomise_phases(
    transform: Array, shape: tuple[int, ...], from_frequency_per_pixel: float, *, seed: tuple[int, ...] = (0,)
) -> None:
    """Give every component at or beyond a frequency a random phase, in place, keeping amplitudes and Hermitian pairs.

    Parameters
    ----------
    transform
        Shape ([nz,] ny, nx // 2 + 1); needs slabs only besides.
    shape
        Real-space shape.
    from_frequency_per_pixel
        Where to begin, in cycles per pixel.
    seed
        Numbers that name the random stream.
    """
    xp = array_namespace(transform)
    sequence = np.random.SeedSequence(seed)
    planes = {0: _plane_phases(shape[:-1], (*seed, 1))}
    if shape[-1] % 2 == 0:
        planes[shape[-1] // 2] = _plane_phases(shape[:-1], (*seed, 2))
    for rows, child in zip(list(slabs(shape)), sequence.spawn(len(list(slabs(shape)))), strict=True):
        generator = np.random.Generator(np.random.Philox(child))
        phase = generator.random(transform[rows].shape, dtype=np.float32) * np.float32(2 * math.pi)
        if len(shape) > 1:
            for column, values in planes.items():
                phase[..., column] = values[rows]
        else:
            for column in planes.keys() & set(range(rows.start, rows.stop)):
                phase[column - rows.start] = 0.0
        beyond = frequency_radius(shape, xp=xp, rows=rows) >= np.float32(from_frequency_per_pixel * (1 - 1e-6))
        angle = xp.asarray(phase)
        transform[rows] *= xp.where(beyond, xp.exp(1j * angle), 1).astype(transform.dtype)


def _plane_phases(shape: tuple[int, ...], seed: tuple[int, ...]) -> Any:
    """Return phases that are odd under inversion, as the self-conjugate planes of a half transform need them."""
    phase = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed))).random(shape) * 2 * math.pi
    mirrored = phase
    for axis in range(len(shape)):
        mirrored = np.roll(np.flip(mirrored, axis), 1, axis)
    return (phase - mirrored).astype(np.float32)


def part_fsc(fsc: Any, mask_volume_A3: float, molecular_mass_kDa: float) -> Any:
    """Return the correlation inside the particle alone, estimated from that inside a generous mask.

    With f = mask volume / particle volume, the solvent in the mask lowers the signal-to-noise ratio f-fold:
    Part_FSC = f F / (1 + (f - 1) F). A mask smaller than the particle counts as f = 1.

    Parameters
    ----------
    fsc
        Correlation within the mask, shape (shells,).
    mask_volume_A3
        Volume of the mask, A^3.
    molecular_mass_kDa
        Mass of the particle; its volume is taken as mass / 0.81 Da per A^3.

    References
    ----------
    Sindelar & Grigorieff (2012), J. Struct. Biol. 180, 26; Grant, Rohou & Grigorieff (2018), eLife 7, e35383.
    """
    if not (mask_volume_A3 > 0 and molecular_mass_kDa > 0):
        raise InputError(f"Mask volume ({mask_volume_A3} A^3) and mass ({molecular_mass_kDa} kDa) must be positive.")
    ratio = max(1.0, mask_volume_A3 * PROTEIN_DENSITY_DALTON_PER_A3 / (1000.0 * molecular_mass_kDa))
    fsc = np.asarray(fsc, dtype=np.float64)
    # Below this the formula has its pole; correlations of noise rarely reach it.
    safe = np.maximum(fsc, -0.5 / ratio)
    return ratio * safe / (1 + (ratio - 1) * safe)


def ssnr(fsc: Any, *, of_average: bool = True) -> Any:
    """Return the spectral signal-to-noise ratio: 2 F / (1 - F) of the average of the halves, F / (1 - F) of one half.

    Correlations below 0 count as 0 and those above 0.9999 as that.

    References
    ----------
    Unser et al. (1987), Ultramicroscopy 23, 39; Penczek (2010), Methods Enzymol. 482, 73.
    """
    clipped = np.clip(fsc, 0.0, 0.9999)
    return (2.0 if of_average else 1.0) * clipped / (1 - clipped)


def resolution_at(frequency_per_A: Any, fsc: Any, threshold: float = 0.143) -> Resolution:
    """Return the resolution where a correlation first falls below a threshold.

    The crossing is interpolated linearly in frequency between the last shell above and the first below. Shell 0 is
    not looked at. Where the first shells lie below the threshold (a high-pass, a missing mask), the search begins
    at the first shell above.

    Parameters
    ----------
    frequency_per_A
        Rising frequencies, shape (shells,).
    fsc
        Correlations, shape (shells,).
    threshold
        0.143 for half maps, 0.5 for a map against a model.

    References
    ----------
    Rosenthal & Henderson (2003), J. Mol. Biol. 333, 721.
    """
    frequency, values = np.asarray(frequency_per_A, dtype=np.float64)[1:], np.asarray(fsc, dtype=np.float64)[1:]
    if not np.isfinite(values).all():
        raise InputError("The correlation holds values that are not numbers; look at the half maps and the mask.")
    above = values >= threshold
    if not above.any():
        return Resolution(math.inf, threshold, "never above")
    start = int(np.argmax(above))
    below = np.flatnonzero(~above[start:]) + start
    if not below.size:
        return Resolution(1 / frequency[-1], threshold, "never below")
    shell = int(below[0])
    crossing = _interpolate(frequency, values, shell, threshold)
    rises = [i for i in range(shell + 1, len(values)) if above[i] and not above[i - 1]]
    again = tuple(1 / _interpolate(frequency, values, i, threshold) for i in rises)
    return Resolution(1 / crossing, threshold, "crosses", again)


def _interpolate(frequency: Any, values: Any, shell: int, threshold: float) -> float:
    before, after = values[shell - 1], values[shell]
    part = (threshold - before) / (after - before)
    return float(frequency[shell - 1] + part * (frequency[shell] - frequency[shell - 1]))


def _same_shape(first: Array, second: Array, mask: Array | None) -> None:
    for name, other in (("second map", second), ("mask", mask)):
        if other is not None and other.shape != first.shape:
            raise InputError(f"The {name} has shape {other.shape}, the first map {first.shape}: bring them to one.")
