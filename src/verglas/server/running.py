"""The record of running servers, by which ``verglas serve --url`` finds one and gives it a new token."""

from __future__ import annotations

import json
import os
import platform
import shutil
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from verglas.execution.durable import write_json
from verglas.execution.liveness import ProcessRecord
from verglas.server.access import make_token


@dataclass(frozen=True)
class RunningServer:
    """A server of this user on this host.

    Attributes
    ----------
    folder
        Its folder, mode 0700: this record, and tokens.
    process
        Which process it is.
    port, socket
        Where it listens: one of the two.
    """

    folder: Path
    process: ProcessRecord
    port: int | None
    socket: str | None

    @property
    def tokens(self) -> Path:
        """Where its tokens lie."""
        return self.folder / "tokens"

    def new_address(self) -> str:
        """Return an address that opens the page, once."""
        port = 8484 if self.port is None else self.port
        return f"http://localhost:{port}/?token={make_token(self.tokens)}"

    def words(self, address: str) -> str:
        """Say how to open the page, here and from another computer."""
        port = address.split("/")[2].rpartition(":")[2]
        there = self.socket or f"localhost:{port}"
        here = platform.node()
        return (
            f"Open  {address}\n"
            f"From another computer, first:  ssh -L {port}:{there} {here}\n"
            "The address works once; `verglas serve --url` prints another."
        )


def servers_folder() -> Path:
    """Return where the records lie."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "verglas" / "servers"


def register(port: int | None, socket: str | None) -> RunningServer:
    """Record this process as a server, and clear away what servers that died left."""
    running_servers()
    folder = servers_folder() / uuid.uuid4().hex
    folder.mkdir(mode=0o700, parents=True)
    found = RunningServer(folder, ProcessRecord.of_this_process(), port, socket)
    found.tokens.mkdir(mode=0o700)
    content = {"process": found.process.model_dump(), "port": port, "socket": socket}
    write_json(folder / "server.json", content)
    return found


def running_servers() -> list[RunningServer]:
    """Return this user's servers on this host, the latest first; records of dead ones are removed."""
    found: list[tuple[float, RunningServer]] = []
    with suppress(FileNotFoundError):
        for folder in servers_folder().iterdir():
            try:
                content = json.loads((folder / "server.json").read_text())
                process = ProcessRecord.model_validate(content["process"])
                began = (folder / "server.json").stat().st_mtime
            except (OSError, ValueError, KeyError, TypeError):
                continue
            if process.host != platform.node():
                continue
            if process.is_local and process.lives(folder / "server.json"):
                found.append((began, RunningServer(folder, process, content["port"], content["socket"])))
            else:
                shutil.rmtree(folder, ignore_errors=True)
    return [server for _, server in sorted(found, key=lambda one: one[0], reverse=True)]
