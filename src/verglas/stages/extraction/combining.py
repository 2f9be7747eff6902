"""Several stacks as one: images brought to one box, pixel size and contrast, tables joined, duplicates left out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from verglas.errors import InputError
from verglas.formats.particle_table import ParticleTable
from verglas.signal import resample
from verglas.stages.extraction.boxes import normalise
from verglas.stages.extraction.half_sets import assign_half_sets

Array = np.ndarray[Any, Any]
SAME_PIXEL = 1e-4


@dataclass(frozen=True)
class Target:
    """What all images become: box in pixels, pixel size in A, contrast, and where the background begins in A."""

    box: int
    pixel_size_A: float
    contrast_inverted: bool
    background_radius_A: float | None = None

    def __post_init__(self) -> None:
        if self.box < 8 or self.box % 2:
            raise InputError(f"a box of {self.box} pixels cannot be used; choose an even number of at least 8.")
        if not self.pixel_size_A > 0:
            raise InputError(f"a pixel size of {self.pixel_size_A:g} A makes no sense.")


def bring_to(images: Array, pixel_size_A: float, contrast_inverted: bool, target: Target) -> Array:
    """Return images at the target's pixel size, box and contrast; those that are resampled are normalised again.

    Parameters
    ----------
    images
        float32, shape (n, box, box).
    pixel_size_A, contrast_inverted
        Of these images.
    target
        What they become.
    """
    same_pixel = abs(pixel_size_A / target.pixel_size_A - 1.0) < SAME_PIXEL
    if not same_pixel or images.shape[-1] != target.box:
        size_A = target.pixel_size_A if not same_pixel else pixel_size_A
        images = resample(images, pixel_size_A, size_A, (target.box, target.box), ndim=2)
        radius = 0.375 * target.box
        if target.background_radius_A is not None:
            radius = min(target.background_radius_A / target.pixel_size_A, 0.47 * target.box)
        normalise(images, radius, ramp=False)
    return images if contrast_inverted == target.contrast_inverted else -images


def join_tables(
    tables: Sequence[ParticleTable], target: Target, stack: str, *, least_distance_A: float | None = None
) -> tuple[ParticleTable, list[Array]]:
    """Return the table of all particles together, and which rows of each table are in it.

    Parameters
    ----------
    tables
        One a stack, each with one pixel size.
    target
        What the images become.
    stack
        Name of the stack that will hold them, in this order.
    least_distance_A
        A particle nearer than this to one before it in the same micrograph is left out; none: all are kept.

    Notes
    -----
    Half sets are kept, unless a micrograph occurs in several tables with different ones: then all are assigned anew,
    because the halves would not be independent.
    """
    kept = [np.arange(len(table)) for table in tables]
    moved = []
    for table in tables:
        copy = table.copy()
        for group in copy.optics:
            if not group.micrograph_pixel_size_A:
                group.micrograph_pixel_size_A = float(table["pixel_size_A"][0])
            group.image_size_px, group.contrast_inverted = target.box, target.contrast_inverted
        copy["pixel_size_A"] = target.pixel_size_A
        moved.append(copy)
    if least_distance_A is not None:
        kept = without_duplicates(moved, least_distance_A)
    joined = ParticleTable.concatenate([table.select(rows) for table, rows in zip(moved, kept, strict=True)])
    total = len(joined)
    images = joined.image_numbers()
    joined["position"] = joined["image_section"] = np.arange(1, total + 1)
    joined.set_names("image_name", [stack] * total)
    names = joined["micrograph"]
    halves_of = set(zip(names.tolist(), joined["half_set"].tolist(), strict=True))
    if (names >= 0).all() and shared_micrographs(tables) and len(halves_of) > len(np.unique(names)):
        order = np.argsort(names, kind="stable")
        halves = np.empty(total, np.int32)
        halves[order] = assign_half_sets(names[order], images[order])
        joined["half_set"] = halves
    return joined, kept


def shared_micrographs(tables: Sequence[ParticleTable]) -> bool:
    """Tell whether a micrograph occurs in more than one table."""
    sets = [set(table.names_of("micrograph")) - {""} for table in tables]
    return sum(map(len, sets)) > len(set().union(*sets))


def places_A(table: ParticleTable) -> Array:
    """Return where particles lie in their micrographs, x and y in A: coordinates corrected by origins."""
    size = coordinate_pixel_A(table)
    return np.stack([table[f"coordinate_{axis}_px"] * size - table[f"origin_{axis}_A"] for axis in ("x", "y")], axis=1)


def coordinate_pixel_A(table: ParticleTable) -> Array:
    """Return the pixel size in which each particle's coordinates are measured."""
    sizes = {group.number: group.micrograph_pixel_size_A for group in table.optics}
    size = np.array([sizes.get(number, 0.0) for number in table["optics_group"].tolist()])
    return np.asarray(np.where(size > 0, size, table["pixel_size_A"]))


def without_duplicates(
    tables: Sequence[ParticleTable], least_distance_A: float, *, prefer: Array | None = None
) -> list[Array]:
    """Return the rows of each table that have no preferred particle nearby in the same micrograph.

    Parameters
    ----------
    tables
        Particles; those that name no micrograph are all kept.
    least_distance_A
        What is nearer to a preferred one is left out.
    prefer
        Of all particles, one table after the other: of neighbours the largest stays; none: the earliest.
    """
    micrographs = [name for table in tables for name in table.names_of("micrograph")]
    all_places = np.concatenate([places_A(table) for table in tables])
    order = np.arange(len(all_places)) if prefer is None else np.argsort(-np.asarray(prefer), kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    numbers = np.unique(micrographs, return_inverse=True)[1]
    named = np.array([bool(name) for name in micrographs])
    alive = np.ones(len(all_places), bool)
    for number in np.unique(numbers[named]):
        rows = np.flatnonzero((numbers == number) & named)
        rows = rows[np.argsort(rank[rows])]
        tree = cKDTree(all_places[rows])
        for place, row in enumerate(rows):
            if alive[row]:
                near = np.asarray(tree.query_ball_point(all_places[row], least_distance_A))
                alive[rows[near[near > place]]] = False
    starts = np.cumsum([0, *map(len, tables)])
    return [np.flatnonzero(alive[first:last]) for first, last in itertools.pairwise(starts.tolist())]
