"""Gain and dark references and defect masks of a camera: read, turned, checked against the movie, or estimated."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from verglas.errors import FormatError, InputError
from verglas.formats.images import detect_kind, read_section
from verglas.formats.movies import open_movie


def turn_reference(reference: npt.NDArray[Any], *, rotation: int = 0, flip: int = 0) -> npt.NDArray[Any]:
    """Rotate, then flip a reference [y, x], with RELION's numbers.

    Parameters
    ----------
    reference
        Pixels [y, x], row 0 as in an MRC file.
    rotation
        Quarter turns as RELION's ``--gain_rot``: 1 brings the first column to the first row.
    flip
        As RELION's ``--gain_flip``: 1 turns the order of rows round, 2 that of columns.

    Raises
    ------
    InputError
        When rotation is not 0-3 or flip not 0-2.
    """
    if rotation not in (0, 1, 2, 3) or flip not in (0, 1, 2):
        raise InputError(f"The rotation of a reference is 0 to 3 and its flip 0 to 2, not {rotation} and {flip}.")
    turned = np.rot90(reference, -rotation)
    return turned[::-1] if flip == 1 else turned[:, ::-1] if flip == 2 else turned


def load_gain(
    path: str | os.PathLike[str], shape: tuple[int, int] | None = None, *, rotation: int = 0, flip: int = 0,
    for_eer: bool = False,
) -> npt.NDArray[np.float32]:  # fmt: skip
    """Read a gain reference, the image that frames are multiplied by; 0 marks a defect.

    Parameters
    ----------
    path
        MRC, TIFF, DM3, DM4 or EER ``.gain`` file. TIFF rows are turned round, as those of movies are. For EER movies
        RELION's rules hold: a ``.gain`` file is multiplied by and its rows stay; any other is divided by.
    shape
        Rows and columns of the movie's frames, which the turned reference must have. For EER movies a reference of
        the detector's size is repeated for super-resolution, and one of super-resolution is averaged.
    rotation, flip
        See `turn_reference`.
    for_eer
        Whether the movie is EER.

    Returns
    -------
    numpy.ndarray
        float32 [y, x], to multiply by.

    Raises
    ------
    FormatError
        When the file is damaged, has several images, or holds negative or non-finite values.
    InputError
        When its size is not the movie's.
    """
    gain = _read_reference(path)
    if for_eer and Path(path).suffix.lower() == ".gain":
        gain = gain[::-1]
    gain = turn_reference(gain, rotation=rotation, flip=flip)
    if not np.isfinite(gain).all() or (gain < 0).any() or not gain.any():
        raise FormatError(
            path, "is no gain reference: it has values that are negative or not finite, or is zero everywhere.",
            "Check that it is the gain reference and not a dark reference.",
        )  # fmt: skip
    if shape is not None:
        gain = _fit_to_eer(gain, shape) if for_eer else gain
        _check_size(path, gain, shape, "gain")
    if for_eer and Path(path).suffix.lower() != ".gain":
        mean = gain.mean(dtype=np.float64)
        gain = np.divide(mean, gain, out=np.zeros(gain.shape), where=gain != 0)
    return np.ascontiguousarray(gain, np.float32)


def load_dark(
    path: str | os.PathLike[str], shape: tuple[int, int] | None = None, *, rotation: int = 0, flip: int = 0
) -> npt.NDArray[np.float32]:
    """Read a dark reference, the image subtracted from each frame before the gain; parameters as `load_gain`."""
    dark = turn_reference(_read_reference(path), rotation=rotation, flip=flip)
    if not np.isfinite(dark).all():
        raise FormatError(path, "is no dark reference: it has values that are not finite.", "Measure it again.")
    if shape is not None:
        _check_size(path, dark, shape, "dark")
    return np.ascontiguousarray(dark, np.float32)


def _read_reference(path: str | os.PathLike[str]) -> npt.NDArray[np.float32]:
    kind = detect_kind(path)
    if kind == "eer":
        raise FormatError(path, "is an EER movie, not a reference.", "Give the .gain file that lies beside it.")
    image, _ = read_section(path, 0)  # a .gain file may hold more pages; the first is the gain
    return image


def _fit_to_eer(gain: npt.NDArray[Any], shape: tuple[int, int]) -> npt.NDArray[Any]:
    """Repeat a reference of the detector's size for super-resolution, or average one that is finer than the frames."""
    for factor in (2, 4):
        if (gain.shape[0] * factor, gain.shape[1] * factor) == shape:
            return gain.repeat(factor, 0).repeat(factor, 1)
        if gain.shape == (shape[0] * factor, shape[1] * factor):
            fine: npt.NDArray[Any] = gain.reshape(shape[0], factor, shape[1], factor)
            averaged: npt.NDArray[Any] = fine.mean((1, 3), dtype=np.float64)
            return averaged
    return gain


def _check_size(path: str | os.PathLike[str], image: npt.NDArray[Any], shape: tuple[int, int], what: str) -> None:
    if image.shape == shape:
        return
    remedy = "Give the reference of this camera mode."
    if image.shape == shape[::-1]:
        remedy = "Turn it by 90 or 270 degrees (rotation 1 or 3)."
    raise InputError(
        f"{path}: the {what} reference is {image.shape[1]} x {image.shape[0]}, "
        f"the movie's frames are {shape[1]} x {shape[0]}. {remedy}"
    )


def defect_mask(
    gain: npt.NDArray[np.floating[Any]] | None = None, *, path: str | os.PathLike[str] | None = None,
    shape: tuple[int, int] | None = None,
) -> npt.NDArray[np.bool_]:  # fmt: skip
    """Return which pixels are defects [y, x].

    Parameters
    ----------
    gain
        A gain reference; its zeros are defects.
    path
        A defect file: an image of the frame's size (anything but 0 is a defect), or text with one rectangle a line,
        ``x y width height`` in pixels counted from 0 in MRC row order (as RELION's and MotionCor2's).
    shape
        Rows and columns of the frames; needed for a text file.

    Raises
    ------
    InputError
        When neither gain nor file is given, or a rectangle does not lie in the frame.
    FormatError
        When the file cannot be read.
    """
    if gain is not None:
        shape = gain.shape[0], gain.shape[1]
    mask = np.zeros(shape, bool) if shape is not None else None
    if gain is not None and mask is not None:
        mask |= gain == 0
    if path is None:
        if mask is None or gain is None:
            raise InputError("A defect mask needs a gain reference or a defect file.")
        return mask
    if Path(path).suffix.lower() != ".txt":
        image = _read_reference(path)
        if shape is not None:
            _check_size(path, image, shape, "defect")
        listed: npt.NDArray[np.bool_] = image != 0
        return listed if mask is None else mask | listed
    if mask is None or shape is None:
        raise InputError(f"{path} lists rectangles: the size of the frames is needed too.")
    for number, line in enumerate(Path(path).read_text(errors="replace").splitlines(), 1):
        words = line.split("#")[0].split()
        if not words:
            continue
        if len(words) != 4 or not all(word.isdecimal() for word in words):
            raise FormatError(path, f"line {number} is not `x y width height`.", "Mend that line.")
        x, y, width, height = map(int, words)
        if x + width > shape[1] or y + height > shape[0] or not (width and height):
            raise InputError(f"{path}: line {number} lies outside frames of {shape[1]} x {shape[0]} pixels.")
        mask[y : y + height, x : x + width] = True
    return mask


def estimate_gain(
    movies: Iterable[str | os.PathLike[str]], *, n_deviations: float = 6.0
) -> tuple[npt.NDArray[np.float32], int]:
    """Estimate the gain from many movies that were not corrected: the mean over all divided by each pixel's mean.

    Parameters
    ----------
    movies
        Files of one camera mode. The more electrons a pixel has seen (some thousand), the better: with N its
        relative error is 1 / sqrt(N).
    n_deviations
        Pixels that never fired, or whose sum lies further than so many robust standard deviations above the median,
        are defects and get gain 0.

    Returns
    -------
    gain
        float32 [y, x], mean 1 over sound pixels, 0 at defects.
    n_frames
        Frames that were summed.

    Raises
    ------
    InputError
        When there is no movie, or their frames differ in size.

    References
    ----------
    .. [1] Afanasyev et al. 2015, A posteriori correction of camera characteristics from large image data sets,
       Sci. Rep. 5, 10317.
    """
    total: npt.NDArray[np.float64] | None = None
    n_frames = 0
    for path in movies:
        with open_movie(path) as movie:
            if total is None:
                total = np.zeros((movie.n_y, movie.n_x))
            elif total.shape != (movie.n_y, movie.n_x):
                raise InputError(f"{path} has frames of {movie.n_x} x {movie.n_y}, the first {total.shape[::-1]}.")
            for frame in movie.frames():
                total += frame
                n_frames += 1
    if total is None:
        raise InputError("A gain cannot be estimated from no movie.")
    middle = float(np.median(total))
    deviation = 1.4826 * float(np.median(np.abs(total - middle)))
    sound = (total > 0) & (total <= middle + n_deviations * max(deviation, middle**0.5))
    if not sound.any():
        raise InputError("A gain cannot be estimated: no pixel has seen a single electron.")
    inverse = np.divide(1.0, total, out=np.zeros_like(total), where=sound)
    return (inverse / inverse[sound].mean()).astype(np.float32), n_frames
