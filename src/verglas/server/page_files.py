"""The page's own files: HTML, modules, style, and the libraries that were fetched when verglas was built."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import NamedTuple

from verglas.errors import NotFoundError

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_INLINE = re.compile(r'<script type="importmap">(.*?)</script>', re.DOTALL)


_IMPORTED = re.compile(r'(?:^|;)\s*import\b[^;("]*"([^"]+)"', re.MULTILINE)


class PageFile(NamedTuple):
    """A file of the page as it is sent.

    Attributes
    ----------
    content
        Its bytes.
    kind
        Its type.
    tag
        Changes with the content, so that browsers need not fetch again what they have.
    """

    content: bytes
    kind: str
    tag: str


class PageFiles:
    """Finds the files of the page, in an installed verglas or in a checkout.

    Attributes
    ----------
    folder
        The page.
    libraries
        Name below ``/libraries/`` -> file.
    """

    def __init__(self) -> None:
        installed = Path(__file__).parent / "page"
        checkout = Path(__file__).parents[3] / "web"
        self.folder = installed if installed.is_dir() else checkout / "page"
        self._kept: dict[str, tuple[int, PageFile]] = {}
        names: dict[str, str] = {}
        if (self.folder / "libraries.json").is_file():
            names = json.loads((self.folder / "libraries.json").read_text())
        self.libraries = {
            name: self.folder / "libraries" / name if installed.is_dir() else checkout / "node_modules" / source
            for name, source in names.items()
        }

    def missing(self) -> str:
        """Say what is not there and what to do about it; nothing where all is."""
        if not (self.folder / "index.html").is_file():
            return "this verglas was installed without its browser page; install it from a wheel or a checkout."
        absent = [name for name, path in self.libraries.items() if not path.is_file()]
        if absent:
            return (
                f"the browser page lacks {len(absent)} of its libraries ({', '.join(absent[:3])} ...): verglas was "
                "built where npm was not found. Install node 18 or newer with npm and install verglas again "
                "(in a checkout: `make page`). Everything else of verglas works without."
            )
        return ""

    def find(self, name: str) -> tuple[Path, str]:
        """Return a file of the page and its type.

        Raises
        ------
        NotFoundError
            There is none of that name, or it would lie outside the page.
        """
        path = self.libraries.get(name.removeprefix("libraries/")) if name.startswith("libraries/") else None
        if path is None and not name.startswith("libraries/"):
            path = (self.folder / name).resolve()
            if not path.is_relative_to(self.folder.resolve()):
                path = None
        if path is None or not path.is_file() or path.suffix not in TYPES:
            raise NotFoundError(f"the page has no file {name[:100]!r}.")
        return path, TYPES[path.suffix]

    def read(self, name: str) -> PageFile:
        """Return a file as it is sent, kept until it changes on disk.

        Raises
        ------
        NotFoundError
            There is none of that name.
        """
        path, kind = self.find(name)
        changed = path.stat().st_mtime_ns
        kept = self._kept.get(name)
        if kept is None or kept[0] != changed:
            content = path.read_bytes()
            if name == "index.html":
                content = content.replace(b"</head>", self._preloads().encode() + b"</head>")
            tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            kept = self._kept[name] = (changed, PageFile(content, kind, tag))
        return kept[1]

    def _preloads(self) -> str:
        """Return links to all modules that the page begins with, so that they are fetched at once, not one by one."""
        index = (self.folder / "index.html").read_text()
        names: dict[str, str] = {}
        for script in _INLINE.findall(index):
            names = json.loads(script)["imports"]
        found: dict[str, None] = {"/app.js": None}
        waiting = list(found)
        while waiting:
            path, _ = self.find(waiting.pop().removeprefix("/"))
            for imported in _IMPORTED.findall(path.read_text(errors="replace")):
                module = names.get(imported, imported)
                if module.startswith("/") and module not in found:
                    found[module] = None
                    waiting.append(module)
        return "".join(f'<link rel="modulepreload" href="{module}">\n' for module in found)

    def policy(self) -> str:
        """Return the ``Content-Security-Policy``: nothing but the page's own files, and its one import map by hash."""
        hashes = []
        if (self.folder / "index.html").is_file():
            for script in _INLINE.findall((self.folder / "index.html").read_text()):
                found = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
                hashes.append(f"'sha256-{found}'")
        scripts = " ".join(["'self'", *hashes])
        return (
            f"default-src 'none'; script-src {scripts}; style-src 'self'; img-src 'self' blob: data:; "
            "connect-src 'self'; worker-src 'self'; font-src 'self'; manifest-src 'self'; frame-ancestors 'none'; "
            "base-uri 'none'; form-action 'none'"
        )
