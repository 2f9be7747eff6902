"""What kind of file system a path lies on, and how SQLite must be opened there."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

MOUNTINFO = Path("/proc/self/mountinfo")

# File systems of one machine, where locks and shared memory work. Everything else is treated as shared: the safe side.
LOCAL_KINDS = frozenset(
    {
        *(
            "apfs",
            "bcachefs",
            "btrfs",
            "exfat",
            "ext2",
            "ext3",
            "ext4",
            "f2fs",
            "hfs",
            "hfsplus",
            "jfs",
            "ntfs",
            "ntfs3",
        ),
        *("overlay", "ramfs", "reiserfs", "tmpfs", "ufs", "vfat", "xfs", "zfs"),
    }
)


@dataclass(frozen=True)
class FileSystem:
    """The file system under a path.

    Attributes
    ----------
    name
        What the kernel calls it (``ext4``, ``nfs4``, ``lustre``), ``unknown`` where it cannot be told.
    mount_point
        Where it is mounted.
    is_network
        Whether other machines may share it, so that file locks and shared memory cannot be trusted.
    """

    name: str
    mount_point: Path
    is_network: bool

    @property
    def words(self) -> str:
        """Return one line that says what this means for a project."""
        if not self.is_network:
            return f"{self.name} (local): SQLite with a write-ahead log"
        advice = ""
        if self.name == "lustre":
            advice = "; Lustre is slow with databases: keep the database elsewhere with --database"
        return f"{self.name} (shared): SQLite with lock files and no write-ahead log{advice}"


def _unescape(text: str) -> str:
    """Undo the octal escapes that mountinfo writes for blanks and their like."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found.group(1), 8)), text)


def describe(path: Path, mountinfo: Path = MOUNTINFO) -> FileSystem:
    """Return the file system that a path lies on.

    Parameters
    ----------
    path
        Any path; where it does not exist yet, its nearest existing parent counts.
    mountinfo
        The kernel's table of mounts.

    Returns
    -------
    FileSystem
        The mount with the longest matching path, the last one mounted where two have the same path.
    """
    place = Path(os.path.realpath(path))
    best = FileSystem("unknown", Path("/"), True)
    try:
        lines = mountinfo.read_text().splitlines()
    except OSError:
        return best
    for line in lines:
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or not kind:
            continue
        point = Path(_unescape(fields[4]))
        if place.is_relative_to(point) and len(point.parts) >= len(best.mount_point.parts):
            best = FileSystem(kind[0], point, kind[0] not in LOCAL_KINDS)
    return best
