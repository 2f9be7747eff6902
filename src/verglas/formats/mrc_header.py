"""The 1024-byte header of an MRC file: checked when read, complete when written.

References
----------
.. [1] Cheng et al. 2015, MRC2014: extensions to the MRC format header, J. Struct. Biol. 192, 146-150.
.. [2] The IMOD extensions (stamp, flags, 4-bit data): IMOD's description of the MRC format.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from verglas.errors import FormatError
from verglas.formats.image_header import ImageHeader

HEADER_BYTES = 1024
IMOD_STAMP = 1146047817
IMOD_SIGNED_BYTES = 1
IMOD_TWO_VALUES_IN_A_BYTE = 16
MODE_TYPES = {0: "i1", 1: "i2", 2: "f4", 3: "c4", 4: "c8", 6: "u2", 12: "f2", 101: "u1"}
TYPE_MODES = {"int8": 0, "int16": 1, "float32": 2, "uint16": 6, "float16": 12}


@dataclass(frozen=True)
class MrcLayout:
    """Where the pixels of an MRC file lie and how they are stored.

    Attributes
    ----------
    header
        What callers see.
    mode
        The MRC mode.
    stored_type
        numpy type of the stored numbers, with byte order.
    offset
        Byte at which the first section begins.
    section_bytes
        Bytes of one section.
    four_bit
        Whether each byte holds two pixels, the lower half first.
    """

    header: ImageHeader
    mode: int
    stored_type: np.dtype[np.generic]
    offset: int
    section_bytes: int
    four_bit: bool

    @property
    def file_bytes(self) -> int:
        """Bytes that the file needs to hold all sections."""
        return self.offset + self.section_bytes * self.header.n_sections


def parse_mrc_header(block: bytes, path: Path, file_bytes: int | None) -> MrcLayout:
    """Read and check an MRC header.

    Parameters
    ----------
    block
        The first 1024 bytes.
    path
        The file, for messages.
    file_bytes
        Size of the (uncompressed) file, or None where it is not known beforehand.

    Raises
    ------
    FormatError
        When the header makes no sense in either byte order, or asks for more bytes than the file has.
    """
    if len(block) < HEADER_BYTES:
        raise FormatError(path, f"has {len(block)} bytes, less than an MRC header ({HEADER_BYTES}).", "Copy it again.")
    stamp = block[212:214]
    orders: tuple[Literal["<", ">"], ...] = (">", "<") if stamp in (b"\x11\x11", b"\x11\x00") else ("<", ">")
    first_problem: FormatError | None = None
    for order in orders:
        try:
            return _parse_in_order(block, path, file_bytes, order)
        except FormatError as problem:
            first_problem = first_problem or problem
    assert first_problem is not None
    raise first_problem


def _parse_in_order(block: bytes, path: Path, file_bytes: int | None, order: Literal["<", ">"]) -> MrcLayout:
    numbers = struct.unpack_from(f"{order}10i6f3i3f2i", block)
    n_x, n_y, n_sections, mode = numbers[:4]
    start, grid, cell = numbers[4:7], numbers[7:10], numbers[10:13]
    axis_order = numbers[16:19]
    lowest, highest, space_group, extended_bytes = numbers[19], numbers[20], numbers[22], numbers[23]
    origin = struct.unpack_from(f"{order}3f", block, 196)
    (version,) = struct.unpack_from(f"{order}i", block, 108)
    stamp, flags = struct.unpack_from(f"{order}2i", block, 152)

    def wrong(problem: str) -> FormatError:
        return FormatError(path, f"is not a sound MRC file: {problem}.", "Copy or export it again.")

    if mode not in MODE_TYPES:
        raise wrong(f"mode {mode} does not exist")
    if min(n_x, n_y, n_sections) < 1:
        raise wrong(f"its size is {n_x} x {n_y} x {n_sections}")
    if extended_bytes < 0:
        raise wrong(f"its extended header has {extended_bytes} bytes")
    if axis_order == (0, 0, 0):  # written by programs that leave the words empty
        axis_order = (1, 2, 3)
    if sorted(axis_order) != [1, 2, 3]:
        raise wrong(f"its axis order is {axis_order}")
    if not all(math.isfinite(value) for value in (*cell, *origin)):
        raise wrong("its cell or origin is not a finite number")

    stamped = stamp == IMOD_STAMP
    four_bit = mode == 101 or (mode == 0 and stamped and bool(flags & IMOD_TWO_VALUES_IN_A_BYTE))
    if mode == 0 and four_bit:  # then the header counts bytes along x
        n_x *= 2
    stored = MODE_TYPES[mode]
    if four_bit or (mode == 0 and not _bytes_are_signed(stamped, flags, version, lowest, highest)):
        stored = "u1"
    row_bytes = (n_x + 1) // 2 if four_bit else n_x * (4 if mode == 3 else np.dtype(stored).itemsize)
    section_bytes = row_bytes * n_y
    offset = HEADER_BYTES + extended_bytes
    needed = offset + section_bytes * n_sections
    if file_bytes is not None and needed > file_bytes:
        raise FormatError(
            path,
            f"is cut short or damaged: {n_x} x {n_y} x {n_sections} pixels of mode {mode} need {needed} bytes, "
            f"the file has {file_bytes}.",
            "Copy it again.",
        )
    stored_type = np.dtype("<i2" if mode == 3 else stored).newbyteorder(order)
    voxel = _voxel_size(cell, grid)
    header = ImageHeader(
        path=path, kind="mrc", n_x=n_x, n_y=n_y, n_sections=n_sections,
        dtype="complex64" if mode in (3, 4) else stored_type.newbyteorder("=").name,
        pixel_size_A=voxel[0] if voxel else None, voxel_size_A=voxel, is_volume=space_group >= 1,
        origin_A=origin, axis_order=axis_order, start=start,
    )  # fmt: skip
    return MrcLayout(header, mode, stored_type, offset, section_bytes, four_bit)


def _bytes_are_signed(stamped: bool, flags: int, version: int, lowest: float, highest: float) -> bool:
    """Tell signed from unsigned bytes: IMOD's flag, else the recorded range, else MRC2014's rule (signed)."""
    if stamped:
        return bool(flags & IMOD_SIGNED_BYTES)
    if lowest < 0:
        return True
    if lowest <= highest and 127 < highest <= 255:
        return False
    return version >= 20140


def _voxel_size(cell: tuple[float, ...], grid: tuple[int, ...]) -> tuple[float, float, float] | None:
    """Return the voxel size along x, y, z from the cell; a missing z (stacks of images) takes that of x."""
    if cell[0] <= 0 or grid[0] < 1:
        return None
    x = cell[0] / grid[0]
    y = cell[1] / grid[1] if cell[1] > 0 and grid[1] > 0 else x
    z = cell[2] / grid[2] if cell[2] > 0 and grid[2] > 0 else x
    # the header holds float32: seven digits are all there is
    return float(f"{x:.7g}"), float(f"{y:.7g}"), float(f"{z:.7g}")


def build_mrc_header(
    n_x: int, n_y: int, n_sections: int, *, mode: int, pixel_size_A: float, is_volume: bool,
    origin_A: tuple[float, float, float], lowest: float, highest: float, mean: float, deviation: float,
) -> bytes:  # fmt: skip
    """Return a complete little-endian MRC2014 header; stacks of images have space group 0 and one z a section."""
    block = bytearray(HEADER_BYTES)
    grid_z = n_sections if is_volume else 1
    struct.pack_into(
        "<10i6f3i3f2i", block, 0, n_x, n_y, n_sections, mode, 0, 0, 0, n_x, n_y, grid_z,
        n_x * pixel_size_A, n_y * pixel_size_A, grid_z * pixel_size_A, 90.0, 90.0, 90.0, 1, 2, 3,
        lowest, highest, mean, 1 if is_volume else 0, 0,
    )  # fmt: skip
    struct.pack_into("<i", block, 108, 20141)
    if mode == 0:
        struct.pack_into("<2i", block, 152, IMOD_STAMP, IMOD_SIGNED_BYTES)
    struct.pack_into("<3f", block, 196, *origin_A)
    block[208:216] = b"MAP \x44\x44\x00\x00"
    struct.pack_into("<fi", block, 216, deviation, 1)
    block[224:304] = b"Written by verglas".ljust(80)
    return bytes(block)
