"""From a micrograph to its transfer function in one call, and what was found."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from verglas.formats.ctffind import CtfFit, CtfResults, RadialCurves
from verglas.microscopy import Optics
from verglas.stages.ctf_estimation.points import fit_points
from verglas.stages.ctf_estimation.quality import FitQuality, assess
from verglas.stages.ctf_estimation.reliability import failure_probability
from verglas.stages.ctf_estimation.search import CtfValues, SearchSettings, search
from verglas.stages.ctf_estimation.spectrum import FINEST_PIXEL_A, ThonSpectrum, log_spectrum, thon_spectrum
from verglas.stages.ctf_estimation.thickness import Thickness, find_thickness
from verglas.stages.ctf_estimation.tilt import Tilt, find_tilt, tile_powers, untilted_spectrum

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class CtfEstimate:
    """The transfer function of a micrograph.

    Attributes
    ----------
    values
        Mean defocus, parts of astigmatism, phase shift.
    mean_defocus_error_A, astigmatism_error_A
        Standard errors of the mean defocus and of the difference of both defoci, for known phase shift or with it.
    score
        Correlation of the spectrum between the resolutions of the fit with the fitted rings.
    points
        Pixels of the spectrum that were fitted.
    quality
        Curves and resolutions.
    spectrum
        What was fitted.
    optics
        Voltage, Cs, amplitude contrast, and the micrograph's pixel size.
    settings
        The search.
    thickness, tilt
        Of the specimen, where they were asked for. Where a tilt is certain, spectrum and fit are those of the middle of
        the micrograph.
    """

    values: CtfValues
    mean_defocus_error_A: float
    astigmatism_error_A: float
    score: float
    points: int
    quality: FitQuality
    spectrum: ThonSpectrum
    optics: Optics
    settings: SearchSettings
    thickness: Thickness | None = None
    tilt: Tilt | None = None

    @property
    def defocus_u_A(self) -> float:
        """Largest defocus."""
        return self.values.mean_A + self.values.half_astigmatism_A

    @property
    def defocus_v_A(self) -> float:
        """Smallest defocus."""
        return self.values.mean_A - self.values.half_astigmatism_A

    @property
    def defocus_angle_deg(self) -> float:
        """Direction of the largest defocus in degrees, from +x towards +y, -90 to 90."""
        return math.degrees(self.values.angle)

    @property
    def phase_shift_deg(self) -> float:
        """Phase plate's shift in degrees."""
        return math.degrees(self.values.phase_shift)

    @property
    def failure_probability(self) -> float:
        """Probability that the mean defocus is off by more than 500 A."""
        return failure_probability(self.score, self.points)

    @property
    def fit_is_aliased(self) -> bool:
        """Whether rings within the range of the fit are too narrow for the spectrum's box."""
        return self.quality.aliasing_resolution_A > self.settings.finest_A

    def as_ctffind(self, input_file: str = "") -> CtfResults:
        """Return the estimate as the content of CTFFIND's ``.txt``."""
        tilt = self.tilt if self.tilt is not None and self.tilt.is_certain else None
        fit = CtfFit(
            self.defocus_u_A, self.defocus_v_A, self.defocus_angle_deg, self.phase_shift_deg,
            self.score, self.quality.fit_resolution_A,
            tilt_axis_deg=math.nan if tilt is None else tilt.axis_deg,
            tilt_angle_deg=math.nan if tilt is None else tilt.angle_deg,
            thickness_A=self.thickness.thickness_A if self.thickness and self.thickness.is_certain else math.nan,
        )  # fmt: skip
        optics = self.optics
        return CtfResults(
            optics.pixel_size_A, optics.voltage_kV, optics.spherical_aberration_mm, optics.amplitude_contrast,
            (fit,), input_file,
        )  # fmt: skip

    def as_radial_curves(self) -> RadialCurves:
        """Return the curves of ``_avrot.txt``."""
        found = self.quality
        return RadialCurves(
            found.frequency_per_A, found.average, found.equiphase_average, found.fit, found.quality, found.noise
        )


def estimate_ctf(
    image: Array | Iterable[Array],
    pixel_size_A: float,
    *,
    voltage_kV: float = 300.0,
    spherical_aberration_mm: float = 2.7,
    amplitude_contrast: float = 0.07,
    box: int = 512,
    finest_pixel_A: float | None = FINEST_PIXEL_A,
    settings: SearchSettings | None = None,
    thickness_finest_A: float | None = None,
    largest_tilt_deg: float | None = None,
    threads: int = 1,
) -> CtfEstimate:
    """Estimate the contrast transfer function of a micrograph.

    Parameters
    ----------
    image
        Micrograph, shape (ny, nx), at least 128 pixels a side; or several of one shape whose power is averaged, such as
        `frame_groups` of a movie.
    pixel_size_A
        Its pixel size in A.
    voltage_kV, spherical_aberration_mm, amplitude_contrast
        The microscope.
    box
        Edge of the spectrum in pixels.
    finest_pixel_A
        Where pixels are finer, the spectrum is that of pixels of this size; None to use pixels as they are.
    settings
        The search; defaults when None.
    thickness_finest_A
        Find the specimen's thickness too, from rings up to this resolution (3 A suits).
    largest_tilt_deg
        Find the specimen's tilt too, up to this angle; the fit is then that of the middle of the micrograph.
    threads
        Threads of the spectrum.

    Returns
    -------
    CtfEstimate

    Raises
    ------
    InputError
        If the image or a parameter cannot be used.
    """
    settings = SearchSettings() if settings is None else settings
    optics = Optics(voltage_kV, spherical_aberration_mm, amplitude_contrast, pixel_size_A)
    tilt = None
    if largest_tilt_deg is None:
        spectrum = thon_spectrum(image, pixel_size_A, box=box, finest_pixel_A=finest_pixel_A, threads=threads)
    else:
        tiles = tile_powers(image, pixel_size_A, box=box, finest_pixel_A=finest_pixel_A)
        spectrum = log_spectrum(tiles.power.mean(axis=0, dtype=np.float64), tiles.pixel_size_A)
    points = fit_points(spectrum, optics, settings.coarsest_A, settings.finest_A)
    fit = search(points, settings)
    if largest_tilt_deg is not None:
        # the second time with the astigmatism of the spectrum whose rings the tilt no longer washes out
        for _ in range(2):
            tilt, plane = find_tilt(tiles, optics, fit.values, settings, largest_tilt_deg)
            if not tilt.is_certain:
                break
            spectrum = untilted_spectrum(tiles, optics, plane)
            points = fit_points(spectrum, optics, settings.coarsest_A, settings.finest_A)
            fit = search(points, settings)
    thickness = None
    if thickness_finest_A is not None:
        thickness = find_thickness(spectrum, optics, fit.values, settings.coarsest_A, thickness_finest_A)
    known = thickness.thickness_A if thickness is not None and thickness.is_certain else 0.0
    quality = assess(spectrum, optics, fit.values, settings.coarsest_A, known)
    if failure_probability(fit.score, len(points.value)) > 0.5:
        # what correlates with a fit that is more likely wrong than right are no rings
        quality = replace(quality, fit_resolution_A=math.inf)
    mean_error, cosine_error, sine_error, _ = fit.errors
    across = math.sqrt(2.0 * (cosine_error**2 + sine_error**2))
    return CtfEstimate(
        fit.values, mean_error, across, fit.score, len(points.value), quality, spectrum, optics, settings,
        thickness, tilt,
    )  # fmt: skip
