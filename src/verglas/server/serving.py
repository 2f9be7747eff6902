"""Run the server until it is told to stop."""

from __future__ import annotations

import logging
import shutil
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from verglas.errors import InputError
from verglas.server.access import Access
from verglas.server.app import create_app
from verglas.server.connections import BriskProtocol, listen, listen_unix
from verglas.server.page_files import PageFiles
from verglas.server.running import RunningServer, register
from verglas.server.workspace import Workspace

MOST_CONNECTIONS = 200


class Server(uvicorn.Server):
    """Ends the streams of news first, which would otherwise keep the server from ending."""

    def __init__(self, config: uvicorn.Config, workspace: Workspace) -> None:
        super().__init__(config)
        self._workspace = workspace

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End streams, then all else."""
        self._workspace.news.end()
        await super().shutdown(sockets)


def make_server(workspace: Workspace, access: Access) -> Server:
    """Return a server of the application, with bounds on connections."""
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    config = uvicorn.Config(
        create_app(workspace, access), http=BriskProtocol, ws="none", lifespan="on", log_config=None, access_log=False,
        server_header=False, proxy_headers=False, timeout_keep_alive=15, timeout_graceful_shutdown=3,
        limit_concurrency=MOST_CONNECTIONS,
    )  # fmt: skip
    return Server(config, workspace)


def _end(signal_number: int, frame: object) -> None:
    """End this process as if it had finished, so that what must be tidied up is."""
    raise SystemExit(0)


def serve(
    project: Path | None,
    *,
    port: int | None = None,
    unix_socket: Path | None = None,
    browse: tuple[Path, ...] = (Path("/"),),
    ready: Callable[[RunningServer], None],
) -> None:
    """Serve the page until a signal ends it.

    Parameters
    ----------
    project
        Opened at once; none: the page begins with the list of projects.
    port, unix_socket
        Where to listen: a port of 127.0.0.1 (default: the first free one from 8484 on), or a Unix socket.
    browse
        Folders below which the page may look for files.
    ready
        Called with the server's record when it listens.

    Raises
    ------
    InputError
        The page was not built, or the port is taken.
    """
    if words := PageFiles().missing():
        raise InputError(words)
    workspace = Workspace(browse)
    bound = listen(port) if unix_socket is None else listen_unix(unix_socket)
    if project is not None:
        workspace.open(project)
    number = bound.getsockname()[1] if unix_socket is None else None
    record = register(number, None if unix_socket is None else str(unix_socket.resolve()))
    server = make_server(workspace, Access(record.tokens))
    for number_of_signal in (
        signal.SIGTERM,
        signal.SIGHUP,
    ):  # what uvicorn raises again when it has ended, or passes over
        signal.signal(number_of_signal, _end)
    try:
        ready(record)
        server.run(sockets=[bound])
    finally:
        workspace.close_all()
        shutil.rmtree(record.folder, ignore_errors=True)
        if unix_socket is not None:
            unix_socket.unlink(missing_ok=True)
