"""Grids of orientations: even coverings of view directions and poses, local neighbourhoods, and random poses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from verglas.errors import InputError
from verglas.geometry.rotations import (
    euler_to_matrix,
    matrix_to_quaternion,
    quaternion_to_matrix,
    rotvec_to_matrix,
)
from verglas.geometry.symmetry import PointGroup, point_group

_GOLDEN_ANGLE = np.pi * (3.0 - 5.0**0.5)
_LARGEST_HOLE = 0.82
_CHUNK = 16384
# Highest theta and width in phi of the views that cisTEM searches, per kind of point group, in degrees.
_CISTEM_LIMITS = {"T": (54.7, 180.0), "O": (54.7, 90.0), "I": (31.7, 180.0)}


def _check_spacing(spacing: float) -> None:
    """Raise InputError unless an angular spacing makes sense."""
    if not 1e-4 < spacing <= np.pi:
        raise InputError(
            f"an angular spacing of {np.rad2deg(spacing):g} degrees makes no grid; choose one above 0.006 and up to "
            "180 degrees."
        )


def sphere_directions(spacing: float, symmetry: str = "C1", *, mirror: bool = False) -> np.ndarray:
    """Return evenly spread view directions of the asymmetric unit.

    A golden-angle spiral of equal areas: each direction stands for a solid angle of ``spacing**2``, so that there are
    ``4 pi / spacing**2`` of them on the whole sphere, and none lies on a pole. Where the border of an asymmetric unit
    leaves a hole, a direction is added: no view is farther than 0.95 spacings from the grid and its equivalents.

    Parameters
    ----------
    spacing
        Angular spacing in radians.
    symmetry
        Name of the point group.
    mirror
        Keep only one of each pair of opposite directions, whose projections mirror each other.

    Returns
    -------
    ndarray, shape (n, 3)
        Unit vectors in the map's coordinates, by falling z.

    Raises
    ------
    InputError
        If the spacing or the name makes no sense.

    References
    ----------
    R. Swinbank, R. J. Purser, "Fibonacci grids", Q. J. R. Meteorol. Soc. 132 (2006) 1769.
    """
    _check_spacing(spacing)
    group = point_group(symmetry)
    directions = _spiral(spacing)
    if group.order == 1 and not mirror:
        return directions
    inside = _within(directions, group, mirror)
    if not len(inside):
        # A grid coarser than the unit itself still has one view.
        inside = group.reduce_directions(directions[:1], mirror=mirror)[0]
    probes = _within(_spiral(min(spacing / 6.0, 0.025)), group, mirror)
    return _without_holes(inside, probes, group, mirror, _LARGEST_HOLE * spacing)


def _spiral(spacing: float) -> np.ndarray:
    """Return the golden-angle spiral over the whole sphere with an area of ``spacing**2`` a point."""
    count = max(int(np.ceil(4.0 * np.pi / spacing**2)), 2)
    index = np.arange(count)
    height = 1.0 - (2.0 * index + 1.0) / count
    azimuth = index * _GOLDEN_ANGLE
    across = np.sqrt(1.0 - height**2)
    return np.stack([across * np.cos(azimuth), across * np.sin(azimuth), height], axis=-1)


def _within(directions: np.ndarray, group: PointGroup, mirror: bool) -> np.ndarray:
    """Return the directions inside the asymmetric unit, tested a chunk at a time."""
    chunks = (directions[i : i + _CHUNK] for i in range(0, len(directions), _CHUNK))
    return np.concatenate([chunk[group.in_asymmetric_unit(chunk, mirror=mirror)] for chunk in chunks])


def _equivalents(directions: np.ndarray, group: PointGroup, mirror: bool) -> np.ndarray:
    """Return all equivalents of directions, those of the identity first."""
    points: np.ndarray = np.einsum("ni,sij->snj", directions, group.operators).reshape(-1, 3)
    return np.concatenate([points, -points]) if mirror else points


def _without_holes(
    directions: np.ndarray, probes: np.ndarray, group: PointGroup, mirror: bool, largest: float
) -> np.ndarray:
    """Add the probe farthest from all directions until none is farther than ``largest``.

    Cut along the borders of the unit, a spiral leaves holes there where equivalents meet.
    """
    from scipy.spatial import cKDTree

    chords = np.asarray(cKDTree(_equivalents(directions, group, mirror)).query(probes)[0])
    limit = 2.0 * np.sin(0.5 * min(largest, np.pi))
    added = []
    while len(probes) and chords.max() > limit:
        farthest = probes[np.argmax(chords)]
        added.append(farthest)
        cosine = (probes @ _equivalents(farthest[None], group, mirror).T).max(axis=1)
        chords = np.minimum(chords, np.sqrt(np.maximum(2.0 - 2.0 * cosine, 0.0)))
    if added:
        directions = np.concatenate([directions, np.array(added)])
    ordered: np.ndarray = directions[np.argsort(-directions[:, 2], kind="stable")]
    return ordered


def in_plane_angles(spacing: float) -> np.ndarray:
    """Return psi angles in radians that fill a whole turn in equal steps of at most ``spacing``.

    Raises
    ------
    InputError
        If the spacing makes no sense.
    """
    _check_spacing(spacing)
    count = int(np.ceil(2.0 * np.pi / spacing - 1e-9))
    return 2.0 * np.pi / count * np.arange(count)


def cistem_views(step_deg: float, symmetry: str = "C1") -> tuple[np.ndarray, np.ndarray]:
    """Return the view angles that cisTEM's global search visits (its random start switched off).

    Rings of equal theta with as many steps in phi as fit the circle; for C groups the views below the equator are
    left to mirroring, and cisTEM's limits in theta and phi hold the asymmetric unit (for other groups than C and D some
    equivalent views are kept).

    Parameters
    ----------
    step_deg
        Angular step in degrees.
    symmetry
        One of cisTEM's point groups: Cn, Dn, T, T2, O, I, I2.

    Returns
    -------
    phi, theta : ndarrays, shape (n,)
        Radians.

    Raises
    ------
    InputError
        If the step or the name makes no sense.
    """
    _check_spacing(np.deg2rad(step_deg))
    name = point_group(symmetry).name
    single = np.float32
    if name[0] in "CD":
        theta_limit, phi_limit = single(90.0), single(360.0 / int(name[1:]))
    else:
        theta_limit, phi_limit = (single(limit) for limit in _CISTEM_LIMITS[name[0]])
    step = single(step_deg)
    theta_step = single(theta_limit / single(max(int(theta_limit / step + 0.5), 1)))
    phis: list[float] = []
    thetas: list[float] = []
    # Single precision and running sums, because they decide how many steps fit.
    theta = single(0.0)
    while float(theta) < float(theta_limit) + float(theta_step) / 2.0:
        if theta == 0.0:
            phi_step = phi_limit
        else:
            phi_step = min(single(abs(step / np.sin(np.deg2rad(theta), dtype=single))), phi_limit)
            phi_step = single(phi_limit / single(int(phi_limit / phi_step + 0.5)))
        phi = single(0.0)
        while phi < phi_limit:
            phis.append(float(phi))
            thetas.append(float(theta))
            phi = single(phi + phi_step)
        theta = single(theta + theta_step)
    return np.deg2rad(phis), np.deg2rad(thetas)


def pose_grid(spacing: float, symmetry: str = "C1") -> np.ndarray:
    """Return poses that cover all orientations of the asymmetric unit evenly.

    Parameters
    ----------
    spacing
        Angular spacing in radians, of views and in the plane.
    symmetry
        Name of the point group.

    Returns
    -------
    ndarray, shape (n, 3, 3)
        Rotation matrices, those of one view after each other.

    Raises
    ------
    InputError
        If the spacing or the name makes no sense.
    """
    directions = sphere_directions(spacing, symmetry)
    psi = in_plane_angles(spacing)
    phi = np.arctan2(directions[:, 1], directions[:, 0])
    theta = np.arccos(np.clip(directions[:, 2], -1.0, 1.0))
    poses: np.ndarray = euler_to_matrix(phi[:, None], theta[:, None], psi[None, :])
    return poses.reshape(-1, 3, 3)


def local_rotations(radius: float, spacing: float) -> np.ndarray:
    """Return small rotations that fill a ball around the identity; apply them as ``local @ pose``.

    Their rotation vectors lie on a body-centred cubic lattice, the thinnest lattice covering of space, with
    ``spacing**3`` of volume each.

    Parameters
    ----------
    radius
        Largest angle in radians.
    spacing
        Spacing in radians.

    Returns
    -------
    ndarray, shape (n, 3, 3)
        Rotation matrices by rising angle, the identity first.

    Raises
    ------
    InputError
        If the spacing or the radius makes no sense.
    """
    _check_spacing(spacing)
    if not 0.0 <= radius <= np.pi:
        raise InputError(f"a neighbourhood of {np.rad2deg(radius):g} degrees makes no sense; use 0 to 180 degrees.")
    edge = spacing * 2.0 ** (1.0 / 3.0)
    reach = int(np.ceil(radius / edge)) + 1
    steps = np.arange(-reach, reach + 1, dtype=np.float64)
    corners = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    vectors = edge * np.concatenate([corners, corners + 0.5])
    angles = np.linalg.norm(vectors, axis=-1)
    inside = np.flatnonzero(angles <= radius + 1e-12)
    order = inside[np.argsort(angles[inside], kind="stable")]
    rotations: np.ndarray = rotvec_to_matrix(vectors[order])
    return rotations


def random_rotations(count: int, seed: int, *, stream: int = 0, first: int = 0) -> np.ndarray:
    """Return poses drawn evenly from all rotations, each a function of seed, stream and its own number alone.

    Parameters
    ----------
    count
        How many.
    seed, stream
        Key of the random numbers, such as the job's seed and the round.
    first
        Number of the first pose: ``random_rotations(5, 1)[2:]`` equals ``random_rotations(3, 1, first=2)``.

    Returns
    -------
    ndarray, shape (count, 3, 3)

    References
    ----------
    K. Shoemake, "Uniform random rotations", Graphics Gems III (1992) 124.
    """
    bits = np.random.Philox(key=np.array([seed, stream], dtype=np.uint64))
    # One step of Philox's counter makes four numbers: each pose owns one step.
    bits.advance(first)
    u = np.random.Generator(bits).random((count, 4))
    inner, outer = np.sqrt(1.0 - u[:, 0]), np.sqrt(u[:, 0])
    a, b = 2.0 * np.pi * u[:, 1], 2.0 * np.pi * u[:, 2]
    quaternions = np.stack([outer * np.cos(b), inner * np.sin(a), inner * np.cos(a), outer * np.sin(b)], axis=-1)
    poses: np.ndarray = quaternion_to_matrix(quaternions)
    return poses


@dataclass(frozen=True)
class Covering:
    """How well a grid covers what it should, measured with random probes.

    Attributes
    ----------
    largest_angle
        Covering radius: the largest angle in radians from a probe to its nearest grid point.
    mean_angle
        Mean of that angle in radians.
    unevenness
        Standard deviation over mean of the angles from each grid point to its nearest neighbour.
    """

    largest_angle: float
    mean_angle: float
    unevenness: float


def _measure(points: np.ndarray, members: int, probes: np.ndarray, angle_per_arc: float) -> Covering:
    """Measure a covering of unit vectors; the first ``members`` points are the grid, the rest their equivalents."""
    from scipy.spatial import cKDTree

    tree = cKDTree(points)
    chords = np.asarray(tree.query(probes)[0])
    angles = angle_per_arc * 2.0 * np.arcsin(np.minimum(0.5 * chords, 1.0))
    if len(points) > 1:
        nearest = np.asarray(tree.query(points[:members], k=2)[0])[:, 1]
        neighbours = angle_per_arc * 2.0 * np.arcsin(np.minimum(0.5 * nearest, 1.0))
        unevenness = float(np.std(neighbours) / max(float(np.mean(neighbours)), 1e-30))
    else:
        unevenness = 0.0
    return Covering(float(np.max(angles)), float(np.mean(angles)), unevenness)


def measure_directions(
    directions: Any, symmetry: str = "C1", *, mirror: bool = False, probes: int = 100_000, seed: int = 0
) -> Covering:
    """Measure how well view directions ``(n, 3)``, with all their equivalents, cover the sphere."""
    group = point_group(symmetry)
    d = np.asarray(directions, dtype=np.float64)
    return _measure(_equivalents(d, group, mirror), len(d), random_rotations(probes, seed)[:, 2, :], 1.0)


def measure_poses(poses: Any, symmetry: str = "C1", *, probes: int = 100_000, seed: int = 0) -> Covering:
    """Measure how well poses ``(n, 3, 3)``, with all their equivalents, cover all rotations."""
    group = point_group(symmetry)
    R = np.asarray(poses, dtype=np.float64)
    equivalents = np.swapaxes(group.equivalent_poses(R), 0, 1).reshape(-1, 3, 3)
    quaternions = matrix_to_quaternion(equivalents)
    # q and -q are one rotation; angles between rotations are twice those between quaternions.
    both = np.concatenate([quaternions, -quaternions])
    return _measure(both, len(R), matrix_to_quaternion(random_rotations(probes, seed)), 2.0)
