"""What every request must pass before anything else sees it: host, origin, session, size and pace; and safe headers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs

from verglas.server.access import Access

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

HOSTS = {"localhost", "127.0.0.1", "[::1]"}
LARGEST_BODY = 2 * 2**20
BODY_SECONDS = 20.0
DRAIN_SECONDS = 1.0
NO_SESSION = (
    "This page opens only with an address that `verglas serve` printed, and each address works once. "
    "Run `verglas serve --url` in a terminal for a new one."
)


class Refused(Exception):  # noqa: N818 - a verdict, not a fault
    """A request that is answered with a status and a sentence, and goes no further."""

    def __init__(self, status: int, words: str) -> None:
        self.status, self.words = status, words
        super().__init__(words)


class Guard:
    """Stands before the application.

    Parameters
    ----------
    app
        The application.
    access
        Tokens and sessions.
    policy
        The ``Content-Security-Policy``.
    """

    def __init__(self, app: Application, access: Access, policy: str) -> None:
        self.app, self.access = app, access
        self.headers = [
            (b"content-security-policy", policy.encode()),
            (b"referrer-policy", b"no-referrer"),
            (b"x-content-type-options", b"nosniff"),
            (b"cross-origin-opener-policy", b"same-origin"),
            (b"cross-origin-resource-policy", b"same-origin"),
            (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let the application answer it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        started = False

        async def send_safely(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                given = {name for name, _ in message.get("headers", ())}
                extra = self.headers + ([] if b"cache-control" in given else [(b"cache-control", b"no-store")])
                message = {**message, "headers": [*message.get("headers", ()), *extra]}
            await send(message)

        try:
            headers = _headers(scope)
            _check_host(headers)
            if session := self._exchange(scope):
                await _redirect(send_safely, self.access.cookie_header(session))
                return
            _check_origin(scope, headers)
            if not self.access.is_known(headers.get("cookie", "")):
                raise Refused(401, NO_SESSION)
            body = await _read_body(scope, headers, receive)
        except Refused as refused:
            if refused.status == 413:
                await _drain(receive)
            if not started:
                await _answer(send_safely, refused.status, refused.words)
            return
        await self.app(scope, _replay(body, receive), send_safely)

    def _exchange(self, scope: Scope) -> str | None:
        """Return the secret of a new session where the request brings a good token."""
        if scope["method"] != "GET" or scope["path"] != "/" or not scope.get("query_string"):
            return None
        tokens = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
        session = self.access.use_token(tokens[0]) if len(tokens) == 1 else None
        if tokens and session is None:
            raise Refused(401, NO_SESSION)
        return session


def _headers(scope: Scope) -> dict[str, str]:
    found: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name = raw_name.decode("latin-1").lower()
        if name in found and name in {"host", "origin", "content-length", "content-type"}:
            raise Refused(400, f"The header {name} was sent twice.")
        value = raw_value.decode("latin-1")
        found[name] = f"{found[name]}; {value}" if name == "cookie" and name in found else value
    return found


def _check_host(headers: dict[str, str]) -> None:
    """Refuse names by which only a page elsewhere could have come here (DNS rebinding)."""
    host = headers.get("host", "")
    name, _, port = host.rpartition(":") if not host.endswith("]") and ":" in host else (host, "", "")
    if name.lower() not in HOSTS or (port and not port.isdigit()):
        raise Refused(403, "This server answers to localhost, 127.0.0.1 and [::1] only; use one of these addresses.")


def _check_origin(scope: Scope, headers: dict[str, str]) -> None:
    """Refuse what a page of another site, or of another port of this host, has sent."""
    origin = headers.get("origin")
    if origin is not None and origin.lower() != f"http://{headers['host'].lower()}":
        raise Refused(403, "This request comes from another page.")
    site = headers.get("sec-fetch-site", "none")
    opens_page = scope["method"] == "GET" and scope["path"] == "/" and headers.get("sec-fetch-mode") == "navigate"
    if site not in {"none", "same-origin"} and not opens_page:
        raise Refused(403, "This request comes from another page.")
    if scope["method"] not in {"GET", "HEAD", "POST"}:
        raise Refused(405, f"{scope['method']} is not understood here.")
    if scope["method"] == "POST":
        kind = headers.get("content-type", "").split(";")[0].strip().lower()
        if kind != "application/json":
            raise Refused(415, "Only JSON is taken (content-type: application/json); files are never uploaded.")


async def _read_body(scope: Scope, headers: dict[str, str], receive: Receive) -> bytes:
    """Read a body whole, bounded in size and time."""
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length) > LARGEST_BODY:
        raise Refused(413, f"A request may hold {LARGEST_BODY} bytes.")
    parts: list[bytes] = []
    size = 0

    async def read() -> None:
        nonlocal size
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refused(400, "The connection was closed.")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > LARGEST_BODY:
                raise Refused(413, f"A request may hold {LARGEST_BODY} bytes.")
            more = message.get("more_body", False)

    try:
        await asyncio.wait_for(read(), BODY_SECONDS)
    except TimeoutError:
        raise Refused(408, f"The request did not arrive within {BODY_SECONDS:g} s.") from None
    return b"".join(parts)


async def _drain(receive: Receive) -> None:
    """Read on for a moment, so that whoever sends too much sees why it is refused and not a broken connection."""

    async def read() -> None:
        size = 0
        while size < 4 * LARGEST_BODY:
            message = await receive()
            if message["type"] == "http.disconnect" or not message.get("more_body", False):
                return
            size += len(message.get("body", b""))

    with suppress(TimeoutError):
        await asyncio.wait_for(read(), DRAIN_SECONDS)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a ``receive`` that gives the body that was read already."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _redirect(send: Send, cookie: str) -> None:
    headers = [(b"location", b"/"), (b"set-cookie", cookie.encode()), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def _answer(send: Send, status: int, words: str) -> None:
    body = words.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    if status in {400, 408, 413}:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
