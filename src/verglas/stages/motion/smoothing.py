"""Smooth a measured path of the specimen by as much as its errors ask for."""

from __future__ import annotations

import numpy as np

STRENGTHS = 10.0 ** np.arange(-6.0, 9.1, 0.5)


def fit_polynomial(path: np.ndarray, weights: np.ndarray, order: int = 4) -> np.ndarray:
    """Return a path's weighted least-squares polynomial over the frame number.

    Parameters
    ----------
    path
        Positions, shape (frames, 2).
    weights
        One weight a frame, not negative; frames of weight 0 are filled in.
    order
        Highest power; lower where there are few frames.
    """
    frames = len(path)
    used = int(np.count_nonzero(weights))
    order = max(0, min(order, (used - 1) // 2))
    time = np.linspace(-1.0, 1.0, frames) if frames > 1 else np.zeros(1)
    basis = np.polynomial.legendre.legvander(time, order)
    root = np.sqrt(weights)[:, None]
    solution, *_ = np.linalg.lstsq(basis * root, path * root, rcond=None)
    return np.asarray(basis @ solution)


def smooth_path(path: np.ndarray, variances: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the most probable smooth path given a measured one and the variance of each measurement.

    The prior is a random walk of the velocity: second differences of the path are independent and Gaussian. Their
    variance, common to both axes, is the one that makes the measurements most probable (restricted maximum
    likelihood), so a steady drift measured badly is smoothed much, and a jerky one measured well hardly at all.

    Parameters
    ----------
    path
        Measured positions (x, y) in A, shape (frames, 2).
    variances
        Their variances in A^2, shape (frames, 2); infinite where a frame says nothing.

    Returns
    -------
    smooth : ndarray, shape (frames, 2)
    strength : float
        Inverse variance of the second differences in 1/A^2; 0 when the path was left alone.

    References
    ----------
    C. H. Reinsch, "Smoothing by spline functions", Numer. Math. 10 (1967) 177-183;
    G. Wahba, "A comparison of GCV and GML for choosing the smoothing parameter", Ann. Stat. 13 (1985) 1378-1402.
    """
    frames = len(path)
    precision = np.where(np.isfinite(variances), 1.0 / np.maximum(variances, 1e-12), 0.0)
    known = int(np.min(np.count_nonzero(precision, axis=0)))
    if frames < 5 or known < 4:
        return path, 0.0
    bands = _second_difference_bands(frames)
    best = (-np.inf, path, 0.0)
    for strength in STRENGTHS:
        evidence, smooth = 0.0, np.empty_like(path)
        for axis in (0, 1):
            one, smooth[:, axis] = _posterior(path[:, axis], precision[:, axis], float(strength), bands)
            evidence += one
        if evidence > best[0]:
            best = (evidence, smooth, float(strength))
    return best[1], best[2]


def smooth_roughly(path: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return a smooth path where the errors are unknown: they are guessed from how much neighbours scatter.

    Parameters
    ----------
    path
        Measured positions in A, shape (frames, 2).
    weights
        0 for frames that say nothing, shape (frames,).
    """
    if len(path) < 5:
        return path
    # Second differences of independent errors have 6 times their variance; 0.6745 turns a median into an sd.
    scatter = np.median(np.abs(np.diff(path, n=2, axis=0)), axis=0) / 0.6745 / np.sqrt(6.0)
    variances = np.where(weights[:, None] > 0, np.maximum(scatter, 0.3)[None, :] ** 2, np.inf)
    return smooth_path(path, variances)[0]


def _second_difference_bands(frames: int) -> np.ndarray:
    """Return D'D of the second differences as upper bands, shape (3, frames), as scipy.linalg.solveh_banded wants."""
    rows = np.diff(np.eye(frames), n=2, axis=0) if frames <= 64 else None
    if rows is not None:
        full = rows.T @ rows
        return np.array([np.pad(np.diagonal(full, 2), (2, 0)), np.pad(np.diagonal(full, 1), (1, 0)), np.diagonal(full)])
    small = _second_difference_bands(16)
    middle = np.repeat(small[:, 8:9], frames - 16, axis=1)
    return np.concatenate([small[:, :8], middle, small[:, 8:]], axis=1)


def _posterior(
    measured: np.ndarray, precision: np.ndarray, strength: float, bands: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return the log evidence (less constants) and the mean of the path along one axis."""
    from scipy.linalg import cho_solve_banded, cholesky_banded

    matrix = strength * bands
    matrix[2] += precision
    factor = cholesky_banded(matrix)
    smooth = cho_solve_banded((factor, False), precision * measured)
    misfit = float(np.sum(precision * (measured - smooth) ** 2))
    roughness = strength * float(np.sum(np.diff(smooth, n=2) ** 2))
    log_determinant = 2.0 * float(np.sum(np.log(factor[2])))
    evidence = 0.5 * ((len(measured) - 2) * np.log(strength) - log_determinant - misfit - roughness)
    return evidence, smooth
