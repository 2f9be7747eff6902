"""Tell whether the process that wrote a record lives: on this host by its number, elsewhere by its heartbeat."""

from __future__ import annotations

import functools
import os
import platform
import tempfile
import time
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

BEAT_SECONDS = 2.0
SILENT_SECONDS = 60.0
"""A heartbeat on another host that is older than this is taken for dead until it is seen to move."""


class ProcessRecord(BaseModel):
    """Who a process is: enough to tell it from any other, also after its number was given to a new one."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    host: str
    process: int
    process_started: float
    boot: str = ""
    """Boot and process-number space of the host: process numbers mean something only where this is equal."""

    @classmethod
    def of_this_process(cls) -> ProcessRecord:
        """Describe the calling process."""
        own = psutil.Process()
        return cls(host=platform.node(), process=own.pid, process_started=own.create_time(), boot=_number_space())

    @property
    def is_local(self) -> bool:
        """Whether process numbers of this record can be looked up here."""
        return self.host == platform.node() and self.boot == _number_space()

    def lives(self, heartbeat: Path) -> bool:
        """Tell whether the process lives: exactly on its own host, by the heartbeat's age from another one."""
        if self.is_local:
            return self._lives_here()
        age = heartbeat_age(heartbeat)
        return age is not None and age < SILENT_SECONDS

    def is_seen_alive(self, heartbeat: Path, watch_seconds: float = 4 * BEAT_SECONDS) -> bool:
        """Tell whether the process lives, trusting no clock: from another host, watch the heartbeat move."""
        if self.is_local:
            return self._lives_here()
        first = heartbeat_time(heartbeat)
        end = time.monotonic() + watch_seconds
        while time.monotonic() < end:
            time.sleep(BEAT_SECONDS / 4)
            if heartbeat_time(heartbeat) != first:
                return True
        return False

    def _lives_here(self) -> bool:
        try:
            found = psutil.Process(self.process)
            return abs(found.create_time() - self.process_started) < 1.0 and found.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


def _number_space() -> str:
    """Return the boot id and the process-number space of this process (both empty where there is no /proc)."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def beat(heartbeat: Path) -> None:
    """Make the heartbeat fresh; its time is that of the file's server."""
    with heartbeat.open("wb") as stream:
        stream.write(b".")


def heartbeat_time(heartbeat: Path) -> float | None:
    """Return when the heartbeat last moved, or None where there is none."""
    try:
        return heartbeat.stat().st_mtime
    except OSError:
        return None


def heartbeat_age(heartbeat: Path) -> float | None:
    """Return the seconds since the heartbeat moved, or None where there is none.

    An age that means death by this host's clock is taken again by the clock of the file's server: hosts' clocks differ.
    """
    moved = heartbeat_time(heartbeat)
    if moved is None:
        return None
    age = abs(time.time() - moved)
    if age >= SILENT_SECONDS:
        age = abs(time.time() + _server_ahead(heartbeat.parent, int(time.monotonic() / SILENT_SECONDS)) - moved)
    return age


@functools.lru_cache(maxsize=64)
def _server_ahead(folder: Path, minute: int) -> float:
    """Return the seconds that the clock of a folder's server is ahead of this host's; 0 where one may not write."""
    del minute  # so long an answer is kept
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".clock-") as probe:
            return os.fstat(probe.fileno()).st_mtime - time.time()
    except OSError:
        return 0.0
