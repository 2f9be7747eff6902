"""Poses and occupancies of a batch of images of one half set, against the references of that half."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine import (
    ParticleImages,
    Reference,
    RefinedPoses,
    RefinementSettings,
    SearchSettings,
    Templates,
    refine_poses,
    search_defocus,
    search_poses,
)
from verglas.stages.refinement.focus import Focus, ProjectedFocus, circle_likelihoods
from verglas.stages.refinement.own_part import flattery
from verglas.stages.refinement.rows import PoseRows

LEAST_OCCUPANCY = 1e-3
"""Classes that are less probable for a particle get nothing of it."""
LEAST_SHARE = 1e-4


@dataclass(frozen=True)
class AlignmentSwitches:
    """What else is found beside poses.

    Attributes
    ----------
    occupancies
        How probable each class is; else occupancies stay.
    keep_input
        A pose that a search has found replaces the one from nearby only where it is more likely; False: always.
    defocus_range_A, defocus_step_A
        Search of each particle's own defocus; 0: none.
    focus
        Where classes may differ; None: everywhere.
    blurring
        Particles go into maps at several in-plane angles, by likelihoods to this power, 0 to 1; 0: at one.
    """

    occupancies: bool = True
    keep_input: bool = True
    defocus_range_A: float = 0.0
    defocus_step_A: float = 50.0
    focus: Focus | None = None
    blurring: float = 0.0


@dataclass(frozen=True)
class AlignmentPlan:
    """How the images of a round are aligned.

    Attributes
    ----------
    local
        Refinement from a pose nearby.
    search
        Search of all poses.
    log_share
        Logarithm of each class's part of the particles, shape (classes,).
    limit_A
        Finest resolution of the round.
    classification_limit_A
        Resolution at which classes are weighed.
    known_scale
        References are on the scale of the images, as maps made of them are: classes are weighed at that scale.
    switches
        What else is found.
    one_pose
        Classes were found at the poses of one map and lie as it does: each particle is at one pose in all of them.
    """

    local: RefinementSettings
    search: SearchSettings
    log_share: NDArray[np.float64]
    limit_A: float
    classification_limit_A: float
    known_scale: bool
    switches: AlignmentSwitches = field(default_factory=AlignmentSwitches)
    one_pose: bool = False


@dataclass(frozen=True)
class BatchPoses:
    """What was found for a batch.

    Attributes
    ----------
    rows
        Poses, likelihoods and occupancies of each class.
    scale
        Factor of each class's reference in each image, shape (classes, n).
    """

    rows: PoseRows
    scale: NDArray[np.float64]


def align_batch(
    references: Sequence[Reference],
    templates: Templates | None,
    images: ParticleImages,
    before: PoseRows,
    searched: NDArray[np.bool_],
    plan: AlignmentPlan,
    *,
    weighed: Sequence[Reference] | None = None,
    circle: ProjectedFocus | None = None,
    own: NDArray[np.float64] | None = None,
    threads: int = 1,
) -> BatchPoses:
    """Refine the poses of some images in every class, after a search over all poses for some of them.

    A pose that a search has found replaces the one refined from the particle's own pose only where it is more likely.

    Parameters
    ----------
    references
        Of the images' half set, one a class.
    templates
        For the search, of the same references; None where nothing is searched.
    images
        Prepared to the round's limit.
    before
        Their rows so far.
    searched
        Which are searched, shape (n,).
    plan
        How.
    weighed
        References that classes are weighed by, where those are others: maps that differ within a focus alone.
    circle
        Focus within whose projection residuals decide about classes; None: in the whole image.
    own
        Part of each class's reference that comes from one particle in it, shape (classes, shells); None: nothing.
    threads
        Threads.
    """
    switches = plan.switches
    classes, count = len(references), len(images)
    found = [
        refine_poses(
            reference,
            images,
            before.rotations[k],
            before.displacements_A[k],
            plan.local,
            centre_A=before.centre_A,
            threads=threads,
        )
        for k, reference in enumerate(references)
    ]
    rows = before.copy()
    rows.used[:] = True
    scale = np.empty((classes, count))
    for k, poses in enumerate(found):
        _put(rows, scale, k, np.arange(count), poses)
    which = np.flatnonzero(searched)
    if which.size and templates is not None:
        some = images.select(which)
        # Not about where a wrong pose may have gone: a search from there would miss the truth.
        centre = before.centre_A[which]
        posterior = search_poses(
            references, some, plan.search, templates=templates, centre_A=centre, threads=threads
        )  # fmt: skip
        near = replace(plan.local, stages_A=())
        for k, reference in enumerate(references):
            poses = refine_poses(
                reference, some, posterior.best_rotations, posterior.best_displacements_A, near, centre_A=centre,
                threads=threads,
            )  # fmt: skip
            better = np.flatnonzero((poses.log_likelihood > rows.log_likelihood[k, which]) | (not switches.keep_input))
            _put(rows, scale, k, which, poses, better)
        rows.searched_A[which] = plan.limit_A
    if classes > 1 and plan.one_pose:
        _take_one_pose(references, images, rows, scale, plan, threads)
    power = (np.abs(images.data) ** 2).sum(axis=1, dtype=np.float64)
    gain = np.maximum(power + rows.log_likelihood, 0.0)
    rows.score[:] = 100.0 * np.sqrt(gain / np.maximum(power, 1e-30))
    if classes > 1 and switches.occupancies:
        if circle is None:
            likelihood = _likelihoods(weighed or references, images, rows, plan, threads)
        else:
            likelihood = circle_likelihoods(
                references, images, rows.rotations, rows.displacements_A, scale, circle, plan.classification_limit_A,
                threads=threads,
            )  # fmt: skip
        for k in range(classes if own is not None else 0):
            weight = before.occupancy[k] * before.used
            likelihood[k] -= flattery(images, own[k], weight, plan.classification_limit_A)  # type: ignore[index]
        rows.occupancy[:] = occupancies(likelihood, plan.log_share)
    if switches.defocus_range_A > 0.0:
        _search_defocus(references, images, rows, switches, threads)
    return BatchPoses(rows, scale)


def _put(
    rows: PoseRows, scale: NDArray[np.float64], k: int, places: Any, poses: RefinedPoses, some: Any = slice(None)
) -> None:
    """Put poses, or some of them, into the rows of one class."""
    at = places[some]
    rows.rotations[k, at], rows.displacements_A[k, at] = poses.rotations[some], poses.displacements_A[some]
    rows.log_likelihood[k, at], scale[k, at] = poses.log_likelihood[some], poses.scale[some]
    rows.sigma[k, at] = np.sqrt(np.maximum(poses.noise_variance[some], 0.0))


def _take_one_pose(
    references: Sequence[Reference], images: ParticleImages, rows: PoseRows, scale: NDArray[np.float64],
    plan: AlignmentPlan, threads: int,
) -> None:  # fmt: skip
    """Put each particle into all classes at the pose of the one that is most likely.

    What two poses, each fitted to the noise of an image, add to its likelihoods would else decide about its class.
    """
    best = (rows.log_likelihood + plan.log_share[:, None]).argmax(axis=0)
    at = np.arange(len(best))
    rotations, displacements_A = rows.rotations[best, at], rows.displacements_A[best, at]
    held = RefinementSettings(phi=False, theta=False, psi=False, x=False, y=False)
    for k, reference in enumerate(references):
        others = np.flatnonzero(best != k)
        if others.size:
            found = refine_poses(
                reference, images.select(others), rotations[others], displacements_A[others], held, threads=threads
            )
            _put(rows, scale, k, others, found)


def _likelihoods(
    references: Sequence[Reference], images: ParticleImages, rows: PoseRows, plan: AlignmentPlan, threads: int
) -> NDArray[np.float64]:
    """Return the log-likelihood of each class at the classification limit, its pose held; shape (classes, n).

    With a scale of its own for each image, a class whose map holds a molecule but faintly would fit that molecule as
    well as a class that holds nothing else, and two classes that begin alike would stay so.
    """
    held = RefinementSettings(
        phi=False, theta=False, psi=False, x=False, y=False, scale=not plan.known_scale,
        limit_A=plan.classification_limit_A,
    )  # fmt: skip
    likelihood = np.empty(rows.log_likelihood.shape)
    for k, reference in enumerate(references):
        found = refine_poses(reference, images, rows.rotations[k], rows.displacements_A[k], held, threads=threads)
        likelihood[k] = found.log_likelihood
    return likelihood


def occupancies(log_likelihood: NDArray[np.float64], log_share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how probable each class is for each image, shape (classes, n), from likelihoods and the classes' parts."""
    weighed = log_likelihood + np.maximum(log_share, np.log(LEAST_SHARE))[:, None]
    weights = np.exp(weighed - weighed.max(axis=0))
    weights /= weights.sum(axis=0)
    weights[weights < LEAST_OCCUPANCY] = 0.0
    occupancy: NDArray[np.float64] = weights / weights.sum(axis=0)
    return occupancy


def _search_defocus(
    references: Sequence[Reference], images: ParticleImages, rows: PoseRows, switches: AlignmentSwitches, threads: int
) -> None:
    """Change the defocus of particles where their best class explains them better with another."""
    best = rows.occupancy.argmax(axis=0)
    for k, reference in enumerate(references):
        some = np.flatnonzero(best == k)
        if some.size:
            change, likelihood = search_defocus(
                reference, images.select(some), rows.rotations[k, some], rows.displacements_A[k, some],
                range_A=switches.defocus_range_A, step_A=switches.defocus_step_A, threads=threads,
            )  # fmt: skip
            rows.defocus_change_A[some] += change
            rows.log_likelihood[k, some] = np.maximum(likelihood, rows.log_likelihood[k, some])
