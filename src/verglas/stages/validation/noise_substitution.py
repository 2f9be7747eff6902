"""Overfitting told by noise: images whose fine detail was made random are refined alike, and must not agree there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verglas.engine.half_maps import THRESHOLD, finite
from verglas.errors import InputError
from verglas.signal import fourier_shell_correlation, irfft, randomise_phases, resolution_at, rfft

CORRECTED_FROM = 2
"""Shells beyond the substitution from which curves are corrected."""
AVERAGED = 5
"""Shells over which the noise's own correlation is averaged."""
WORSE = 1.05
"""A resolution that is this much finer than what is left without the noise is called overfitted."""


@dataclass(frozen=True)
class NoiseSubstitution:
    """Correlations of half maps beside those of the same images with noise in place of fine detail.

    Attributes
    ----------
    frequency_per_A
        Of the shells, shape (shells,).
    given, substituted
        Correlation of the given images' halves, and of those with noise, within one mask; shape (shells,).
    true
        ``(given - substituted) / (1 - substituted)`` beyond the substitution, ``given`` before it.
    substituted_from_A
        Where noise begins.
    resolution_A
        Where ``given`` falls below 0.143; None where it never reaches that.
    true_resolution_A
        The same of ``true``.
    noise_agrees_to_A
        Finest resolution at which the noise, averaged over five shells, agrees by 0.143 or more; None where nowhere.
    """

    frequency_per_A: NDArray[np.float64]
    given: NDArray[np.float64]
    substituted: NDArray[np.float64]
    true: NDArray[np.float64]
    substituted_from_A: float
    resolution_A: float | None
    true_resolution_A: float | None
    noise_agrees_to_A: float | None

    @property
    def overfitted(self) -> bool:
        """Whether the given resolution is finer than what is left without the noise that was aligned."""
        if self.resolution_A is None:
            return False
        return self.true_resolution_A is None or self.true_resolution_A > WORSE * self.resolution_A

    def sentence(self) -> str:
        """Return what the noise says, in words."""
        if self.noise_agrees_to_A is None:
            agrees = f"noise beyond {self.substituted_from_A:.2f} A does not agree"
        else:
            agrees = f"noise beyond {self.substituted_from_A:.2f} A agrees to {self.noise_agrees_to_A:.2f} A"
        if not self.overfitted:
            return f"{agrees}: the resolution is not made by overfitting."
        assert self.resolution_A is not None
        left = "nothing" if self.true_resolution_A is None else f"{self.true_resolution_A:.2f} A"
        return (
            f"{agrees}: of the {self.resolution_A:.2f} A that the halves agree to, {left} is left without it. Noise "
            "was aligned: refine with a coarser limit or a reference for each half set."
        )


def substitute_noise(
    images: NDArray[np.float32], pixel_size_A: float, beyond_A: float, seeds: list[tuple[int, ...]]
) -> NDArray[np.float32]:
    """Return images whose phases beyond a resolution are random, amplitudes as they were.

    Parameters
    ----------
    images
        Shape (n, ny, nx).
    pixel_size_A
        Their pixel size.
    beyond_A
        Finest resolution that stays.
    seeds
        Numbers that name the random stream of each image.

    Raises
    ------
    InputError
        The resolution is finer than the pixels allow.

    References
    ----------
    S. Chen et al., "High-resolution noise substitution to measure overfitting and validate resolution in 3D structure
    determination by single particle electron cryomicroscopy", Ultramicroscopy 135 (2013) 24.
    """
    if beyond_A <= 2.0 * pixel_size_A:
        raise InputError(
            f"there is nothing beyond {beyond_A:g} A in pixels of {pixel_size_A:g} A; choose a coarser resolution."
        )
    made = np.empty(images.shape, np.float32)
    for n, (image, seed) in enumerate(zip(images, seeds, strict=True)):
        transform = rfft(image)
        randomise_phases(transform, image.shape, pixel_size_A / beyond_A, seed=seed)
        made[n] = irfft(transform, image.shape)
    return made


def compare_with_noise(
    given: tuple[NDArray[np.float32], NDArray[np.float32]], noise: tuple[NDArray[np.float32], NDArray[np.float32]],
    mask: NDArray[np.float32], pixel_size_A: float, substituted_from_A: float, *, threads: int = 1,
) -> NoiseSubstitution:  # fmt: skip
    """Compare the half maps of a refinement with those of the same refinement of images with noise.

    Parameters
    ----------
    given
        Half maps of the images as they are.
    noise
        Half maps of the images that :func:`substitute_noise` made, refined with the same settings.
    mask
        Soft mask for both, same shape.
    pixel_size_A
        Of the maps.
    substituted_from_A
        Where noise begins.
    threads
        Threads.

    Raises
    ------
    InputError
        Shapes differ.

    References
    ----------
    S. Chen et al., Ultramicroscopy 135 (2013) 24, equation 4.
    """
    shapes = {np.shape(one) for one in (*given, *noise, mask)}
    if len(shapes) != 1:
        raise InputError("the half maps with and without noise, and the mask, must be of one shape.")
    first = fourier_shell_correlation(*given, pixel_size_A, mask=mask, workers=threads)
    other = fourier_shell_correlation(*noise, pixel_size_A, mask=mask, workers=threads).fsc
    frequency = np.asarray(first.frequency_per_A)
    start = int(np.searchsorted(frequency, 1.0 / substituted_from_A))
    true = first.fsc.copy()
    beyond = slice(start + CORRECTED_FROM, None)
    true[beyond] = ((first.fsc - other) / np.maximum(1.0 - other, 1e-6))[beyond]
    shells, window = other[beyond], np.full(AVERAGED, 1.0 / AVERAGED)
    averaged = np.convolve(shells, window, "valid") if len(shells) >= AVERAGED else shells[:0]
    agreeing = np.flatnonzero(averaged >= THRESHOLD)
    return NoiseSubstitution(
        frequency, first.fsc, other, true, substituted_from_A,
        finite(resolution_at(frequency, first.fsc, THRESHOLD)), finite(resolution_at(frequency, true, THRESHOLD)),
        float(1.0 / frequency[start + CORRECTED_FROM + agreeing[-1] + AVERAGED // 2]) if agreeing.size else None,
    )  # fmt: skip
