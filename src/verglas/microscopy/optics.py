"""What the microscope does to every image alike: voltage, aberrations, amplitude contrast, magnification."""

from __future__ import annotations

import math
from dataclasses import dataclass

from verglas.errors import InputError

PLANCK_J_S = 6.62607015e-34
ELECTRON_MASS_KG = 9.1093837015e-31
ELEMENTARY_CHARGE_C = 1.602176634e-19
SPEED_OF_LIGHT_M_PER_S = 299792458.0
PLAIN = ((1.0, 0.0), (0.0, 1.0))


def wavelength_A(voltage_kV: float) -> float:
    """Return the relativistic wavelength of electrons in A.

    Parameters
    ----------
    voltage_kV
        Acceleration voltage in kV.

    Raises
    ------
    InputError
        If the voltage is not positive.
    """
    if not voltage_kV > 0.0:
        raise InputError(f"an acceleration voltage of {voltage_kV:g} kV makes no sense; give it in kV, such as 300.")
    energy = ELEMENTARY_CHARGE_C * voltage_kV * 1e3
    rest = ELECTRON_MASS_KG * SPEED_OF_LIGHT_M_PER_S**2
    momentum = math.sqrt(energy * (energy + 2.0 * rest)) / SPEED_OF_LIGHT_M_PER_S
    return PLANCK_J_S / momentum * 1e10


@dataclass(frozen=True)
class Optics:
    """One optics group.

    Attributes
    ----------
    voltage_kV
        Acceleration voltage.
    spherical_aberration_mm
        Cs.
    amplitude_contrast
        Fraction of contrast that is amplitude contrast, 0 to 1.
    pixel_size_A
        Nominal pixel size of the images.
    beam_tilt_x_mrad, beam_tilt_y_mrad
        Beam tilt, which with Cs makes axial coma.
    trefoil_A, trefoil_angle
        Threefold astigmatism: its coefficient in A, and its direction in radians.
    tetrafoil_A, tetrafoil_angle
        Fourfold astigmatism, likewise.
    odd_zernike, even_zernike
        Coefficients of further odd and even aberrations, radians, see :mod:`verglas.microscopy.zernike`.
    magnification
        Matrix ((xx, xy), (yx, yy)) that takes nominal spatial frequencies to true ones.

    Raises
    ------
    InputError
        If a value makes no sense.
    """

    voltage_kV: float
    spherical_aberration_mm: float
    amplitude_contrast: float
    pixel_size_A: float
    beam_tilt_x_mrad: float = 0.0
    beam_tilt_y_mrad: float = 0.0
    trefoil_A: float = 0.0
    trefoil_angle: float = 0.0
    tetrafoil_A: float = 0.0
    tetrafoil_angle: float = 0.0
    odd_zernike: tuple[float, ...] = ()
    even_zernike: tuple[float, ...] = ()
    magnification: tuple[tuple[float, float], tuple[float, float]] = PLAIN

    def __post_init__(self) -> None:
        wavelength_A(self.voltage_kV)
        if not 0.0 <= self.amplitude_contrast <= 1.0:
            raise InputError(f"an amplitude contrast of {self.amplitude_contrast:g} makes no sense; use 0 to 1.")
        if not self.pixel_size_A > 0.0:
            raise InputError(f"a pixel size of {self.pixel_size_A:g} A makes no sense; it must be above zero.")
        if not all(math.isfinite(value) for value in (*self.odd_zernike, *self.even_zernike)):
            raise InputError("coefficients of aberrations must be finite numbers.")
        (a, b), (c, d) = self.magnification
        if not a * d - b * c > 0.0:
            raise InputError("the magnification matrix must not mirror or flatten images; its determinant is not > 0.")

    @property
    def wavelength_A(self) -> float:
        """Wavelength of the electrons in A."""
        return wavelength_A(self.voltage_kV)

    @property
    def amplitude_phase(self) -> float:
        """Phase in radians that stands for amplitude contrast."""
        return math.asin(self.amplitude_contrast)

    @property
    def has_odd_aberrations(self) -> bool:
        """Whether beam tilt or trefoil make the transfer function complex."""
        return bool(self.beam_tilt_x_mrad or self.beam_tilt_y_mrad or self.trefoil_A or any(self.odd_zernike))

    @property
    def has_uneven_magnification(self) -> bool:
        """Whether true spatial frequencies differ from nominal ones."""
        return self.magnification != PLAIN

    @property
    def largest_magnification(self) -> float:
        """Largest factor between true and nominal spatial frequencies."""
        (a, b), (c, d) = self.magnification
        whole, part = a * a + b * b + c * c + d * d, a * d - b * c
        return math.sqrt(0.5 * (whole + math.sqrt(max(whole * whole - 4.0 * part * part, 0.0))))


def anisotropic_magnification(
    major_scale: float, minor_scale: float, angle: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the matrix for frequencies of images magnified unevenly.

    Parameters
    ----------
    major_scale, minor_scale
        Factors by which images are too large along and across the axis.
    angle
        Direction of the axis in radians, from +x towards +y.

    Returns
    -------
    tuple of tuples
        For :class:`Optics`: an object stretched by s appears at a frequency lowered by s, so its true frequency
        is s times the nominal one.
    """
    mean, half = 0.5 * (major_scale + minor_scale), 0.5 * (major_scale - minor_scale)
    across = half * math.sin(2.0 * angle)
    return (mean + half * math.cos(2.0 * angle), across), (across, mean - half * math.cos(2.0 * angle))
