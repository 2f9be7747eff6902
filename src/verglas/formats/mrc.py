"""Read MRC images, stacks and maps (memory-mapped where possible) and write them whole."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from verglas.errors import FormatError, InputError
from verglas.formats.atomic_write import write_whole
from verglas.formats.compressed import is_compressed, open_decompressed, read_exactly
from verglas.formats.image_header import ImageHeader
from verglas.formats.mrc_header import HEADER_BYTES, TYPE_MODES, MrcLayout, build_mrc_header, parse_mrc_header


def read_mrc_layout(path: str | os.PathLike[str]) -> MrcLayout:
    """Read and check the header of an MRC file, compressed or not.

    Raises
    ------
    FormatError
        When the file is not a sound MRC file.
    """
    path = Path(path)
    with open_decompressed(path) as stream:
        with open(path, "rb") as raw:
            compressed = is_compressed(raw.read(3))
        return parse_mrc_header(stream.read(HEADER_BYTES), path, None if compressed else path.stat().st_size)


class MrcStack:
    """The sections of an MRC file, each read when asked for.

    An uncompressed file is memory-mapped; a gzip or bzip2 file is held in memory. Several threads may read at once.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    FormatError
        When the file is not a sound MRC file of real numbers.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._layout = layout = read_mrc_layout(self.path)
        if layout.mode in (3, 4):
            raise FormatError(self.path, "holds complex numbers (a transform), not images.", "Give the images.")
        row = (layout.header.n_x + 1) // 2 if layout.four_bit else layout.header.n_x
        shape = (layout.header.n_sections, layout.header.n_y, row)
        with open(self.path, "rb") as raw:
            compressed = is_compressed(raw.read(3))
        if compressed:
            with open_decompressed(self.path) as stream:
                content = read_exactly(stream, layout.file_bytes, self.path)
            self._data: npt.NDArray[Any] | None = np.frombuffer(
                content, layout.stored_type, count=shape[0] * shape[1] * shape[2], offset=layout.offset
            ).reshape(shape)
        else:
            self._data = np.memmap(self.path, layout.stored_type, mode="r", offset=layout.offset, shape=shape)

    @property
    def header(self) -> ImageHeader:
        """What the header says."""
        return self._layout.header

    @property
    def pixel_size_A(self) -> float | None:
        """Length of a pixel in Angstrom, or None where the file does not say."""
        return self.header.pixel_size_A

    @property
    def shape(self) -> tuple[int, int, int]:
        """Sections, rows, columns."""
        return self.header.n_sections, self.header.n_y, self.header.n_x

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels that `section` returns."""
        return np.dtype(self.header.dtype)

    def __len__(self) -> int:
        return self.header.n_sections

    def section(self, index: int) -> npt.NDArray[Any]:
        """Return section ``index`` (from 0) as [y, x] in the file's own type: a view where nothing must be changed."""
        if self._data is None:
            raise InputError(f"{self.path} is closed already.")
        if not 0 <= index < len(self):
            raise InputError(f"{self.path} has no section {index}: it has {len(self)}, counted from 0.")
        data = self._data[index]
        if self._layout.four_bit:
            pixels = np.empty((self.header.n_y, 2 * data.shape[1]), np.uint8)
            np.bitwise_and(data, 15, out=pixels[:, 0::2])
            np.right_shift(data, 4, out=pixels[:, 1::2])
            return pixels[:, : self.header.n_x]
        section: npt.NDArray[Any] = data if data.dtype.isnative else data.astype(self.dtype)
        return section

    def read(
        self, sections: Sequence[int] | npt.NDArray[np.integer[Any]] | None = None,
        out: npt.NDArray[np.float32] | None = None,
    ) -> npt.NDArray[np.float32]:  # fmt: skip
        """Return the given sections (all, unless told; any order, repeats allowed) as float32 [n, y, x]."""
        wanted = range(len(self)) if sections is None else [int(index) for index in sections]
        shape = (len(wanted), self.header.n_y, self.header.n_x)
        if out is None:
            out = np.empty(shape, np.float32)
        elif out.shape != shape or out.dtype != np.float32:
            raise InputError(f"out must be float32 of shape {shape}, not {out.dtype} of shape {out.shape}.")
        for place, index in enumerate(wanted):
            out[place] = self.section(index)
        return out

    def close(self) -> None:
        """Let go of the file; arrays read before stay valid."""
        self._data = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class MrcStackWriter:
    """Write an MRC stack section by section; the file appears whole when the writer is closed without error.

    Parameters
    ----------
    path
        Where the stack shall be.
    n_y, n_x
        Rows and columns of each section.
    pixel_size_A
        Length of a pixel in Angstrom.
    dtype
        Stored type: ``float32``, ``float16``, ``int8``, ``int16`` or ``uint16``.
    is_volume
        Whether the sections are the slices of one map.
    origin_A
        Position of the first voxel along x, y, z in Angstrom.

    Raises
    ------
    InputError
        When a type cannot be stored, a section has another shape, or its values do not fit the stored type.
    """

    def __init__(
        self, path: str | os.PathLike[str], n_y: int, n_x: int, pixel_size_A: float, dtype: npt.DTypeLike = "float32",
        *, is_volume: bool = False, origin_A: tuple[float, float, float] = (0.0, 0.0, 0.0),
    ) -> None:  # fmt: skip
        self.dtype = np.dtype(dtype)
        if self.dtype.name not in TYPE_MODES:
            raise InputError(f"MRC files cannot store {self.dtype}; choose one of {', '.join(TYPE_MODES)}.")
        if min(n_y, n_x) < 1:
            raise InputError(f"An MRC section of {n_y} x {n_x} pixels makes no sense.")
        if not 0 <= pixel_size_A < np.inf:
            raise InputError(f"The pixel size of {path} must be a positive number of Angstrom, not {pixel_size_A}.")
        self.path = Path(path)
        self.n_y, self.n_x, self.pixel_size_A = n_y, n_x, float(pixel_size_A)
        self.is_volume, self.origin_A = is_volume, origin_A
        self.n_sections = 0
        self._lowest, self._highest = np.inf, -np.inf
        self._sum = self._sum_of_squares = 0.0
        self._whole = write_whole(self.path)
        self._file = open(self._whole.__enter__(), "w+b")  # noqa: SIM115
        self._file.write(bytes(HEADER_BYTES))

    def append(self, section: npt.ArrayLike) -> None:
        """Add one section [y, x], or several [n, y, x]."""
        sections = np.asarray(section)
        if sections.ndim == 2:
            sections = sections[None]
        if sections.shape[1:] != (self.n_y, self.n_x):
            raise InputError(f"{self.path} takes sections of {self.n_y} x {self.n_x}, not of shape {sections.shape}.")
        for one in sections:
            stored = as_stored(one, self.dtype, self.path)
            self._file.write(np.ascontiguousarray(stored, self.dtype.newbyteorder("<")).data)
            self._lowest = min(self._lowest, float(stored.min()))
            self._highest = max(self._highest, float(stored.max()))
            for row in range(0, self.n_y, 64):  # few rows at a time stay in the cache as float64
                values = stored[row : row + 64].astype(np.float64)
                self._sum += float(values.sum())
                self._sum_of_squares += float(np.einsum("yx,yx->", values, values))
            self.n_sections += 1

    def close(self) -> None:
        """Write the header with its statistics and put the file in its place."""
        if self._file.closed:
            return
        if self.n_sections == 0:
            error = InputError(f"{self.path} was given no section to write.")
            self._abandon(error)
            raise error
        n_pixels = self.n_sections * self.n_y * self.n_x
        mean = self._sum / n_pixels
        deviation = max(self._sum_of_squares / n_pixels - mean * mean, 0.0) ** 0.5
        header = build_mrc_header(
            self.n_x, self.n_y, self.n_sections, mode=TYPE_MODES[self.dtype.name], pixel_size_A=self.pixel_size_A,
            is_volume=self.is_volume, origin_A=self.origin_A, lowest=self._lowest, highest=self._highest,
            mean=mean, deviation=deviation,
        )  # fmt: skip
        self._file.seek(0)
        self._file.write(header)
        self._file.close()
        self._whole.__exit__(None, None, None)

    def _abandon(self, error: BaseException) -> None:
        self._file.close()
        self._whole.__exit__(type(error), error, error.__traceback__)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        elif not self._file.closed:
            self._file.close()
            self._whole.__exit__(kind, error, trace)


def as_stored(section: npt.NDArray[Any], dtype: np.dtype[Any], path: Path) -> npt.NDArray[Any]:
    """Return ``section`` in the stored type, refusing whatever the type cannot hold."""
    if section.dtype == dtype:
        return section
    if section.dtype.kind not in "biuf":
        raise InputError(f"{path} cannot store pixels of type {section.dtype}.")
    with np.errstate(over="ignore", invalid="ignore"):
        stored = section.astype(dtype)
    if dtype.kind in "iu":
        lost = bool(np.any(stored != section))
    elif section.dtype.kind in "iu":  # counts must survive: float32 holds them up to 2^24
        lost = bool(np.any(stored.astype(np.float64) != section.astype(np.float64)))
    else:
        lost = bool(np.any(np.isinf(stored) & np.isfinite(section)))
    if lost:
        raise InputError(f"{path}: values of type {section.dtype} do not fit {dtype}; choose a wider type.")
    return stored


def storable_type(dtype: npt.DTypeLike) -> np.dtype[Any]:
    """Return the MRC type that holds every value of ``dtype``: unsigned bytes become ``uint16``, since programs
    disagree on the sign of MRC bytes; wider integers and float64 become ``float32`` (checked when written).
    """
    dtype = np.dtype(dtype)
    if dtype.name in TYPE_MODES:
        return np.dtype(dtype.name)
    return np.dtype(np.uint16) if dtype.name in ("uint8", "bool") else np.dtype(np.float32)


def write_mrc(
    path: str | os.PathLike[str], array: npt.ArrayLike, pixel_size_A: float, *, dtype: npt.DTypeLike | None = None,
    is_volume: bool | None = None, origin_A: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> None:  # fmt: skip
    """Write an image [y, x], a stack [n, y, x] or a map [z, y, x] as one whole MRC file.

    Parameters
    ----------
    path
        Where the file shall be.
    array
        Pixels.
    pixel_size_A
        Length of a pixel in Angstrom; 0 leaves it unknown.
    dtype
        Stored type; by default the array's own, or the next that MRC has.
    is_volume
        Whether a 3D array is one map; by default it is, unless the name ends in ``.mrcs``.
    origin_A
        Position of the first voxel along x, y, z in Angstrom.

    Raises
    ------
    InputError
        When the array has no pixels, another number of dimensions, or values that the type cannot hold.
    """
    pixels = np.asarray(array)
    if pixels.ndim not in (2, 3) or pixels.size == 0:
        raise InputError(f"{path} cannot hold an array of shape {pixels.shape}: give [y, x] or [z, y, x].")
    if is_volume is None:
        is_volume = pixels.ndim == 3 and Path(path).suffix != ".mrcs"
    stored = storable_type(pixels.dtype) if dtype is None else np.dtype(dtype)
    writer = MrcStackWriter(
        path, pixels.shape[-2], pixels.shape[-1], pixel_size_A, stored, is_volume=is_volume, origin_A=origin_A
    )
    with writer:
        writer.append(pixels)


def read_mrc_volume(path: str | os.PathLike[str]) -> tuple[npt.NDArray[np.float32], float]:
    """Read a map as float32 [z, y, x], whatever axis order the file has.

    Returns
    -------
    volume
        float32 [z, y, x].
    pixel_size_A
        Length of a voxel in Angstrom.

    Raises
    ------
    FormatError
        When the voxels are not cubes (by more than 1 %) or have no size.
    """
    with MrcStack(path) as stack:
        header, volume = stack.header, stack.read()
    # array axes are (sections, rows, columns); bring those that run along z, y, x to the front in turn
    along = header.axis_order[::-1]
    volume = np.ascontiguousarray(volume.transpose([along.index(axis) for axis in (3, 2, 1)]))
    voxel = header.voxel_size_A
    if voxel is None:
        raise FormatError(path, "does not say how large its voxels are.", "Set the cell in its header.")
    if header.is_volume and max(voxel) > 1.01 * min(voxel):
        raise FormatError(
            path, f"its voxels are not cubes ({voxel[0]:.4f} x {voxel[1]:.4f} x {voxel[2]:.4f} A).",
            "Resample the map or mend the cell in its header.",
        )  # fmt: skip
    return volume, voxel[0]
