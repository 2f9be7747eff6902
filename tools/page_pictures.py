"""Pictures of every page for docs/gui.md: ``python -m tools.page_pictures PROJECT`` (needs chromium)."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from verglas.project import Project

FOLDER = Path(__file__).parents[1] / "docs" / "images" / "gui"
PAGES = {
    "overview": "", "assets": "/assets/image", "packages": "/assets/package", "import": "/import/movie",
    "actions": "/actions", "action": "/action/align-movies", "preview": "/action/find-particles?clone=PICKING",
    "jobs": "/jobs", "job": "/job/JOB", "alignment": "/results/alignment", "ctf": "/results/ctf",
    "picks": "/results/picks", "classes": "/results/classes?at=CLASSES",
    "refinement": "/results/refinements?at=REFINEMENT", "particles": "/results/refinements?at=REFINEMENT",
    "maps": "/results/maps?at=VOLUME", "viewer": "/viewer?source=asset:package:1",
    "map": "/map?source=asset:volume:VOLUME", "settings": "/settings",
}  # fmt: skip
CLICKS = {
    "packages": ("button", "New package"), "jobs": ("tab", "What came from what"), "particles": ("tab", "Particles"),
    "viewer": ("button", "Many at once"), "map": ("checkbox", "Show the focus sphere"),
}  # fmt: skip
"""What is pressed before a page's picture is taken."""
DARK = ("overview", "refinement", "map")
PATIENCE_MS = 2600


def newest(project: Path) -> dict[str, str]:
    """Return what stands for the latest of each kind in addresses."""
    with Project.open(project) as opened:
        last = {kind: (opened.assets(kind) or [{"id": 1}])[-1]["id"] for kind in ("volume", "refinement")}
        sharpened = opened.assets("volume", name="*Sharpened")
        last["volume"] = sharpened[-1]["id"] if sharpened else last["volume"]
        movies = str(Path(opened.assets("movie")[0]["path"]).parent)
        sizes = [(one["particles_used"], one["id"]) for one in opened.assets("classification")]
        jobs, picking = (
            sorted(int(path.name[:6]) for path in opened.layout.jobs.glob(f"[0-9]*-{action}")) or [1]
            for action in ("auto-refine", "find-particles")
        )
    return {"VOLUME": str(last["volume"]), "REFINEMENT": str(last["refinement"]), "JOB": str(jobs[-1]),
            "PICKING": str(picking[-1]), "MOVIES": movies, "CLASSES": str(max(sizes, default=(0, 1))[1])}  # fmt: skip


def save(page: Page, name: str) -> None:
    """Write a picture of what the page shows, in few colours so that it is small."""
    path = FOLDER / f"{name}.png"
    page.screenshot(path=path)
    with Image.open(path) as image:
        image.convert("RGB").quantize(192).save(path, optimize=True)


def main(project: Path) -> None:
    """Open a project and go through its pages."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    latest = newest(project)
    command = [sys.executable, "-m", "verglas", "serve", "--json", "--project", str(project)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        with sync_playwright() as driver:
            browser = driver.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox", "--enable-unsafe-swiftshader"]
            )
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.goto(json.loads(server.stdout.readline())["url"])
            page.locator(".project-line").first.click()
            page.wait_for_timeout(1000)
            key = page.evaluate("location.hash.split('/')[2]")
            page.evaluate("folder => localStorage.setItem('verglas-folder', folder)", latest["MOVIES"])
            for scheme, names in (("light", tuple(PAGES)), ("dark", DARK)):
                page.emulate_media(color_scheme=scheme)
                for name in names:
                    path = PAGES[name]
                    for word, number in latest.items():
                        path = path.replace(word, number)
                    page.evaluate("address => { location.hash = address; }", f"#/p/{key}{path}")
                    page.wait_for_timeout(PATIENCE_MS)
                    if name in CLICKS:
                        role, words = CLICKS[name]
                        page.get_by_role(role, name=words, exact=True).click()
                    if name == "map":
                        page.get_by_text("triangles").wait_for(timeout=120_000)
                    if name == "import":
                        page.locator(".file-list [role=option]").filter(has_text="movie_0001").click()
                    if name == "preview":
                        page.get_by_text("by these values").wait_for(timeout=60_000)
                        page.locator("main").evaluate("main => main.scrollBy(0, 230)")
                    page.wait_for_timeout(PATIENCE_MS // 2)
                    save(page, name if scheme == "light" else f"{name}-dark")
            browser.close()
    finally:
        server.terminate()
        server.wait(20)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
