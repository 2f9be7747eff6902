"""Write the truth that belongs to simulated images: a particle table, micrographs with their defocus, and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from verglas.formats import Block, Loop, OpticsGroup, ParticleTable, write_star, write_whole
from verglas.stages.simulation.optics import Defocus
from verglas.stages.simulation.parameters import OpticsParameters

Progress = Callable[[int, int], None]


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write plain JSON whole."""
    with write_whole(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")


def with_optics(table: ParticleTable, optics: OpticsParameters, group: OpticsGroup) -> ParticleTable:
    """Fill in what all particles of a simulation share, and return the table."""
    table["pixel_size_A"] = optics.pixel_size_A
    table["voltage_kV"] = optics.voltage_kV
    table["spherical_aberration_mm"] = optics.cs_mm
    table["amplitude_contrast"] = optics.amplitude_contrast
    table["phase_shift_deg"] = optics.phase_shift_degrees
    table["beam_tilt_x_mrad"] = optics.beam_tilt_x_mrad
    table["beam_tilt_y_mrad"] = optics.beam_tilt_y_mrad
    table.optics = [group]
    return table


def write_micrographs(
    path: Path, optics: OpticsParameters, names: Sequence[str], defoci: Sequence[Defocus], *, movies: bool
) -> None:
    """Write a RELION 3.1 star file of movies or micrographs with the defocus that is true of each."""
    groups = {
        "rlnOpticsGroupName": ["opticsGroup1"],
        "rlnOpticsGroup": np.ones(1, np.int64),
        "rlnVoltage": np.array([optics.voltage_kV]),
        "rlnSphericalAberration": np.array([optics.cs_mm]),
        "rlnAmplitudeContrast": np.array([optics.amplitude_contrast]),
        "rlnMicrographOriginalPixelSize" if movies else "rlnMicrographPixelSize": np.array([optics.pixel_size_A]),
    }
    images = {
        "rlnMicrographMovieName" if movies else "rlnMicrographName": list(names),
        "rlnDefocusU": np.array([d.u_A for d in defoci]),
        "rlnDefocusV": np.array([d.v_A for d in defoci]),
        "rlnDefocusAngle": np.array([d.angle_degrees for d in defoci]),
        "rlnPhaseShift": np.array([d.phase_shift_degrees for d in defoci]),
        "rlnOpticsGroup": np.ones(len(names), np.int64),
    }
    name = "movies" if movies else "micrographs"
    write_star(path, [Block("optics", loops=[Loop(groups)]), Block(name, loops=[Loop(images)])])
