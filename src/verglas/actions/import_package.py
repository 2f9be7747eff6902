"""Import another program's particles as a refinement package, its symmetry checked and half sets assigned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from verglas.project import Project
    from verglas.project.import_particles import ParticleFields
    from verglas.project.importing import ImportReport


def import_package(project: Project, file: Path, fields: ParticleFields) -> ImportReport:
    """Import a star, par, cistem, cs or npy file with its stack.

    Parameters
    ----------
    project
        An open project.
    file
        The particles.
    fields
        What the file does not say.

    Raises
    ------
    InputError, FormatError
        The symmetry is not known, a stack is missing, or a file is damaged.
    """
    from verglas.geometry import point_group
    from verglas.project.import_particles import import_particles
    from verglas.stages.extraction import assign_half_sets

    point_group(fields.symmetry)
    return import_particles(project, file, fields, half_sets=assign_half_sets)
