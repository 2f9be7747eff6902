"""CTFFIND's results as text: the fitted parameters (``.txt``) and the radial curves (``_avrot.txt``)."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verglas.errors import FormatError
from verglas.formats.atomic_write import write_whole
from verglas.formats.number_lines import numbers_of, read_lines

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CtfFit:
    """One micrograph's line of CTFFIND's ``.txt``; tilt and thickness are NaN where version 4 wrote the file."""

    defocus_u_A: float
    defocus_v_A: float
    defocus_angle_deg: float
    phase_shift_deg: float
    score: float
    fit_resolution_A: float
    tilt_axis_deg: float = float("nan")
    tilt_angle_deg: float = float("nan")
    thickness_A: float = float("nan")


@dataclass(frozen=True)
class CtfResults:
    """A whole ``.txt``: the microscope's values of its header, and a fit for each micrograph."""

    pixel_size_A: float
    voltage_kV: float
    spherical_aberration_mm: float
    amplitude_contrast: float
    fits: tuple[CtfFit, ...]
    input_file: str = ""


@dataclass(frozen=True)
class RadialCurves:
    """One micrograph of ``_avrot.txt``; all arrays have shape (samples,).

    Attributes
    ----------
    frequency_per_A
        Spatial frequency.
    average, astigmatic_average
        Rotational average of the spectrum without and with regard to the astigmatism.
    fit
        The fitted CTF, as its absolute value.
    quality
        Correlation of spectrum and fit around each frequency.
    noise
        Two sigma of the correlation that noise would have.
    """

    frequency_per_A: Floats
    average: Floats
    astigmatic_average: Floats
    fit: Floats
    quality: Floats
    noise: Floats


def read_ctffind(path: str | os.PathLike[str]) -> CtfResults:
    """Read CTFFIND's ``.txt`` (version 4: 7 columns, version 5: 10).

    Raises
    ------
    FormatError
        The header or a line is damaged.
    """
    lines = read_lines(path)
    header = "\n".join(line for line in lines if line.startswith("#"))

    def value(what: str) -> float:
        found = re.search(rf"{what}: *([-+.\deE]+)", header)
        try:
            return float(found[1]) if found else float("nan")
        except ValueError:
            return float("nan")

    microscope = [
        value(w) for w in ("Pixel size", "acceleration voltage", "spherical aberration", "amplitude contrast")
    ]
    if not np.isfinite(microscope).all():
        raise FormatError(path, "its header does not say pixel size, voltage, aberration and amplitude contrast.")
    fits = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        row = numbers_of(path, number, line, 7)
        if len(row) not in {7, 10}:
            raise FormatError(path, f"line {number}: {len(row)} numbers, not 7 or 10.", "Is this a file of CTFFIND's?")
        _, u, v, angle, phase_rad, score, resolution, *tilt = row
        fits.append(CtfFit(u, v, angle, float(np.rad2deg(phase_rad)), score, resolution, *tilt))
    if not fits:
        raise FormatError(path, "there are no micrographs in this file.", "Is it cut short?")
    source = re.search(r"Input file: (.*?) ; Number", header)
    pixel_size_A, voltage_kV, cs_mm, amplitude = microscope
    return CtfResults(pixel_size_A, voltage_kV, cs_mm, amplitude, tuple(fits), source[1] if source else "")


def write_ctffind(results: CtfResults, path: str | os.PathLike[str]) -> None:
    """Write fits as CTFFIND does: version 5's 10 columns, or version 4's 7 where no tilt and thickness are known."""
    version = (
        5
        if any(np.isfinite([fit.tilt_axis_deg, fit.tilt_angle_deg, fit.thickness_A]).any() for fit in results.fits)
        else 4
    )

    def decimal(value: float, digits: int) -> str:
        return np.format_float_positional(value, min_digits=digits)

    lines = [
        f"# Output from verglas in the format of CTFFind version {version}",
        f"# Input file: {results.input_file} ; Number of micrographs: {len(results.fits)}",
        f"# Pixel size: {decimal(results.pixel_size_A, 3)} Angstroms ; "
        f"acceleration voltage: {decimal(results.voltage_kV, 1)} keV ; "
        f"spherical aberration: {decimal(results.spherical_aberration_mm, 2)} mm ; "
        f"amplitude contrast: {decimal(results.amplitude_contrast, 2)}",
        "# Columns: #1 - micrograph number; #2 - defocus 1 [Angstroms]; #3 - defocus 2; #4 - azimuth of astigmatism; "
        "#5 - additional phase shift [radians]; #6 - cross correlation; #7 - spacing (in Angstroms) up to which CTF "
        "rings were fit successfully"
        + ("; #8 - tilt axis angle; #9 - tilt angle; #10 - sample thickness (in Angstroms)" if version == 5 else ""),
    ]
    for number, fit in enumerate(results.fits, 1):
        tilt = np.nan_to_num([fit.tilt_axis_deg, fit.tilt_angle_deg, fit.thickness_A]).tolist() if version == 5 else []
        row = [number, fit.defocus_u_A, fit.defocus_v_A, fit.defocus_angle_deg, np.deg2rad(fit.phase_shift_deg)]
        lines.append(" ".join(f"{value:.6f}" for value in [*row, fit.score, fit.fit_resolution_A, *tilt]))
    with write_whole(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", "utf-8")


def read_avrot(path: str | os.PathLike[str]) -> list[RadialCurves]:
    """Read CTFFIND's ``_avrot.txt``: six lines of numbers for each micrograph.

    Raises
    ------
    FormatError
        The lines are not six for each micrograph, or differ in length.
    """
    rows: list[Floats] = []
    for number, line in enumerate(read_lines(path), 1):
        if line.strip() and not line.startswith("#"):
            rows.append(np.array(numbers_of(path, number, line)))
    if not rows or len(rows) % 6:
        raise FormatError(path, f"{len(rows)} lines of numbers, not six for each micrograph.", "Is it cut short?")
    curves = []
    for start in range(0, len(rows), 6):
        six: Sequence[Floats] = rows[start : start + 6]
        if len({len(row) for row in six}) > 1:
            raise FormatError(path, f"the lines of micrograph {start // 6 + 1} differ in length.", "Is it cut short?")
        curves.append(RadialCurves(*six))
    return curves


def write_avrot(curves: Sequence[RadialCurves], path: str | os.PathLike[str]) -> None:
    """Write radial curves as CTFFIND does."""
    lines = [
        "# 6 lines per micrograph: #1 - spatial frequency (1/Angstroms); #2 - 1D rotational average of spectrum "
        "(assuming no astigmatism); #3 - 1D rotational average of spectrum; #4 - CTF fit; #5 - cross-correlation "
        "between spectrum and CTF fit; #6 - 2sigma of expected cross correlation of noise"
    ]
    for curve in curves:
        for row in (
            curve.frequency_per_A,
            curve.average,
            curve.astigmatic_average,
            curve.fit,
            curve.quality,
            curve.noise,
        ):
            lines.append(" ".join(f"{value:.6f}" for value in row.tolist()))
    with write_whole(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", "ascii")
