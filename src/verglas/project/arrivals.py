"""Movies that arrive in a folder while a microscope writes them: which of them are complete."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from verglas.errors import VerglasError
from verglas.project.importing import ENDINGS, read_header_checked

SETTLE_SECONDS = 15.0
PATIENCE_SECONDS = 600.0
OLD_SECONDS = 3600.0
FEW_FRAMES = 0.9
"""A movie with less than this part of the usual number of frames may still be written."""


@dataclass
class Seen:
    """A file as it was when it was last found changed.

    Attributes
    ----------
    size, changed
        Bytes and time of change, as the file's server gives them.
    since
        When it was first found so, by this process' own clock.
    reason
        Why it is not taken yet; empty before it was looked into.
    is_undecided
        Whether time alone will tell: it is not looked into yet, or has fewer frames than others.
    """

    size: int
    changed: int
    since: float
    reason: str = ""
    is_undecided: bool = True


@dataclass(frozen=True)
class Arrival:
    """A complete movie, and what a person should know about it (empty: nothing)."""

    path: Path
    warning: str = ""


class Arrivals:
    """Looks into a folder again and again, and tells each complete movie once.

    A file is complete when size and time stood still for a while, when its header can be read and promises no more than
    the file holds, and when it has about as many frames as the other movies: a TIFF or EER file that is still written
    looks like a shorter one. What has too few frames for long is taken all the same, with a warning. Clocks of other
    machines are not trusted: standing still is measured here.

    Parameters
    ----------
    folder
        Where movies arrive.
    recursive
        Look into its subfolders too.
    settle_seconds
        How long a file must stand still.
    patience_seconds
        How long a movie with few frames is waited for.
    left_out
        Files that are no movies, such as the gain reference.
    clock
        Seconds that never go back; for tests.
    """

    def __init__(
        self,
        folder: Path,
        *,
        recursive: bool = True,
        settle_seconds: float = SETTLE_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
        left_out: Collection[Path] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder, self.recursive = folder, recursive
        self.settle_seconds, self.patience_seconds = settle_seconds, patience_seconds
        self.left_out = {os.path.abspath(path) for path in left_out}
        self.clock = clock
        self.waiting: dict[str, Seen] = {}
        """What is there but not taken, by path."""
        self.frames: Counter[int] = Counter()
        self._told: set[str] = set()

    def look(self, known: Collection[str] = ()) -> list[Arrival]:
        """Return the movies that have become complete since the last look.

        Parameters
        ----------
        known
            Absolute paths of movies that the project has already.

        Raises
        ------
        OSError
            The folder is not there or cannot be read.
        """
        now, found, present = self.clock(), [], set()
        for entry in sorted(self._entries(self.folder), key=lambda one: one.path):
            path = entry.path
            if path in known or path in self._told or path in self.left_out:
                continue
            try:
                status = entry.stat()
            except OSError:
                continue  # gone between two looks
            present.add(path)
            seen = self.waiting.get(path)
            if seen is None or (seen.size, seen.changed) != (status.st_size, status.st_mtime_ns):
                settled = status.st_size > 0 and time.time() - status.st_mtime > OLD_SECONDS
                since = now - self.settle_seconds if settled and seen is None else now
                seen = self.waiting[path] = Seen(status.st_size, status.st_mtime_ns, since)
            if seen.is_undecided and now - seen.since >= self.settle_seconds:
                arrival = self._examine(Path(path), seen, now)
                if arrival is not None:
                    found.append(arrival)
                    self._told.add(path)
                    present.discard(path)
        self.waiting = {path: seen for path, seen in self.waiting.items() if path in present}
        return found

    def forget(self, path: Path, reason: str) -> None:
        """Take a movie back that was told but could not be used: it is looked at again when it changes."""
        status = path.stat()
        self._told.discard(str(path))
        self.waiting[str(path)] = Seen(status.st_size, status.st_mtime_ns, self.clock(), reason, is_undecided=False)

    @property
    def undecided(self) -> list[str]:
        """Files that are taken, or found to be no movies, by waiting alone."""
        return [path for path, seen in self.waiting.items() if seen.is_undecided]

    def _entries(self, folder: Path | str) -> Iterator[os.DirEntry[str]]:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue  # what rsync and others have not finished begins with a dot
                if entry.is_dir(follow_symlinks=False):
                    if self.recursive:
                        yield from self._entries(entry.path)
                elif os.path.splitext(entry.name)[1].lower() in ENDINGS["movie"]:
                    yield entry

    def _examine(self, path: Path, seen: Seen, now: float) -> Arrival | None:
        try:
            frames = read_header_checked(path).n_sections
        except (VerglasError, OSError) as error:
            seen.reason, seen.is_undecided = str(error), False
            return None
        if frames < 2:
            seen.is_undecided = False
            seen.reason = f"{path}: one image, not a movie; it is left out."
            return None
        usual = self.frames.most_common(1)[0][0] if self.frames else 0
        warning = ""
        if frames < FEW_FRAMES * usual:
            if now - seen.since < max(self.patience_seconds, self.settle_seconds):
                seen.reason = f"{path}: has {frames} frames, others have {usual}; is it still being written?"
                return None
            warning = f"{path}: has {frames} frames only, others have {usual}."
        self.frames[frames] += 1
        return Arrival(path, warning)
