"""How any action that refines or begins maps records a round: a volume for each class and the refinement of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from verglas.engine.reconstructed_map import ReconstructedMap
    from verglas.execution.context import JobContext
    from verglas.formats import ParticleTable

VOLUMES = "Assets/Volumes"


@dataclass(frozen=True)
class RefinedClass:
    """What a round has found of one class.

    Attributes
    ----------
    table
        All particles of the package in its order, with this class's poses, and occupancies in percent.
    found
        The class's map and half maps at the package's box, with what is known of them shell by shell.
    """

    table: ParticleTable
    found: ReconstructedMap


def record_refinement(
    context: JobContext,
    package: dict[str, Any],
    classes: Sequence[RefinedClass],
    *,
    key: str,
    name: str,
    volume_name: str,
    stem: str,
    method: str,
    symmetry: str,
    number: int,
    rounds: int,
    limit_A: float | None,
    particles_used: int,
    final: bool = False,
    values: Mapping[str, Any] | None = None,
    files: Mapping[str, Path] | None = None,
) -> None:
    """Write and record one round.

    The volumes are recorded first, each under ``key-class-N``, so that a refinement's volumes are always there.

    Parameters
    ----------
    context
        Of the job.
    package
        The package's record.
    classes
        What was found, class by class.
    key
        Of the result, unique and stable within the job.
    name, volume_name
        Name of the refinement ("Auto #3 (Rnd. 2)"), and of the volumes, to which " - Class #1" is added.
    stem
        Beginning of the volumes' file names, unique in the project: with the number of the job and the round.
    method
        ``startup``, ``auto``, ``local``, ``global``, ``classify`` or ``ctf``.
    symmetry
        Point group.
    number, rounds
        This round, from 1, and how many there may be.
    limit_A
        Finest resolution that poses were refined with.
    particles_used
        How many particles the round worked on.
    final
        Write RELION star files beside the tables.
    values
        More figures, as plain JSON.
    files
        More files of the refinement by role.
    """
    import numpy as np

    from verglas.engine.angular_distribution import views_of
    from verglas.formats import write_particles
    from verglas.stages.reconstruction import result_values, write_reconstruction

    pixel_size_A = package["pixel_size_A"]
    details, written = [], dict(files or {})
    for n, one in enumerate(classes, start=1):
        made = write_reconstruction(
            one.found, context.results, f"{stem}_{n}", pixel_size_A, views_seen=views_of(one.table, symmetry)
        )
        figures = result_values(one.found, pixel_size_A)
        volume_key = f"{key}-class-{n}"
        context.result(volume_key, "reconstruction", made, {
            **figures, "name": f"{volume_name} - Class #{n}", "package": package["id"], "symmetry": symmetry,
            "mass_kDa": package["mass_kDa"], "largest_dimension_A": package["largest_dimension_A"],
            "stem": f"{stem}_{n}", "file_bytes": made["map"].stat().st_size,
        })  # fmt: skip
        active = np.asarray(one.table["active"]) > 0
        details.append({
            "volume_key": volume_key, "volume_path": f"{VOLUMES}/{stem}_{n}.mrc",
            **{f"half_map_{half}_path": f"{VOLUMES}/{stem}_{n}_map{half}.mrc" if f"half_map_{half}" in made else None
               for half in (1, 2)},
            "statistics_path": f"{VOLUMES}/{stem}_{n}.json", "resolution_A": figures["resolution_A"],
            "resolution_kind": figures["resolution_kind"],
            "average_occupancy": float(np.asarray(one.table["occupancy"])[active].mean()),
        })  # fmt: skip
        written[f"particles_{n}"] = context.results / f"{stem}_par_{n}.npy"
        one.table.save(written[f"particles_{n}"])
        if final:
            written[f"star_{n}"] = context.results / f"{stem}_par_{n}.star"
            write_particles(one.table, written[f"star_{n}"])
    known = [one["resolution_A"] for one in details if one["resolution_A"] is not None]
    context.result(key, "refinement", written, {
        **(values or {}), "name": name, "package": package["id"], "method": method, "symmetry": symmetry,
        "classes": len(classes), "round": number, "rounds": rounds, "limit_A": limit_A,
        "particles_used": particles_used, "resolution_A": min(known, default=None), "details": details,
    })  # fmt: skip
