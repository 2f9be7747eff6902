"""Time the browser page on a large project: first paint, a click to a micrograph, a map of 256 voxels a side."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import BrowserContext, Page, sync_playwright
from tools.measured import record

from verglas.formats import ParticleTable, write_mrc
from verglas.project import Project
from verglas.project.import_coordinates import POSITIONS
from verglas.project.import_others import import_volumes

IMAGES, PARTICLES_EACH, EDGE_PX, SCALED_PX, BOX = 10_000, 30, 4096, 1200, 256
REPEATS = 7
WANTED_SECONDS = {"first_paint": 1.0, "click_to_micrograph": 0.3, "map_on_screen": 3.0}
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--enable-unsafe-swiftshader"]

# Notes when what a selector names is there, and nothing that a second one names, after the next frame was drawn.
WATCH = """(() => {
  window.noted = (there, gone) => new Promise((done) => {
    const look = () => {
      if (!document.querySelector(there) || (gone && document.querySelector(gone))) return false;
      requestAnimationFrame(() => setTimeout(() => done(performance.now()), 0));
      return true;
    };
    if (look()) return;
    const watch = new MutationObserver(() => { if (look()) watch.disconnect(); });
    watch.observe(document, { childList: true, subtree: true, attributes: true, characterData: true });
  });
  addEventListener("mousedown", () => { window.pressed = performance.now(); }, true);
})();"""


def make_micrographs(folder: Path) -> None:
    """Write one made micrograph and its small copy, each under the names of all images, as links."""
    noise = np.random.default_rng(1).standard_normal((EDGE_PX, EDGE_PX)).astype(np.float32)
    (folder / "scaled").mkdir(parents=True)
    write_mrc(folder / "whole.mrc", noise, 1.0)
    write_mrc(folder / "small.mrc", noise[:SCALED_PX, :SCALED_PX].copy(), EDGE_PX / SCALED_PX)
    for number in range(1, IMAGES + 1):
        os.link(folder / "whole.mrc", folder / f"m{number:05d}.mrc")
        os.link(folder / "small.mrc", folder / "scaled" / f"m{number:05d}.mrc")


def make_project(folder: Path) -> None:
    """Make a project of 10,000 micrographs with CTF and picks, a package of all particles, and a map."""
    make_micrographs(folder / "data")
    random = np.random.default_rng(2)
    with Project.create(folder / "large") as project:
        project.edit({"edit": "asset.import", "kind": "image", "records": [
            {"name": f"m{number:05d}", "path": str(folder / "data" / f"m{number:05d}.mrc"), "n_x": EDGE_PX,
             "scaled_path": str(folder / "data" / "scaled" / f"m{number:05d}.mrc"), "n_y": EDGE_PX,
             "pixel_size_A": 1.0, "voltage_kV": 300.0, "cs_mm": 2.7, "protein_is_white": 0}
            for number in range(1, IMAGES + 1)
        ]})  # fmt: skip
        made = project.layout.scratch
        for first in range(1, IMAGES + 1, 500):
            results: list[dict[str, Any]] = []
            for number in range(first, first + 500):
                defocus = float(random.uniform(8000, 25000))
                results.append({
                    "job": None, "key": f"ctf-{number}", "kind": "ctf_estimation",
                    "of": {"kind": "image", "id": number}, "files": {}, "values": {
                        "defocus_u_A": defocus, "defocus_v_A": defocus - 200, "defocus_angle_deg": 10.0, "score": 0.1,
                        "phase_shift_deg": 0.0, "amplitude_contrast": 0.07, "fit_resolution_A": 4.0,
                    },
                })  # fmt: skip
                picks = np.zeros(PARTICLES_EACH, POSITIONS)
                picks["x_A"], picks["y_A"] = random.uniform(100, EDGE_PX - 100, (2, PARTICLES_EACH))
                np.save(made / f"{number}.npy", picks)
                results.append({
                    "job": None, "key": f"picks-{number}", "kind": "particle_positions",
                    "of": {"kind": "image", "id": number}, "files": {"positions": f"Scratch/{number}.npy"},
                    "values": {"count": PARTICLES_EACH, "radius_A": 80.0},
                })  # fmt: skip
            project.edit({"edit": "result.take-in", "results": results})
        count = IMAGES * PARTICLES_EACH
        table = ParticleTable.empty(count, {"image_section": np.arange(1, count + 1)})
        table.save(made / "particles.npy")
        project.edit({"edit": "result.take-in", "results": [{
            "job": None, "key": "package", "kind": "refinement_package", "of": None,
            "files": {"particles": "Scratch/particles.npy"},
            "values": {"stack_path": str(folder / "data" / "whole.mrc"), "count": count, "micrographs": IMAGES,
                       "box_px": 256, "pixel_size_A": 1.0, "symmetry": "C1", "classes": 1},
        }]})  # fmt: skip
        write_mrc(folder / "map.mrc", made_map(), 1.0, is_volume=True)
        import_volumes(project, [str(folder / "map.mrc")])


def made_map() -> np.ndarray:
    """Return a map of many blobs: some hundred thousand triangles at the level that is shown first."""
    random = np.random.default_rng(3)
    volume = np.zeros((BOX,) * 3, np.float32)
    reach = np.arange(-16, 17)
    z, y, x = np.meshgrid(reach, reach, reach, indexing="ij")
    blob = np.exp(-(x**2 + y**2 + z**2) / 40.0).astype(np.float32)
    for place in np.clip(random.normal(BOX // 2, BOX / 9, (400, 3)), 17, BOX - 18).astype(int):
        volume[tuple(slice(one - 16, one + 17) for one in place)] += blob
    return volume + 0.02 * random.standard_normal(volume.shape).astype(np.float32)


def first_paint(context: BrowserContext, address: str, there: str) -> float:
    """Return the seconds from going to an address, with nothing kept by the browser, to what is useful on it."""
    page = context.new_page()
    page.add_init_script(WATCH)
    page.goto(address, wait_until="commit")
    seconds = float(page.evaluate("(there) => window.noted(there)", there)) / 1000
    page.close()
    return seconds


def click_to_micrograph(page: Page, name: str) -> float:
    """Return the seconds from pressing on a row to its micrograph with its picks."""
    page.get_by_label("Find by name").fill(name)
    row = page.get_by_role("row", name=name)
    row.wait_for()
    box = row.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 20, box["y"] + 10)
    page.evaluate(
        """(name) => { window.done = window.noted(`canvas[aria-label="Micrograph ${name} with picks"]`,
                       ".busy-mark").then((at) => at - window.pressed); }""",
        name,
    )
    page.mouse.down()
    seconds = float(page.evaluate("window.done")) / 1000
    page.mouse.up()
    return seconds


def map_on_screen(context: BrowserContext, address: str) -> tuple[float, int]:
    """Return the seconds from the address of the 3D page, nothing kept, to the surface on the screen; its triangles."""
    page = context.new_page()
    page.add_init_script(WATCH)
    page.goto(address, wait_until="commit")
    seconds = float(page.evaluate(
        """async () => { await window.noted(".map-view canvas[data-triangles]");
          const gl = document.querySelector(".map-view canvas").getContext("webgl2");
          gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));  // waits until all was drawn
          return performance.now(); }"""
    )) / 1000  # fmt: skip
    triangles = int(page.locator(".map-view canvas").get_attribute("data-triangles") or 0)
    page.close()
    return seconds, triangles


def measure(folder: Path) -> dict[str, Any]:
    """Return all times in seconds: medians, and the slowest."""
    make_project(folder)
    command = [sys.executable, "-m", "verglas", "serve", "--json", "--project", str(folder / "large")]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    times: dict[str, list[float]] = {}
    try:
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            context = browser.new_context(viewport={"width": 1280, "height": 800})
            page = context.new_page()
            page.goto(json.loads(server.stdout.readline())["url"])
            page.locator(".project-line").first.click()
            page.locator(".tile").first.wait_for()
            key = page.evaluate("location.hash.split('/')[2]")
            base = f"{page.evaluate('location.origin')}/#/p/{key}"
            state = context.storage_state()
            context.close()
            for name, path, there in (
                ("overview", "", ".tile .big"), ("images", "/assets/image", ".table .line .strong"),
                ("picks", "/results/picks", ".table .line .num"),
                ("packages", "/assets/package", ".table .line .strong"),
            ):  # fmt: skip
                for _ in range(REPEATS):
                    cold = browser.new_context(viewport={"width": 1280, "height": 800}, storage_state=state)
                    times.setdefault(f"first_paint_{name}", []).append(first_paint(cold, base + path, there))
                    cold.close()
            context = browser.new_context(viewport={"width": 1280, "height": 800}, storage_state=state)
            page = context.new_page()
            page.add_init_script(WATCH)
            page.goto(f"{base}/results/picks?at=1")
            page.locator('canvas[aria-label="Micrograph m00001 with picks"]').wait_for()
            for number in range(1000, 1000 + 700 * REPEATS, 700):
                times.setdefault("click_to_micrograph", []).append(click_to_micrograph(page, f"m{number:05d}"))
            context.close()
            triangles = 0
            for _ in range(REPEATS):
                cold = browser.new_context(viewport={"width": 1280, "height": 800}, storage_state=state)
                seconds, triangles = map_on_screen(cold, f"{base}/map?source=asset:volume:1")
                times.setdefault("map_on_screen", []).append(seconds)
                cold.close()
            browser.close()
    finally:
        server.terminate()
        server.wait(20)
    seconds = {name: round(statistics.median(found), 3) for name, found in times.items()}
    return {
        "micrographs": IMAGES, "particles": IMAGES * PARTICLES_EACH, "map_voxels_a_side": BOX, "triangles": triangles,
        "repeats": REPEATS, "wanted_seconds": WANTED_SECONDS, "median_seconds": seconds,
        "slowest_seconds": {name: round(max(found), 3) for name, found in times.items()},
        "reached": {wanted: all(value < limit for name, value in seconds.items() if name.startswith(wanted))
                    for wanted, limit in WANTED_SECONDS.items()},
        "renderer": "chromium without a GPU: WebGL2 by SwiftShader on the processor",
    }  # fmt: skip


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder))
    record("page_benchmark", figures)


if __name__ == "__main__":
    main()
