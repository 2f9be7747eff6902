"""The simulator's own microscope: from potential to contrast, linear, on the Ewald sphere or by multislice."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from verglas.stages.simulation.parameters import OpticsParameters
from verglas.stages.simulation.projection import Projector, frequencies
from verglas.stages.simulation.scattering import interaction_per_VA, wavelength_A

# The beam runs towards +z of the projected molecule: atoms at larger z are farther from focus.
BEAM_ALONG_Z = 1.0


@dataclass(frozen=True)
class Defocus:
    """Underfocus of one particle: A, A, degrees from +x towards +y, degrees of a phase plate."""

    u_A: float
    v_A: float
    angle_degrees: float
    phase_shift_degrees: float = 0.0

    def moved(self, distance_A: float) -> Defocus:
        """Return the defocus of something that much farther along the beam."""
        return Defocus(self.u_A + distance_A, self.v_A + distance_A, self.angle_degrees, self.phase_shift_degrees)


class Microscope:
    """Transfer functions of one microscope on one grid.

    Parameters
    ----------
    optics
        Voltage, aberrations, envelope.
    shape
        (ny, nx) of the images.
    """

    def __init__(self, optics: OpticsParameters, shape: tuple[int, int]) -> None:
        self.optics, self.shape = optics, shape
        self.wavelength_A = wavelength_A(optics.voltage_kV)
        self.interaction = interaction_per_VA(optics.voltage_kV)
        ky, kx = frequencies(shape, optics.pixel_size_A)
        self.k2 = (ky**2 + kx**2).astype(np.float64)
        self._k2_cos, self._k2_sin = kx**2 - ky**2, 2 * kx * ky
        self.cubic = math.pi / 2 * optics.cs_mm * 1e7 * self.wavelength_A**3 * self.k2**2
        self.envelope = np.exp(-optics.envelope_b_A2 * self.k2 / 4)
        self.tilt: NDArray[np.complex128] | None = None
        if optics.beam_tilt_x_mrad or optics.beam_tilt_y_mrad:
            along = kx * optics.beam_tilt_x_mrad + ky * optics.beam_tilt_y_mrad
            phase = 2 * math.pi * optics.cs_mm * 1e7 * self.wavelength_A**2 * self.k2 * along * 1e-3
            self.tilt = np.exp(1j * phase)

    def phase(self, defocus: Defocus) -> NDArray[np.float64]:
        """Return chi in radians: pi lambda dz k^2 - pi/2 Cs lambda^3 k^4 + phase shift."""
        mean, half = (defocus.u_A + defocus.v_A) / 2, (defocus.u_A - defocus.v_A) / 2
        angle = 2 * math.radians(defocus.angle_degrees)
        path = mean * self.k2 + half * (math.cos(angle) * self._k2_cos + math.sin(angle) * self._k2_sin)
        return np.asarray(math.pi * self.wavelength_A * path - self.cubic + math.radians(defocus.phase_shift_degrees))

    def transfer(self, defocus: Defocus) -> NDArray[np.complex128] | NDArray[np.float64]:
        """Return the CTF with envelope and beam tilt; negative at low frequency for underfocus."""
        w = self.optics.amplitude_contrast
        ctf = -np.sin(self.phase(defocus) + math.asin(w)) * self.envelope
        return ctf if self.tilt is None else ctf * self.tilt

    def mean_square_transfer(self, defocus: Defocus, thickness_A: float) -> NDArray[np.float64]:
        """Return the CTF's square averaged over a layer's thickness, without the envelope.

        References
        ----------
        Elferich, Kong, Zottig & Grigorieff, "CTFFIND5 provides improved insight into quality, tilt, and thickness of
        TEM samples", eLife 13 (2024).
        """
        chi = self.phase(defocus) + math.asin(self.optics.amplitude_contrast)
        damping = np.sinc(self.wavelength_A * thickness_A * self.k2)
        return np.asarray((1 - damping * np.cos(2 * chi)) / 2)

    def contrast(
        self,
        projector: Projector,
        rotation: NDArray[np.float64],
        offset_A: tuple[float, float],
        defocus: Defocus,
    ) -> NDArray[np.complex64]:
        """Return the transform of one molecule's contrast (relative change of intensity) on this grid.

        The projector's box is laid on the middle of the grid.
        """
        how = self.optics.scattering
        if how == "weak_phase":
            potential = self._on_grid(projector, projector.potential(rotation, offset_A))
            return np.asarray(2 * self.interaction * potential * self.transfer(defocus), dtype=np.complex64)
        heights, slabs = projector.slabs(rotation, offset_A, self.optics.slab_thickness_A)
        depths = BEAM_ALONG_Z * heights
        if how == "ewald":
            total = np.zeros(self.k2.shape, np.complex128)
            for depth, slab in zip(depths, slabs, strict=True):
                total += self._on_grid(projector, slab) * self.transfer(defocus.moved(float(depth)))
            return np.asarray(2 * self.interaction * total, dtype=np.complex64)
        order = np.argsort(depths)
        images = [scipy.fft.irfft2(self._on_grid(projector, slabs[i]), self.shape) for i in order]
        return self._multislice(images, depths[order], defocus)

    def _on_grid(self, projector: Projector, potential: NDArray[np.complex64]) -> NDArray[np.complex64]:
        """Surround the projector's box with empty space up to this grid."""
        n = projector.box
        if (n, n) == self.shape:
            return potential
        image = np.zeros(self.shape, np.float32)
        y, x = self.shape[0] // 2 - n // 2, self.shape[1] // 2 - n // 2
        image[y : y + n, x : x + n] = scipy.fft.irfft2(potential, (n, n))
        return np.asarray(scipy.fft.rfft2(image), dtype=np.complex64)

    def _multislice(
        self, potentials: list[NDArray[np.float32]], depths_A: NDArray[np.float64], defocus: Defocus
    ) -> NDArray[np.complex64]:
        """Send a plane wave through the slabs, then through the lens (Cowley & Moodie, Acta Cryst. 10, 609, 1957)."""
        w = self.optics.amplitude_contrast
        refraction = self.interaction * (1j * math.sqrt(1 - w * w) - w)
        ky = scipy.fft.fftfreq(self.shape[0], self.optics.pixel_size_A)[:, None]
        kx = scipy.fft.fftfreq(self.shape[1], self.optics.pixel_size_A)[None, :]
        k2 = ky**2 + kx**2
        below = math.pi * self.wavelength_A * k2
        wave = np.ones(self.shape, np.complex128)
        for i, potential in enumerate(potentials):
            if i:
                spectrum = scipy.fft.fft2(wave) * np.exp(-1j * below * (depths_A[i] - depths_A[i - 1]))
                wave = scipy.fft.ifft2(spectrum)
            wave = wave * np.exp(refraction * potential)
        mean, half = (defocus.u_A + defocus.v_A) / 2 + depths_A[-1], (defocus.u_A - defocus.v_A) / 2
        angle = 2 * math.radians(defocus.angle_degrees)
        path = mean * k2 + half * (math.cos(angle) * (kx**2 - ky**2) + math.sin(angle) * 2 * kx * ky)
        chi = math.pi * self.wavelength_A * path
        chi -= math.pi / 2 * self.optics.cs_mm * 1e7 * self.wavelength_A**3 * k2**2
        lens = np.exp(1j * (chi + math.radians(defocus.phase_shift_degrees)))
        lens[0, 0] = 1
        intensity = np.abs(scipy.fft.ifft2(scipy.fft.fft2(wave) * lens)) ** 2
        spectrum = scipy.fft.rfft2(intensity - 1) * self.envelope
        return np.asarray(spectrum if self.tilt is None else spectrum * self.tilt, dtype=np.complex64)


def critical_dose_e_A2(k: NDArray[np.float64], voltage_kV: float) -> NDArray[np.float64]:
    """Return the dose at which the signal's amplitude has fallen to exp(-1/2), by spatial frequency (1/A).

    References
    ----------
    Grant & Grigorieff, eLife 4, e06980 (2015): 0.24499 k^-1.6649 + 2.8141 at 300 kV; at 200 kV 0.8 of it, at 100 kV
    0.532 of it (as cisTEM), linear between them.
    """
    safe = np.maximum(k, 1e-4)
    scale = np.interp(voltage_kV, [100, 200, 300], [0.532, 0.8, 1.0])
    return np.asarray(scale * (0.24499 * safe**-1.6649 + 2.8141))


def damage(k: NDArray[np.float64], dose_start: float, dose_end: float, voltage_kV: float) -> NDArray[np.float64]:
    """Return the factor of the signal's amplitude averaged over an exposure from one dose to another (e/A^2)."""
    rate = 1 / (2 * critical_dose_e_A2(k, voltage_kV))
    span = max(dose_end - dose_start, 1e-6)
    return np.asarray(np.exp(-rate * dose_start) * -np.expm1(-rate * span) / (rate * span))
