"""What actions on volumes share: half maps, the mask that was given, kept, found or a sphere, and what is kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from verglas.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from verglas.engine.shared_start import SharedStart
    from verglas.project import Project

OUTER_PART = 0.6
KEPT = ("package", "symmetry", "largest_dimension_A")


def check_grids(volumes: list[dict[str, Any]], others: list[dict[str, Any]]) -> None:
    """Say so where a mask or half map is not on the grid of each volume.

    Raises
    ------
    InputError
        One is not.
    """
    for volume in volumes:
        box = volume["n_x"] or 0
        for other in others:
            if (other["n_x"], other["n_y"], other["n_z"]) != (box, box, box):
                raise InputError(
                    f"{other['name']} has {other['n_x']} x {other['n_y']} x {other['n_z']} voxels, but "
                    f"{volume['name']} {box} a side: bring them to one grid."
                )


def half_map_paths(volume: dict[str, Any], halves: list[dict[str, Any]]) -> list[str]:
    """Return the paths of two half maps, those given before the volume's own; none where there are none."""
    named = [one["path"] for one in halves] or [volume.get("half_map_1_path"), volume.get("half_map_2_path")]
    return [str(name) for name in named if name]


def outer_radius_A(volume: dict[str, Any], given_A: float | None) -> float | None:
    """Return the radius within which the particle lies: as given, or 0.6 of its largest dimension, or None."""
    return given_A or (OUTER_PART * (volume.get("largest_dimension_A") or 0.0)) or None


def with_shared_limits(project: Project, volumes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the records of volumes with the resolution to which their halves were once aligned to one map."""
    from verglas.project.references import shared_limit

    return [{**one, "shared_to_A": shared_limit(project, one)} for one in volumes]


def shared_start(volume: dict[str, Any], radius_A: float | None) -> SharedStart | None:
    """Return what both halves of a volume were once aligned to, where that is known."""
    from verglas.engine.half_maps import RADIUS_PART
    from verglas.engine.shared_start import SharedStart

    limit_A = volume.get("shared_to_A")
    if not limit_A:
        return None
    radius = radius_A or RADIUS_PART * volume["n_x"] * volume["pixel_size_A"]
    return SharedStart(limit_A, radius, str(volume.get("symmetry") or "C1"))


def kept_values(volume: dict[str, Any], halves: list[str], mass_kDa: float | None, path: Path) -> dict[str, Any]:
    """Return what a derived volume takes over from the volume it is made from."""
    first, second = halves or (None, None)
    return {
        **{name: volume.get(name) for name in KEPT}, "parent_volume": volume["id"], "mass_kDa": mass_kDa,
        "half_map_1_path": first, "half_map_2_path": second, "file_bytes": path.stat().st_size,
    }  # fmt: skip


def mask_for(
    volume: dict[str, Any], original: NDArray[np.float32], project: Path, *, given: dict[str, Any] | None,
    automask: bool, radius_A: float | None, inner_radius_A: float, mass_kDa: float | None, threads: int,
) -> NDArray[np.float32]:  # fmt: skip
    """Return the mask that was given; else the one that the volume was made with; else found, or a sphere.

    Parameters
    ----------
    volume
        The volume's record.
    original
        The map in which a mask is looked for.
    project
        The project folder.
    given
        Record of a mask volume.
    automask
        Whether to look for the particle.
    radius_A, inner_radius_A
        Of the sphere, or of the shell in which the particle is looked for.
    mass_kDa
        Mass of the particle where known.
    threads
        Threads.

    Raises
    ------
    InputError
        The mask is not on the map's grid or not between 0 and 1.
    """
    from verglas.engine.half_maps import RADIUS_PART, particle_mask, read_mask, spherical_shell_mask

    mask: NDArray[np.float32]
    path = given["path"] if given is not None else volume.get("mask_path") if automask else None
    if path:
        mask = read_mask(project / path, original.shape)
    elif automask:
        mask = particle_mask(
            original, volume["pixel_size_A"], outer_radius_A=radius_A, inner_radius_A=inner_radius_A,
            molecular_mass_kDa=mass_kDa, threads=threads,
        )  # fmt: skip
    else:
        radius_A = radius_A or RADIUS_PART * len(original) * volume["pixel_size_A"]
        mask = spherical_shell_mask(len(original), radius_A, volume["pixel_size_A"], inner_radius_A=inner_radius_A)
    return mask
