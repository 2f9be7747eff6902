"""Read an image, stack or map of any format: the functions that the rest of verglas calls."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from verglas.errors import FormatError, InputError
from verglas.formats.image_header import ImageHeader, ImageKind


def detect_kind(path: str | os.PathLike[str]) -> ImageKind:
    """Tell the format of a file from its first bytes; whatever bears no mark must prove to be MRC.

    Raises
    ------
    FormatError
        When the file is missing, empty or a folder.
    """
    from verglas.formats.eer import TAGS, is_eer
    from verglas.formats.tiff_directory import read_directories

    path = Path(path)
    if not path.is_file():
        raise FormatError(path, "is not there (or not a file).", "Check the name and whether its disk is mounted.")
    with open(path, "rb") as stream:
        start = stream.read(16)
    if not start:
        raise FormatError(path, "is empty.", "Copy it again.")
    if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        # a camera may write a plain sum before the events: look at two directories
        directories = read_directories(path, TAGS, limit=2)
        return "eer" if any(is_eer(directory) for directory in directories) else "tiff"
    if start.startswith(b"\x89PNG"):
        return "png"
    if path.suffix.lower() in (".dm3", ".dm4", ".dm"):
        return "dm"
    if start[:4] in (b"\0\0\0\x03", b"\0\0\0\x04") and path.suffix.lower() not in (".mrc", ".mrcs", ".map", ".st"):
        return "dm"
    return "mrc"


def read_header(path: str | os.PathLike[str]) -> ImageHeader:
    """Return what an image file holds, without reading its pixels.

    Parameters
    ----------
    path
        An MRC (also ``.gz``, ``.bz2``), TIFF, EER, DM3, DM4 or PNG file.

    Raises
    ------
    FormatError
        When the file is missing, damaged or of another format.
    """
    path = Path(path)
    kind = detect_kind(path)
    if kind == "mrc":
        from verglas.formats.mrc import read_mrc_layout

        return read_mrc_layout(path).header
    if kind == "tiff":
        from verglas.formats.tiff import read_tiff_header

        return read_tiff_header(path)
    if kind == "eer":
        from verglas.formats.eer import read_eer_header

        return read_eer_header(path)
    if kind == "dm":
        from verglas.formats.dm import read_dm_header

        return read_dm_header(path)
    from verglas.formats.png import read_png_header

    return read_png_header(path)


def read_stack(
    path: str | os.PathLike[str], sections: Sequence[int] | npt.NDArray[np.integer[Any]] | None = None
) -> tuple[npt.NDArray[np.float32], float | None]:
    """Read sections of a stack or frames of a movie.

    Parameters
    ----------
    path
        The file.
    sections
        Which, counted from 0, in any order; all unless told.

    Returns
    -------
    sections
        float32 [n, y, x].
    pixel_size_A
        Length of a pixel in Angstrom, or None where the file does not say.

    Raises
    ------
    FormatError
        When the file is damaged.
    InputError
        When a section does not exist.
    """
    from verglas.formats.movies import open_movie

    path = Path(path)
    kind = detect_kind(path)
    if kind == "mrc":
        from verglas.formats.mrc import MrcStack

        with MrcStack(path) as stack:
            return stack.read(sections), stack.pixel_size_A
    if kind in ("dm", "png"):
        header, pixels = read_header(path), _still_pixels(path, kind)
        wanted = range(len(pixels)) if sections is None else [int(index) for index in sections]
        if any(not 0 <= index < len(pixels) for index in wanted):
            raise InputError(f"{path} has {len(pixels)} sections, counted from 0: not all of {list(wanted)} exist.")
        return pixels[list(wanted)].astype(np.float32), header.pixel_size_A
    with open_movie(path) as movie:
        wanted = range(movie.n_frames) if sections is None else [int(index) for index in sections]
        frames = np.empty((len(wanted), movie.n_y, movie.n_x), np.float32)
        for place, index in enumerate(wanted):
            frames[place] = movie.read_frame(index)
        return frames, movie.pixel_size_A


def _still_pixels(path: Path, kind: ImageKind) -> npt.NDArray[Any]:
    if kind == "dm":
        from verglas.formats.dm import read_dm

        return read_dm(path)
    from verglas.formats.png import read_png

    return read_png(path)[None]


def read_section(path: str | os.PathLike[str], index: int) -> tuple[npt.NDArray[np.float32], float | None]:
    """Read one section (from 0) as float32 [y, x], with the pixel size in Angstrom or None; raises as `read_stack`."""
    sections, pixel_size_A = read_stack(path, [index])
    return sections[0], pixel_size_A


def read_image(path: str | os.PathLike[str]) -> tuple[npt.NDArray[np.float32], float | None]:
    """Read a file of one image.

    Returns
    -------
    image
        float32 [y, x].
    pixel_size_A
        Length of a pixel in Angstrom, or None where the file does not say.

    Raises
    ------
    FormatError
        When the file is damaged or has more than one section.
    """
    header = read_header(path)
    if header.n_sections != 1:
        raise FormatError(path, f"holds {header.n_sections} sections, not one image.", "Say which section is wanted.")
    return read_section(path, 0)


def read_volume(path: str | os.PathLike[str]) -> tuple[npt.NDArray[np.float32], float]:
    """Read a map in standard axis order.

    Returns
    -------
    volume
        float32 [z, y, x].
    pixel_size_A
        Length of a voxel in Angstrom.

    Raises
    ------
    FormatError
        When the file is no MRC map, is damaged, or its voxels are not cubes or of unknown size.
    """
    from verglas.formats.mrc import read_mrc_volume

    if detect_kind(path) != "mrc":
        raise FormatError(path, "is not an MRC map.", "Convert it to MRC.")
    return read_mrc_volume(path)
