"""Write a file whole or not at all: beside its place, flushed to disk, then renamed."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def write_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside ``path``; on leaving without error it becomes ``path`` in one step.

    Whoever looks sees the old file or the new one, never a part of it, whatever crashes. After an error the
    temporary file is removed and ``path`` is as it was.

    Parameters
    ----------
    path
        Where the file shall be. Its folder must exist. The temporary name keeps the ending, so that writers that
        look at endings do what they would do for ``path``.

    Yields
    ------
    Path
        The path to write to; it must exist and be closed when the block ends.

    Raises
    ------
    OSError
        When the file cannot be written, flushed or renamed.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "figures.txt"
    >>> with write_whole(target) as temporary_path:
    ...     _ = temporary_path.write_text("3.1")
    >>> target.read_text()
    '3.1'
    """
    target = Path(path)
    temporary = target.with_name(f".{uuid.uuid4().hex[:12]}.tmp.{target.name}"[:240])
    try:
        yield temporary
        flush_to_disk(temporary)
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    flush_folder(target.parent)


def flush_to_disk(path: str | os.PathLike[str]) -> None:
    """Make the content of a closed file survive a power cut (fsync)."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_folder(folder: str | os.PathLike[str]) -> None:
    """Make the names in a folder survive a power cut, where the file system can do so."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
