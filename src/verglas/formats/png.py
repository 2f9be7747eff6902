"""Read grey PNG images of 8 or 16 bits (for import); rows are not flipped."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from verglas.errors import FormatError
from verglas.formats.image_header import ImageHeader

MAGIC = b"\x89PNG\r\n\x1a\n"
MAX_EXPANSION = 1100  # what deflate can reach


def read_png_header(path: Path) -> ImageHeader:
    """Return what a PNG file holds.

    Raises
    ------
    FormatError
        When it is damaged or not a grey image of 8 or 16 bits.
    """
    with open(path, "rb") as stream:
        block = stream.read(33)
    if len(block) < 33 or not block.startswith(MAGIC) or block[12:16] != b"IHDR":
        raise FormatError(path, "is not a sound PNG file.", "Copy it again.")
    n_x, n_y, bits, colour = struct.unpack_from(">IIBB", block, 16)
    if colour != 0 or bits not in (8, 16):
        raise FormatError(path, "is not a grey image of 8 or 16 bits.", "Export it as grey without transparency.")
    if not (n_x and n_y) or n_x * n_y * bits // 8 > path.stat().st_size * MAX_EXPANSION:
        raise FormatError(path, f"is damaged: {n_x} x {n_y} pixels cannot lie in so few bytes.", "Copy it again.")
    return ImageHeader(path, "png", n_x, n_y, 1, f"uint{bits}", None)


def read_png(path: Path) -> npt.NDArray[Any]:
    """Return the pixels [y, x] of a grey PNG image as uint8 or uint16.

    Raises
    ------
    FormatError
        When the image is damaged.
    """
    import imagecodecs

    header = read_png_header(path)
    content = path.read_bytes()
    _check_chunks(content, path)
    try:
        pixels = np.asarray(imagecodecs.png_decode(content))
    except (RuntimeError, ValueError) as error:
        raise FormatError(path, f"its pixels are damaged: {error}.", "Copy it again.") from error
    if pixels.shape != (header.n_y, header.n_x):
        raise FormatError(path, f"holds pixels of shape {pixels.shape}.", "Export it as grey without transparency.")
    return pixels


def _check_chunks(content: bytes, path: Path) -> None:
    """Compare the checksum of every chunk; the decoder itself lets damaged pixels pass."""
    place, kind = len(MAGIC), b""
    while kind != b"IEND":
        if place + 12 > len(content):
            raise FormatError(path, "is cut short.", "Copy it again.")
        (n_bytes,) = struct.unpack_from(">I", content, place)
        kind, body = content[place + 4 : place + 8], content[place + 4 : place + 8 + n_bytes]
        place += 12 + n_bytes
        if place > len(content) or zlib.crc32(body) != struct.unpack_from(">I", content, place - 4)[0]:
            raise FormatError(path, "is damaged: a checksum does not fit.", "Copy it again.")
