"""Debian's chromium, driven by clicks; a page that writes an error to its console fails the test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.oracles import missing
from verglas.server.page_files import PageFiles

FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--enable-unsafe-swiftshader"]


def absent() -> None:
    """Skip, or fail where tests must run, when chromium or the page's libraries are not here."""
    if shutil.which("chromium") is None:
        missing("chromium", "apt-get install chromium")
    if PageFiles().missing():
        missing("the page's libraries", "run `make page`")


@contextmanager
def chromium() -> Iterator[Any]:
    """Start a browser."""
    absent()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def tab(context: Any, address: str) -> Iterator[Any]:
    """Open an address in a new tab; errors of the page fail the test at the end."""
    page = context.new_page()
    page.set_default_timeout(120_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(f"{said.text} {said.location}") if said.type == "error" else None)
    page.goto(address)
    yield page
    page.close()
    assert not errors, errors
