"""Write files so that a crash or a full disk leaves the old content or the new one, never half of either."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk, where the file system can do that."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems refuse to flush folders
            os.fsync(handle)
    finally:
        os.close(handle)


def sync_file(path: Path) -> None:
    """Flush a file that somebody else wrote to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; when the block ends well it is flushed and takes the final name.

    Parameters
    ----------
    path
        Final name. If the block raises, it stays as it was and the temporary file is removed.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        sync_file(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_whole(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` whole: temporary file, flush, rename, flush of the folder."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, content: Any) -> None:
    """Write plain JSON whole, indented for people."""
    write_whole(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def _umask() -> int:
    """Return this process's file mode mask (the only portable way to read it is to set it)."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


class AppendOnlyFile:
    """A file of lines that one process appends to; each line is one ``write`` and arrives whole or not at all.

    An unfinished last line, left by a writer that died, is cut off when the file is opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        self._cut_unfinished_line()

    def append(self, line: bytes, *, durable: bool) -> None:
        """Append one line (without its newline); ``durable`` waits until it is on disk.

        Raises
        ------
        OSError
            The disk is full or gone; the file is as before.
        """
        before = os.fstat(self._handle).st_size
        content = line + b"\n"
        try:
            written = os.write(self._handle, content)
            if written != len(content):
                os.write(self._handle, content[written:])  # says why: disk full, quota
            if durable:
                os.fsync(self._handle)
        except OSError:
            os.ftruncate(self._handle, before)
            raise

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)

    def _cut_unfinished_line(self) -> None:
        end = os.fstat(self._handle).st_size
        position = end
        while position > 0:
            start = max(0, position - 65536)
            found = os.pread(self._handle, position - start, start).rfind(b"\n")
            if found >= 0:
                position = start + found + 1
                break
            position = start
        if position != end:
            os.ftruncate(self._handle, position)
            os.fsync(self._handle)


def finished_lines(path: Path, offset: int = 0) -> Iterator[tuple[bytes, int]]:
    """Yield each finished line of a file from a byte offset on, with the offset after it."""
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        return
    with stream:
        stream.seek(offset)
        for line in stream:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            yield line[:-1], offset
