"""One owner at a time: who may write the database, told by files alone so that it holds across hosts."""

from __future__ import annotations

import errno
import json
import os
import threading
import time
import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from verglas.errors import ProjectLockedError
from verglas.execution.durable import sync_folder
from verglas.execution.liveness import BEAT_SECONDS, ProcessRecord, beat
from verglas.project.journal import user_name

PREFIX = "owner-"


@dataclass(frozen=True)
class Claim:
    """A file ``owner-<generation>.json``: one process's claim to the project."""

    generation: int
    path: Path
    process: ProcessRecord
    program: str
    user: str
    since: float

    @property
    def heartbeat(self) -> Path:
        """Return the file whose time moves while the owner lives."""
        return self.path.with_suffix(".heartbeat")

    @property
    def words(self) -> str:
        """Return who this is, for people."""
        since = datetime.fromtimestamp(self.since).strftime("%d %b %H:%M:%S")
        return f"{self.user} on {self.process.host} (process {self.process.process}, {self.program}, since {since})"

    def lives(self, watch_seconds: float | None = None) -> bool:
        """Tell whether the owner lives: by its process on this host, by a moving heartbeat on another."""
        if watch_seconds is None:
            return self.process.is_seen_alive(self.heartbeat)
        return self.process.is_seen_alive(self.heartbeat, watch_seconds)


def read_claims(folder: Path) -> list[Claim]:
    """Return all claims, the latest generation last."""
    claims = []
    for path in folder.glob(f"{PREFIX}*.json"):
        try:
            content = json.loads(path.read_text())
            claims.append(
                Claim(
                    int(path.stem.removeprefix(PREFIX)), path, ProcessRecord(**content["process"]),
                    content["program"], content["user"], content["since"],
                )
            )  # fmt: skip
        except (FileNotFoundError, ValueError):
            continue  # given up while we looked, or not a claim
    return sorted(claims, key=lambda claim: claim.generation)


def current_owner(folder: Path) -> Claim | None:
    """Return the claim that counts, alive or not; None where nobody claims the project."""
    claims = read_claims(folder)
    return claims[-1] if claims else None


class Ownership:
    """A process's ownership of a project, with its heartbeat.

    A claim is made by linking a finished file to the name of the next generation, which only one process can do. A dead
    owner is followed by the generation after it, never replaced, so two processes that find it dead cannot both win.

    Parameters
    ----------
    folder
        ``.verglas`` of the project.
    program
        What this process is, for the words that others read.
    """

    def __init__(self, folder: Path, claim: Claim) -> None:
        self.folder = folder
        self.claim = claim
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="verglas-owner", daemon=True)
        self._thread.start()

    @classmethod
    def take(cls, folder: Path, program: str, *, checked_dead: int | None = None) -> Ownership:
        """Become the owner.

        Parameters
        ----------
        folder
            ``.verglas`` of the project.
        program
            What this process is, for the words that others read.
        checked_dead
            Generation that the caller already knows to be dead.

        Raises
        ------
        ProjectLockedError
            A living process owns the project; the message says who.
        """
        while True:
            claims = read_claims(folder)
            last = claims[-1] if claims else None
            if last is not None and last.generation != checked_dead and last.lives():
                raise ProjectLockedError(
                    f"{folder.parent} is in use by {last.words}. Your edits can go through it, or close it first."
                )
            claim = cls._link(folder, (last.generation if last else 0) + 1, program)
            if claim is None:
                continue  # somebody was faster: look again
            dead = {old.path for old in claims}
            others = [other for other in read_claims(folder) if other.path != claim.path and other.path not in dead]
            if others:
                cls._remove(claim)
                time.sleep(0.02 + 0.1 * int.from_bytes(os.urandom(1), "big") / 255)
                continue
            for old in claims:
                cls._remove(old)
            return cls(folder, claim)

    @staticmethod
    def _link(folder: Path, generation: int, program: str) -> Claim | None:
        path = folder / f"{PREFIX}{generation:08d}.json"
        temporary = folder / f".{uuid.uuid4().hex}.claim"
        process, user, since = ProcessRecord.of_this_process(), user_name(), time.time()
        content = {"process": process.model_dump(), "program": program, "user": user, "since": since}
        temporary.write_text(json.dumps(content))
        claim = Claim(generation, path, process, program, user, since)
        beat(claim.heartbeat)
        try:
            _link_or_create(temporary, path)
        except FileExistsError:
            return None
        finally:
            temporary.unlink()
        sync_folder(folder)
        return claim

    @staticmethod
    def _remove(claim: Claim) -> None:
        claim.path.unlink(missing_ok=True)
        claim.heartbeat.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            if not self.claim.path.exists():
                return
            try:
                beat(self.claim.heartbeat)
            except OSError:
                continue  # a full or absent disk: try again at the next beat

    def check(self) -> None:
        """Make sure that nobody took the project over while this process was suspended.

        Raises
        ------
        ProjectLockedError
            Somebody did.
        """
        if not self.claim.path.exists():
            owner = current_owner(self.folder)
            words = f" by {owner.words}" if owner else ""
            raise ProjectLockedError(
                f"{self.folder.parent} was taken over{words} while this process did not answer. "
                "Nothing was written; open the project again."
            )

    def release(self) -> None:
        """Give the project back."""
        self._stop.set()
        self._thread.join()
        self._remove(self.claim)


def _link_or_create(finished: Path, path: Path) -> None:
    """Give a finished file its name, which nobody else may have given; where there are no links, create it by name."""
    try:
        os.link(finished, path)
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}:
            raise
        with path.open("x") as stream:
            stream.write(finished.read_text())
