"""News for browsers: one stream each of what changed, so that no page has to ask again and again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from verglas.errors import ProjectError
from verglas.execution.plain_json import as_plain

MOST_STREAMS = 40
MOST_WAITING = 1000
PULSE_SECONDS = 10.0


class News:
    """Hands what threads publish to all streams that are open."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._streams: set[asyncio.Queue[str | None]] = set()

    def begin(self) -> None:
        """Belong to the running event loop from now on."""
        self._loop = asyncio.get_running_loop()

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return len(self._streams)

    def publish(self, content: dict[str, Any]) -> None:
        """Send something to all streams; any thread may."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._hand_out, json.dumps(as_plain(content), ensure_ascii=False))

    def _hand_out(self, text: str) -> None:
        for queue in self._streams:
            if queue.qsize() >= MOST_WAITING:  # a browser that sleeps: it asks for everything when it wakes
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait('{"kind":"again"}')
            else:
                queue.put_nowait(text)

    def end(self) -> None:
        """End all streams."""
        for queue in self._streams:
            queue.put_nowait(None)

    def stream(self) -> AsyncIterator[bytes]:
        """Return a new stream of server-sent events.

        Raises
        ------
        ProjectError
            Too many are open.
        """
        if len(self._streams) >= MOST_STREAMS:
            raise ProjectError(f"{MOST_STREAMS} browsers follow this server already; close one.")
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._streams.add(queue)
        return self._lines(queue)

    async def _lines(self, queue: asyncio.Queue[str | None]) -> AsyncIterator[bytes]:
        try:
            yield b'retry: 1000\ndata: {"kind":"again"}\n\n'
            while True:
                try:
                    text = await asyncio.wait_for(queue.get(), PULSE_SECONDS)
                except TimeoutError:
                    yield b": pulse\n\n"
                    continue
                if text is None:
                    return
                yield f"data: {text}\n\n".encode()
        finally:
            self._streams.discard(queue)
