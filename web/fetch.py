"""Fetch the page's pinned libraries by npm into ``web/node_modules``: ``python web/fetch.py``."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

WEB = Path(__file__).parent


def libraries() -> dict[str, str]:
    """Return the libraries' files: name on the page -> place below ``node_modules``."""
    found: dict[str, str] = json.loads((WEB / "page" / "libraries.json").read_text())
    return found


def fetch() -> bool:
    """Make ``node_modules`` what the lock file says; return whether it is."""
    lock, done = WEB / "package-lock.json", WEB / "node_modules" / ".fetched"
    if done.is_file() and done.read_bytes() == lock.read_bytes():
        return True
    npm = shutil.which("npm")
    if npm is None:
        return False
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    said = subprocess.run(command, cwd=WEB, capture_output=True, text=True, check=False)
    if said.returncode:
        return False
    done.write_bytes(lock.read_bytes())
    return True


if __name__ == "__main__":
    raise SystemExit(0 if fetch() else "npm could not fetch the page's libraries; install npm and node 18 or newer.")
