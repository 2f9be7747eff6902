"""A server in a thread of the test, and clients that have a session with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from verglas.server.access import Access, make_token
from verglas.server.connections import listen
from verglas.server.serving import make_server
from verglas.server.workspace import Workspace


@dataclass
class Running:
    """A server under test."""

    port: int
    workspace: Workspace
    access: Access

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def token_address(self) -> str:
        return f"{self.address}/?token={make_token(self.access.folder)}"

    def client(self) -> httpx.Client:
        """Return a client that has exchanged a token."""
        client = httpx.Client(base_url=self.address, timeout=60)
        assert client.get(self.token_address()).status_code == 303
        return client


@contextmanager
def running(folder: Path, *, browse: tuple[Path, ...] = (Path("/"),)) -> Iterator[Running]:
    """Run a server; ``folder`` keeps its tokens."""
    workspace, access = Workspace(browse), Access(folder / "tokens")
    bound = listen(0)
    server = make_server(workspace, access)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    end = time.monotonic() + 240
    while not server.started:
        assert time.monotonic() < end and thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    try:
        yield Running(bound.getsockname()[1], workspace, access)
    finally:
        server.should_exit = True
        thread.join(20)
        bound.close()
        assert not thread.is_alive(), "the server did not end"
