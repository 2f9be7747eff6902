"""Every page at 1280 pixels, light and dark, without errors or anything wider than that; and by keyboard alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.server.pages import SIZE, overflow, shell
from tests.server.running import Running
from tests.support.browser import tab
from tests.support.picked_projects import picked_project
from verglas.actions.table import ACTIONS
from verglas.formats import write_mrc
from verglas.project.import_others import import_volumes
from verglas.server.routes.imports import FORMS

PAGES = (
    "", "assets/movie", "assets/image", "assets/positions", "assets/volume", "assets/package", "assets/classification",
    "assets/selection", "assets/refinement", "assets/model", *(f"import/{kind}" for kind in FORMS), "actions",
    *(f"action/{name}" for name in ACTIONS), "jobs", "results/alignment", "results/ctf", "results/picks",
    "results/classes", "results/refinements", "results/maps", "viewer", "viewer?source=asset:image:1", "map",
    "settings/profiles", "settings/trash", "settings/history", "settings/look",
)  # fmt: skip


def test_every_page_fits_and_says_no_error(browser: Any, server: Running, tmp_path: Path) -> None:
    project, _ = picked_project(tmp_path, count=1)
    write_mrc(tmp_path / "v.mrc", np.random.default_rng(1).random((24, 24, 24), np.float32), 2.0, is_volume=True)
    import_volumes(project, [str(tmp_path / "v.mrc")])
    project.close()
    opened = server.workspace.open(tmp_path / "p")
    for scheme in ("light", "dark"):
        context = browser.new_context(viewport=SIZE, color_scheme=scheme)
        with tab(context, server.token_address()) as page:
            for path in PAGES if scheme == "light" else PAGES[::4]:
                page.evaluate(shell(opened.key, path))
                page.locator("main h1").first.wait_for()
                page.wait_for_timeout(100)
                assert overflow(page) <= 0, path
                assert page.evaluate("document.documentElement.dataset.theme") == scheme
        context.close()


def test_by_keyboard_alone(browser: Any, server: Running, tmp_path: Path) -> None:
    picked_project(tmp_path)[0].close()
    opened = server.workspace.open(tmp_path / "p")
    context = browser.new_context(viewport=SIZE)
    with tab(context, server.token_address()) as page:
        page.evaluate(shell(opened.key, "assets", "image"))
        page.get_by_role("row", name="m0").wait_for()
        page.get_by_role("grid").focus()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        page.locator(".line.at", has_text="m1").wait_for()
        page.keyboard.press("Control+a")
        page.get_by_text("2 chosen").wait_for()
        page.keyboard.press("Delete")
        page.get_by_role("dialog").wait_for()
        page.keyboard.press("Escape")
        page.get_by_role("dialog").wait_for(state="detached")
        page.get_by_role("grid").focus()
        page.keyboard.press("Escape")
        page.get_by_text("2 chosen").wait_for(state="detached")
        page.get_by_role("link", name="Actions", exact=True).focus()
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Find CTF").wait_for()
        seen = set()
        for _ in range(60):
            page.keyboard.press("Tab")
            seen.add(page.evaluate("document.activeElement.getAttribute('href') || document.activeElement.tagName"))
        assert any("action/find-ctf" in one for one in seen)
    context.close()
