"""The smooth model of local motion: quadratic in space times cubic in time, and its most probable coefficients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SPACE_TERMS = 6
HIGHEST_TIME_POWER = 3
PRIOR_STRENGTHS = 10.0 ** np.arange(-4.0, 6.1, 0.25)
DEGREES_OF_FREEDOM = 8.0


def space_basis(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return 1, x, y and the squares x^2, x y, y^2 made free of constants; shape (..., 6).

    Parameters
    ----------
    x, y
        Coordinates that run from -1 to 1 over the image.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    return np.stack([np.ones_like(x), x, y, x * x - 1.0 / 3.0, x * y, y * y - 1.0 / 3.0], axis=-1)


def time_basis(frames: int) -> np.ndarray:
    """Return polynomials of degree 1 to 3 in the frame number, orthogonal, of mean zero and mean square one.

    Returns
    -------
    ndarray, shape (frames, 3) or fewer columns where there are few frames
    """
    highest = min(HIGHEST_TIME_POWER, frames - 1)
    powers = np.polynomial.legendre.legvander(np.linspace(-1.0, 1.0, frames), highest)
    orthogonal = np.linalg.qr(powers)[0][:, 1:]
    return np.asarray(orthogonal * np.sqrt(frames) * np.sign(orthogonal[-1]))


@dataclass(frozen=True)
class LocalModel:
    """Local motion over the image and the movie.

    Attributes
    ----------
    coefficients_A
        Shape (2, 6, time terms): for x and y, by `space_basis` and `time_basis`.
    frames
        Number of frames.
    """

    coefficients_A: np.ndarray
    frames: int

    def shifts_A(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the shifts to apply beyond those of the whole frames, zero at the middle frame everywhere.

        Parameters
        ----------
        x, y
            Coordinates that run from -1 to 1 over the image, any common shape.

        Returns
        -------
        ndarray, shape (frames, 2, *shape of x)
            Shift (x, y) in A.
        """
        space, time = space_basis(x, y), time_basis(self.frames)
        time = time - time[self.frames // 2]
        return np.asarray(np.einsum("fj,aij,...i->fa...", time, self.coefficients_A, space))


@dataclass(frozen=True)
class PatchEquations:
    """What the patches say of their shifts beyond a present model: the terms of one Newton step.

    Attributes
    ----------
    x, y
        Coordinates of the patches' middles, -1 to 1 over the image, shape (patches,).
    steps_A
        Further shift (x, y) that each patch asks for in each frame, shape (patches, frames, 2).
    precisions
        Inverse covariance of a frame's step in 1/A^2, shape (patches, 2, 2); zero where a patch says nothing.
    """

    x: np.ndarray
    y: np.ndarray
    steps_A: np.ndarray
    precisions: np.ndarray


def prior_precision(time_terms: int) -> np.ndarray:
    """Return the relative inverse variances of the coefficients: higher powers of space and time are smaller."""
    space = np.array([1.0, 1.0, 1.0, 4.0, 4.0, 4.0])
    time = 4.0 ** np.arange(time_terms)
    one_axis = (space[:, None] * time[None, :]).ravel()
    return np.concatenate([one_axis, one_axis])


def improve(coefficients_A: np.ndarray, equations: PatchEquations, weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the most probable coefficients given the patches' steps, and the strength of the prior.

    The prior is Gaussian around no local motion; its strength makes the measurements most probable, so noise alone
    gives no local motion.

    Parameters
    ----------
    coefficients_A
        Those of the present model, shape (2, 6, time terms).
    equations
        What the patches say.
    weights
        One weight a patch.

    References
    ----------
    D. J. C. MacKay, "Bayesian interpolation", Neural Comput. 4 (1992) 415-447.
    """
    space, time = space_basis(equations.x, equations.y), time_basis(equations.steps_A.shape[1])
    precisions = weights[:, None, None] * equations.precisions
    # the normal matrix is a product: sums over patches and axes, times sums over frames
    matrix = np.einsum("pab,pi,pk,jl->aijbkl", precisions, space, space, np.diag(np.full(time.shape[1], len(time))))
    asked = np.einsum("pab,pfb->pfa", precisions, equations.steps_A)
    right = np.einsum("pfa,pi,fj->aij", asked, space, time)
    size = right.size
    matrix = matrix.reshape(size, size)
    right = right.ravel() + matrix @ coefficients_A.ravel()
    prior = prior_precision(time.shape[1])
    best = (-np.inf, np.zeros(size), 0.0)
    for strength in PRIOR_STRENGTHS:
        factor = np.linalg.cholesky(matrix + np.diag(strength * prior))
        solution = np.linalg.solve(factor.T, np.linalg.solve(factor, right))
        evidence = 0.5 * size * np.log(strength) - np.sum(np.log(np.diag(factor))) + 0.5 * right @ solution
        if evidence > best[0]:
            best = (float(evidence), solution, float(strength))
    return best[1].reshape(coefficients_A.shape), best[2]


def patch_weights(equations: PatchEquations) -> np.ndarray:
    """Return how far each patch is believed: the weights of a Student distribution of its smooth misfit.

    A patch whose steps, along the smooth polynomials of time, are larger than their errors and than those of the other
    patches has been misled (by a fixed pattern, by an edge of carbon) and counts less.

    Parameters
    ----------
    equations
        What the patches say beyond the model.

    References
    ----------
    K. L. Lange et al., "Robust statistical modeling using the t distribution", J. Am. Stat. Assoc. 84 (1989) 881-896.
    """
    time = time_basis(equations.steps_A.shape[1])
    frames, terms = time.shape
    smooth = np.einsum("pfa,fj->paj", equations.steps_A, time) / frames
    misfit = frames * np.einsum("paj,pab,pbj->p", smooth, equations.precisions, smooth)
    known = equations.precisions[:, 0, 0] > 0
    if not known.any():
        return np.zeros(len(known))
    dimensions = 2 * terms
    scale = max(1.0, float(np.median(misfit[known])) / dimensions)
    weights = (DEGREES_OF_FREEDOM + dimensions) / (DEGREES_OF_FREEDOM + misfit / scale) / scale
    return np.where(known, weights, 0.0)
