"""Write an estimate's files - CTFFIND's two texts, diagnostic image, picture - and return its figures as plain JSON."""

from __future__ import annotations

import math
from pathlib import Path

from verglas.formats.atomic_write import write_whole
from verglas.formats.ctffind import write_avrot, write_ctffind
from verglas.formats.mrc import write_mrc
from verglas.stages.ctf_estimation.estimate import CtfEstimate
from verglas.stages.ctf_estimation.pictures import diagnostic_image, write_picture


def write_estimate(found: CtfEstimate, folder: Path, stem: str, *, title: str, source: str = "") -> dict[str, Path]:
    """Write all files of an estimate, each whole or not at all.

    Parameters
    ----------
    found
        What `estimate_ctf` returned.
    folder
        Where to; it exists.
    stem
        Beginning of every file's name.
    title
        Name of the micrograph, for the picture.
    source
        Its file, for the text.

    Returns
    -------
    dict
        Role (``fit``, ``avrot``, ``diagnostic``, ``picture``) to path.
    """
    files = {
        "fit": folder / f"{stem}.txt",
        "avrot": folder / f"{stem}_avrot.txt",
        "diagnostic": folder / f"{stem}.mrc",
        "picture": folder / f"{stem}.png",
    }
    write_ctffind(found.as_ctffind(source), files["fit"])
    write_avrot([found.as_radial_curves()], files["avrot"])
    write_mrc(files["diagnostic"], diagnostic_image(found), 0.0)
    with write_whole(files["picture"]) as path:
        write_picture(path, found, title)
    return files


def result_values(found: CtfEstimate) -> dict[str, object]:
    """Return what was found as plain JSON; null stands for what there is not, such as a resolution nowhere reached."""
    quality = found.quality
    figures = {
        "defocus_u_A": found.defocus_u_A,
        "defocus_v_A": found.defocus_v_A,
        "defocus_angle_deg": found.defocus_angle_deg,
        "phase_shift_deg": found.phase_shift_deg,
        "mean_defocus_error_A": found.mean_defocus_error_A,
        "astigmatism_A": found.defocus_u_A - found.defocus_v_A,
        "astigmatism_error_A": found.astigmatism_error_A,
        "score": found.score,
        "failure_probability": found.failure_probability,
        "fit_resolution_A": quality.fit_resolution_A,
        "aliasing_resolution_A": quality.aliasing_resolution_A,
        "iciness": quality.iciness,
        "voltage_kV": found.optics.voltage_kV,
        "cs_mm": found.optics.spherical_aberration_mm,
        "amplitude_contrast": found.optics.amplitude_contrast,
        "pixel_size_A": found.optics.pixel_size_A,
        "spectrum_pixel_size_A": found.spectrum.pixel_size_A,
    }
    if found.thickness is not None:
        thickness = found.thickness
        figures["thickness_A"] = thickness.thickness_A if thickness.is_certain else math.nan
        figures["thickness_error_A"] = thickness.error_A if thickness.is_certain else math.nan
    if found.tilt is not None:
        tilt, known = found.tilt, found.tilt.is_certain
        figures["tilt_axis_deg"] = tilt.axis_deg if known else math.nan
        figures["tilt_angle_deg"] = tilt.angle_deg if known else math.nan
        figures["tilt_axis_error_deg"] = tilt.axis_error_deg if known else math.nan
        figures["tilt_angle_error_deg"] = tilt.angle_error_deg
    values: dict[str, object] = {name: value if math.isfinite(value) else None for name, value in figures.items()}
    return values | {"box": found.spectrum.box, "fit_is_aliased": bool(found.fit_is_aliased)}
