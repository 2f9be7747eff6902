"""Read files that lie compressed with gzip or bzip2 as if they did not, without trusting their claims."""

from __future__ import annotations

import bz2
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from verglas.errors import FormatError

GZIP_MAGIC = b"\x1f\x8b"
BZIP2_MAGIC = b"BZh"
CHUNK_BYTES = 1 << 24


def is_compressed(start: bytes) -> bool:
    """Tell whether a file that begins with ``start`` is compressed with gzip or bzip2."""
    return start.startswith((GZIP_MAGIC, BZIP2_MAGIC))


@contextmanager
def open_decompressed(path: Path) -> Iterator[BinaryIO]:
    """Open a plain, gzip or bzip2 file for reading its content in order.

    Raises
    ------
    FormatError
        When the compressed stream is damaged or cut short.
    """
    with open(path, "rb") as plain:
        start = plain.read(3)
        plain.seek(0)
        try:
            if start.startswith(GZIP_MAGIC):
                yield cast(BinaryIO, gzip.GzipFile(fileobj=plain))
            elif start.startswith(BZIP2_MAGIC):
                yield cast(BinaryIO, bz2.BZ2File(plain))
            else:
                yield plain
        except (EOFError, zlib.error, gzip.BadGzipFile, OSError) as error:
            raise FormatError(path, f"its compressed content is damaged: {error}.", "Copy it again.") from error


def read_exactly(stream: BinaryIO, n_bytes: int, path: Path) -> bytearray:
    """Read ``n_bytes`` in pieces, so that memory grows only with what is really there.

    Raises
    ------
    FormatError
        When the file ends before.
    """
    content = bytearray()
    while len(content) < n_bytes:
        piece = stream.read(min(CHUNK_BYTES, n_bytes - len(content)))
        if not piece:
            raise FormatError(path, f"ends after {len(content)} of {n_bytes} bytes.", "Copy it again.")
        content += piece
    return content
