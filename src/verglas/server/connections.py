"""Where the server listens: 127.0.0.1 or a Unix socket of the user's own, with connections that must not dawdle."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from pathlib import Path
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from verglas.errors import InputError

FIRST_PORT = 8484
PORTS_TRIED = 40
HEAD_SECONDS = 10.0


def listen(port: int | None) -> socket.socket:
    """Return a socket bound to 127.0.0.1.

    Parameters
    ----------
    port
        Which; none: the first free one from 8484 on.

    Raises
    ------
    InputError
        The port is taken.
    """
    for number in [port] if port is not None else [*range(FIRST_PORT, FIRST_PORT + PORTS_TRIED), 0]:
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind(("127.0.0.1", number))
            bound.listen(128)  # at once: with SO_REUSEADDR two sockets may bind, but one alone may listen
        except OSError as error:
            bound.close()
            if port is not None:
                raise InputError(f"port {port} of 127.0.0.1 is taken ({error}); choose another by --port.") from error
            continue
        return bound
    raise InputError("no port of 127.0.0.1 is free.")


def listen_unix(path: Path) -> socket.socket:
    """Return a Unix socket that only this user can connect to.

    Raises
    ------
    InputError
        The path is taken by something else, or by a server that answers, or is too long.
    """
    if path.exists():
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise InputError(f"{path} exists and is no socket; choose another path.")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            if probe.connect_ex(str(path)) == 0:
                raise InputError(f"a server listens on {path} already; `verglas serve --url` prints its address.")
        path.unlink()
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        bound.bind(str(path))
        bound.listen(128)
    except OSError as error:
        raise InputError(f"{path} cannot be listened on ({error}); choose a shorter path in an own folder.") from error
    finally:
        os.umask(before)
    return bound


class BriskProtocol(H11Protocol):
    """HTTP/1.1 whose requests must be complete up to the end of their headers within some seconds."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take bytes; where a head is still incomplete its time goes on running."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self._wait()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the time."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
