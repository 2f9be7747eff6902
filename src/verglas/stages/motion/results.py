"""Write an aligned movie's files: sum, spectrum, scaled copy, shift list and picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from verglas.formats.atomic_write import write_whole
from verglas.formats.motion_star import write_motion_star
from verglas.formats.mrc import write_mrc
from verglas.stages.motion.local_alignment import LocalAlignment
from verglas.stages.motion.movie_alignment import AlignedMovie
from verglas.stages.motion.pictures import write_picture
from verglas.stages.motion.relion_motion import relion_motion


def write_aligned(
    movie: AlignedMovie, folder: Path, stem: str, *, title: str, scaled: bool = True, half_precision: bool = False
) -> dict[str, Path]:
    """Write all files of an aligned movie, each whole or not at all.

    Parameters
    ----------
    movie
        What `align_movie` returned.
    folder
        Where to; it exists.
    stem
        Beginning of every file's name.
    title
        Name of the movie, for the picture and the shift list.
    scaled
        Write the scaled copy too.
    half_precision
        Write the sum as float16.

    Returns
    -------
    dict
        Role (``sum``, ``spectrum``, ``thumbnail``, ``shifts``, ``motion``, ``picture``; ``unweighted``, ``even``,
        ``odd`` where asked for) to path.
    """
    files = {
        "sum": folder / f"{stem}.mrc",
        "spectrum": folder / f"{stem}_spectrum.mrc",
        "shifts": folder / f"{stem}_shifts.txt",
        "motion": folder / f"{stem}_motion.star",
        "picture": folder / f"{stem}.png",
    }
    kind = "float16" if half_precision else "float32"
    write_mrc(files["sum"], movie.sum, movie.pixel_size_A, dtype=kind)
    for name, image in movie.other_sums.items():
        files[name] = folder / f"{stem}_{name}.mrc"
        write_mrc(files[name], image, movie.pixel_size_A, dtype=kind)
    size = len(movie.spectrum)
    write_mrc(files["spectrum"], movie.spectrum, 0.0)
    if scaled:
        files["thumbnail"] = folder / f"{stem}_scaled.mrc"
        write_mrc(files["thumbnail"], movie.scaled, movie.pixel_size_A * movie.sum.shape[1] / movie.scaled.shape[1])
    write_motion_star(relion_motion(movie), files["motion"])
    with write_whole(files["shifts"]) as path:
        path.write_text(shift_list(movie, title, size))
    with write_whole(files["picture"]) as path:
        write_picture(path, movie, title)
    return files


def shift_list(movie: AlignedMovie, title: str, spectrum_size: int) -> str:
    """Return the shifts as text: a line for each frame, after lines that begin with ``#``."""
    found = movie.alignment
    lines = [
        f"# {title}: shift to apply to each frame, zero at the middle frame",
        f"# frames {len(movie.shifts_A)}, summed {int(movie.summed.sum())}, output pixel {movie.pixel_size_A:.5f} A, "
        f"rounds {found.rounds}, {'converged' if found.converged else 'not converged'}",
        f"# spectrum: {spectrum_size} pixels, edges at {2 * movie.pixel_size_A:.4f} A",
        "# frame  shift_x_A  shift_y_A  error_x_A  error_y_A  dose_e_per_A2  significance  summed",
    ]
    for frame, (x, y) in enumerate(movie.shifts_A):
        error_x, error_y = found.errors_A[frame]
        dose, summed = movie.dose_after_frame_e_per_A2[frame], int(movie.summed[frame])
        lines.append(
            f"{frame + 1:7d} {x:10.4f} {y:10.4f} {error_x:10.4f} {error_y:10.4f} "
            f"{dose:14.4f} {found.significance[frame]:13.2f} {summed:7d}"
        )
    return "\n".join(lines) + "\n"


def result_values(movie: AlignedMovie) -> dict[str, object]:
    """Return what an alignment found as plain JSON."""
    magnification = movie.magnification
    found, shifts = movie.alignment, movie.shifts_A
    steps = np.hypot(*np.diff(shifts, axis=0).T) if len(shifts) > 1 else np.zeros(1)
    errors = [[float(e) if np.isfinite(e) else None for e in pair] for pair in found.errors_A]
    return {
        "n_x": int(movie.sum.shape[1]),
        "n_y": int(movie.sum.shape[0]),
        "pixel_size_A": movie.pixel_size_A,
        "n_frames": len(shifts),
        "frames_left_out": [int(i) + 1 for i in np.flatnonzero(~movie.statistics.usable())],
        "frames_summed": int(movie.summed.sum()),
        "total_dose_e_per_A2": float(movie.dose_after_frame_e_per_A2[-1]),
        "shifts_x_A": [float(x) for x in shifts[:, 0]],
        "shifts_y_A": [float(y) for y in shifts[:, 1]],
        "shift_errors_A": errors,
        "significance": [float(s) for s in found.significance],
        "joint_significance": found.joint_significance,
        "total_motion_A": float(steps.sum()),
        "largest_step_A": float(steps.max()),
        "edge_A": movie.edge_A,
        "rounds": found.rounds,
        "converged": found.converged,
        "found_signal": found.found_signal,
        "mean_per_frame": float(np.mean(movie.statistics.mean[movie.statistics.usable()])),
        "bad_pixels": movie.bad_pixels,
        "magnification": None if magnification is None else [magnification.major, magnification.minor],
        "outlier_pixels": int(movie.statistics.outliers.sum()),
        "local_motion": None if movie.local is None else local_values(movie.local),
    }


def local_values(local: LocalAlignment) -> dict[str, object]:
    """Return the local motion as plain JSON; places run from -1 to 1 over the image."""
    motion = local.model.shifts_A(local.x, local.y)
    return {
        "coefficients_A": local.model.coefficients_A.tolist(),
        "patches_x": local.x.tolist(),
        "patches_y": local.y.tolist(),
        "patch_weights": local.weights.tolist(),
        "patch_shifts_A": np.round(local.patch_shifts_A, 4).tolist(),
        "patch_errors_A": [[float(e) if np.isfinite(e) else None for e in pair] for pair in local.patch_errors_A],
        "rms_A": float(np.sqrt(np.mean(motion**2))),
        "largest_A": float(np.abs(motion).max()),
        "rounds": local.rounds,
        "converged": local.converged,
    }
