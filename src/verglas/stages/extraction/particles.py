"""The table of extracted particles: places, defocus, half sets, and the poses that a refinement starts with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from verglas.formats.particle_table import OpticsGroup, ParticleTable
from verglas.geometry import matrix_to_euler, random_rotations
from verglas.signal import smooth_size
from verglas.stages.extraction.half_sets import assign_half_sets

Array = np.ndarray[Any, Any]
BOX_PER_DIAMETER = 2.2


@dataclass(frozen=True)
class MicrographFacts:
    """What particles inherit from their micrograph.

    Attributes
    ----------
    number, name
        Of the micrograph; numbers order the half sets.
    pixel_size_A, shape
        Its pixel size and (ny, nx).
    voltage_kV, cs_mm, amplitude_contrast
        The microscope.
    defocus_u_A, defocus_v_A, defocus_angle_deg, phase_shift_deg
        Its transfer function, at its middle.
    tilt_axis_deg, tilt_angle_deg
        Its tilt, see :func:`local_defocus`; 0: flat.
    """

    number: int
    name: str
    pixel_size_A: float
    shape: tuple[int, int]
    voltage_kV: float
    cs_mm: float
    amplitude_contrast: float
    defocus_u_A: float
    defocus_v_A: float
    defocus_angle_deg: float
    phase_shift_deg: float = 0.0
    tilt_axis_deg: float = 0.0
    tilt_angle_deg: float = 0.0


def default_box(largest_dimension_A: float, pixel_size_A: float) -> int:
    """Return an even box of small prime factors, 2.2 times the particle's largest dimension, in pixels."""
    return int(smooth_size(max(8, round(BOX_PER_DIAMETER * largest_dimension_A / pixel_size_A))))


def local_defocus(facts: MicrographFacts, x_px: Array, y_px: Array) -> Array:
    """Return what a tilt adds to the defocus at places of a micrograph, in A.

    The tilt axis goes through the middle at ``tilt_axis_deg`` from +x towards +y. Defocus grows on the side to which
    the axis points after a quarter turn from +x towards +y, by the tangent of the tilt angle.

    Parameters
    ----------
    facts
        The micrograph.
    x_px, y_px
        Places in its pixels from the centre of the first one.
    """
    axis = np.deg2rad(facts.tilt_axis_deg)
    x = np.asarray(x_px, np.float64) - facts.shape[1] // 2
    y = np.asarray(y_px, np.float64) - facts.shape[0] // 2
    across = -x * np.sin(axis) + y * np.cos(axis)
    return np.asarray(np.tan(np.deg2rad(facts.tilt_angle_deg)) * across * facts.pixel_size_A)


def particle_table(
    micrographs: list[tuple[MicrographFacts, Array, Array]], *, stack: str, box: int, pixel_size_A: float,
    contrast_inverted: bool, seed: int, random_angles: bool = True,
) -> ParticleTable:  # fmt: skip
    """Return the table of a stack whose images lie in the order of its micrographs.

    Parameters
    ----------
    micrographs
        Facts, centres in pixels (n, 2) as x and y, and the shifts (n, 2) in pixels that centre the images.
    stack
        Name of the stack's file.
    box, pixel_size_A
        Of its images.
    contrast_inverted
        Whether protein is white in them.
    seed
        Key of the random angles.
    random_angles
        Start with random angles; otherwise with zeros.
    """
    counts = [len(centres) for _, centres, _ in micrographs]
    total = sum(counts)
    table = ParticleTable.empty(total)
    of = np.repeat(np.arange(len(micrographs)), counts)
    centres = np.concatenate([np.asarray(one, np.float64).reshape(-1, 2) for _, one, _ in micrographs])
    table["position"] = np.arange(1, total + 1)
    table["image_section"] = np.arange(1, total + 1)
    table.set_names("image_name", [stack] * total)
    table.set_names("micrograph", [micrographs[number][0].name for number in of])
    facts = [one for one, _, _ in micrographs]
    sizes = np.array([one.pixel_size_A for one in facts])[of]
    shifts = np.concatenate([np.asarray(one, np.float64).reshape(-1, 2) for _, _, one in micrographs])
    # As in RELION a coordinate is the middle of the image, and the particle's centre is coordinate - origin.
    table["coordinate_x_px"], table["coordinate_y_px"] = (centres + shifts).T
    table["origin_x_A"], table["origin_y_A"] = shifts.T * sizes
    tilt = np.concatenate([local_defocus(one, *np.asarray(places, np.float64).reshape(-1, 2).T)
                           for one, places, _ in micrographs])  # fmt: skip
    for column in ("defocus_u_A", "defocus_v_A"):
        table[column] = np.array([getattr(one, column) for one in facts])[of] + tilt
    columns = {
        "defocus_angle_deg": "defocus_angle_deg", "phase_shift_deg": "phase_shift_deg", "voltage_kV": "voltage_kV",
        "spherical_aberration_mm": "cs_mm", "amplitude_contrast": "amplitude_contrast",
    }  # fmt: skip
    for column, attribute in columns.items():
        table[column] = np.array([getattr(one, attribute) for one in facts])[of]
    table["pixel_size_A"] = pixel_size_A
    table["half_set"] = assign_half_sets(np.array([one.number for one in facts])[of])
    if random_angles:
        phi, theta, psi = matrix_to_euler(random_rotations(total, seed))
        table["rot_deg"], table["tilt_deg"], table["psi_deg"] = np.rad2deg(phi), np.rad2deg(theta), np.rad2deg(psi)
    table.optics = [
        OpticsGroup(
            image_size_px=box, micrograph_pixel_size_A=facts[0].pixel_size_A, contrast_inverted=contrast_inverted
        )
    ]
    return table
