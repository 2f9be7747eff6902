"""Who may talk to the server: tokens that are good once, exchanged for a session that a cookie names."""

from __future__ import annotations

import hashlib
import secrets
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from pathlib import Path

MOST_SESSIONS = 200


def digest(secret: str) -> str:
    """Return what is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Access:
    """Tokens and sessions of one server.

    A token is a file in a folder that only the user can enter, named by the token's hash. Whoever can write there
    makes one; using it removes the file, so that it is good once. Sessions live in memory: they end with the server.

    Parameters
    ----------
    folder
        Where tokens lie; made with mode 0700.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        self.cookie = f"verglas_{secrets.token_hex(4)}"
        self._sessions: dict[str, None] = {}

    def use_token(self, token: str) -> str | None:
        """Exchange a token for the secret of a new session; None where it is not good, or not any more."""
        if not 20 <= len(token) <= 100:
            return None
        try:
            (self.folder / digest(token)).unlink()
        except OSError:
            return None
        session = secrets.token_urlsafe(32)
        self._sessions[digest(session)] = None
        while len(self._sessions) > MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        return session

    def is_known(self, cookies: str) -> bool:
        """Tell whether a request's cookies name a session."""
        with suppress(CookieError):
            found = SimpleCookie(cookies).get(self.cookie)
            return found is not None and digest(found.value) in self._sessions
        return False

    def cookie_header(self, session: str) -> str:
        """Return the header that gives a browser its session."""
        return f"{self.cookie}={session}; Path=/; HttpOnly; SameSite=Strict"


def make_token(folder: Path) -> str:
    """Make a token that the server which uses this folder will take once."""
    token = secrets.token_urlsafe(32)
    (folder / digest(token)).touch(mode=0o600)
    return token
