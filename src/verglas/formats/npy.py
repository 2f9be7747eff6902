"""Numpy's array files from strangers: no pickles, long headers allowed, sizes checked before memory is taken."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.errors import FormatError

LONGEST_HEADER = 1 << 20
"""Bytes; numpy's own limit of 10,000 is too low for cryoSPARC's tables with many classes."""


def read_npy(path: str | os.PathLike[str], *, memory_map: bool = False) -> NDArray[Any]:
    """Read an array of numbers or fixed-length text from a ``.npy`` file.

    Parameters
    ----------
    path
        The file; whatever follows the array in it is ignored.
    memory_map
        Leave the array on disk, read-only.

    Raises
    ------
    FormatError
        The file is no ``.npy``, is damaged or cut short, or holds Python objects (which are never loaded).
    """
    name = str(path)
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        try:
            version = np.lib.format.read_magic(file)
            length_bytes = 2 if version == (1, 0) else 4
            place = file.tell()
            length = int.from_bytes(file.read(length_bytes), "little")
            if length > min(LONGEST_HEADER, size):
                raise FormatError(name, f"its header claims {length} bytes.", "Copy the file again.")
            file.seek(place)
            read_header = (
                np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            )
            shape, fortran_order, dtype = read_header(file, max_header_size=LONGEST_HEADER)
        except FormatError:
            raise
        except Exception as error:
            problem = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            raise FormatError(name, f"this is no .npy file, or its header is damaged ({problem}).") from None
        offset = file.tell()
        if dtype.hasobject:
            raise FormatError(
                name,
                "it holds pickled Python objects; loading them could run code.",
                "Export it again as plain numbers.",
            )
        count = 1
        for edge in shape:
            count *= int(edge)
        if min(shape, default=1) < 0 or count * dtype.itemsize > size - offset:
            raise FormatError(
                name,
                f"its header announces {count} x {dtype.itemsize} bytes; the file holds {size - offset}.",
                "It is cut short or damaged: copy it again.",
            )
        if memory_map and count * dtype.itemsize:
            mapped: NDArray[Any] = np.memmap(path, dtype, "r", offset, shape[::-1] if fortran_order else shape)
            return mapped.T if fortran_order else mapped
        flat: NDArray[Any] = np.frombuffer(bytearray(file.read(count * dtype.itemsize)), dtype, count)
        return flat.reshape(shape[::-1]).T if fortran_order else flat.reshape(shape)
