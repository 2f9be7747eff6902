"""From an empty folder to a sharpened map by clicks alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.server.pages import SIZE
from tests.server.running import Running
from tests.support.browser import tab
from verglas.formats import write_mrc
from verglas.project import Project
from verglas.stages.simulation import MovieParameters, make_density, read_atoms, simulate_movies

MOVIES = MovieParameters(
    movies=2, width=640, height=640, frames=5, particles=9, model="apoferritin", seed=1, pixel_size_A=2.0
)
ABOUT = {"pixel_size_A": "2", "voltage_kV": "300", "cs_mm": "2.7", "dose_per_frame_e_A2": "1"}


def run_action(
    page: Any, title: str, fields: dict[str, str], *, number: int, inputs: dict[str, str] | None = None
) -> None:
    """Go to an action by its card, choose inputs, fill in fields, start it, and wait until its job is done."""
    page.get_by_role("link", name="Actions", exact=True).first.click()
    page.get_by_role("heading", name=title, exact=True).click()
    page.get_by_role("heading", name="Parameters").wait_for()
    for name, value in (inputs or {}).items():
        page.locator(f"#input-{name}").select_option(value)
    for name, value in fields.items():
        box = page.locator(f"#field-{name}")
        if box.count() == 0:
            page.get_by_role("button", name="Expert options").click()
        box.wait_for()
        if box.get_attribute("type") == "checkbox":
            box.set_checked(value == "yes")
        else:
            box.fill(value)
    page.get_by_text("Memory").first.wait_for()
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_role("heading", name=f"{title} #{number}").wait_for()
    page.locator(".page-head .pill", has_text="done").wait_for(timeout=120_000)


@pytest.mark.timeout(600)
def test_from_an_empty_folder_to_a_sharpened_map(browser: Any, server: Running, tmp_path: Path) -> None:
    made = simulate_movies(MOVIES, tmp_path / "movies", threads=1)
    density = make_density(read_atoms(MOVIES), 48, 6.0, solvent_density=MOVIES.solvent_density)
    write_mrc(tmp_path / "movies" / "start.mrc", density, 6.0, is_volume=True)
    context = browser.new_context(viewport=SIZE)
    context.add_init_script(
        f"localStorage.getItem('verglas-folder') || localStorage.setItem('verglas-folder', '{tmp_path}')"
    )
    with tab(context, server.token_address()) as page:
        assert "token" not in page.url
        page.get_by_role("button", name="New project").click()
        page.get_by_placeholder("apoferritin").fill("first")
        page.get_by_role("button", name="Make project").click()
        page.get_by_role("link", name="Import your movies").click()
        page.get_by_role("button", name="movies", exact=True).click()
        page.get_by_role("option", name=made.images[0].name).click()
        page.get_by_text("640 × 640 × 5").wait_for()
        page.get_by_label("Pattern").fill("movie_*.tif")
        page.get_by_text("2 files").first.wait_for()
        for name, value in ABOUT.items():
            page.fill(f"#field-{name}", value)
        page.fill("#field-gain", str(made.gain))
        page.get_by_role("button", name="Import 2 files").click()
        page.get_by_role("row", name="movie_0002").wait_for()

        page.get_by_role("link", name="Overview").click()
        page.get_by_role("link", name="Align Movies").click()  # what to do next
        page.fill("#field-max_shift_A", "-3")
        page.get_by_text("out of their limits").wait_for()
        page.fill("#field-max_shift_A", "30")
        page.get_by_text("Memory").wait_for()
        page.get_by_role("button", name="Start", exact=True).click()
        page.get_by_role("heading", name="Align Movies #1").wait_for()
        page.locator(".page-head .pill", has_text="done").wait_for(timeout=120_000)
        page.get_by_text("Total motion").first.wait_for()
        run_action(page, "Find CTF", {}, number=2)
        page.get_by_role("heading", name="Defocus").wait_for()

        page.get_by_role("link", name="Actions", exact=True).first.click()
        page.get_by_role("heading", name="Find Particles", exact=True).click()
        page.get_by_text("particles by these values").wait_for(timeout=60_000)
        page.fill("#field-threshold", "500")
        page.get_by_text("0 particles by these values").wait_for()
        run_action(page, "Find Particles", {"radius_A": "60", "max_radius_A": "70", "threshold": "4"}, number=3)

        page.get_by_role("link", name="Assets").click()
        page.get_by_role("link", name="Packages").click()
        page.get_by_role("button", name="New package").click()
        page.get_by_role("link", name="Picked particles").click()
        page.get_by_role("heading", name="Create Package").wait_for()
        run_action(
            page,
            "Create Package",
            {"largest_dimension_A": "130", "symmetry": "O", "output_pixel_size_A": "6"},
            number=4,
        )
        run_action(page, "Classify 2D", {"classes": "2", "rounds": "2"}, number=5)

        page.get_by_role("link", name="Results").click()
        page.get_by_role("link", name="2D classes").click()
        for name in ("Class 1", "Class 2"):
            page.get_by_role("option", name=name).click(modifiers=["Control"])
        page.get_by_text("2 classes selected").wait_for()
        page.get_by_role("button", name="Keep selection").click()
        page.get_by_role("dialog").get_by_role("textbox").fill("good ones")
        page.get_by_role("button", name="Save").click()
        page.get_by_role("cell", name="good ones").wait_for()
        run_action(page, "Package From Classes", {}, number=6)

        page.get_by_role("link", name="Assets").click()
        page.get_by_role("link", name="Maps", exact=True).click()
        page.get_by_role("link", name="Import").first.click()
        page.get_by_role("option", name="start.mrc").click()
        page.get_by_role("button", name="Import 1 file").click()
        page.get_by_role("row", name="start").wait_for()
        run_action(page, "Auto Refine", {"rounds": "2", "auto_mask": "no"}, number=7, inputs={"reference": "a1"})
        page.get_by_role("heading", name="Directions of view").wait_for()
        page.get_by_role("heading", name="Round 2").wait_for()
        page.get_by_role("link", name="Open", exact=True).click()
        page.get_by_role("heading", name="Auto #7 (Rnd. 2)").wait_for()
        page.get_by_role("combobox", name="Compare with").select_option(index=1)
        page.get_by_text("Auto #7 (Rnd. 1)", exact=True).wait_for()  # its views stand beside
        page.get_by_role("tab", name="Figures").click()
        page.get_by_role("columnheader", name="Auto #7 (Rnd. 1)").wait_for()
        page.get_by_role("tab", name="Particles").click()
        page.get_by_role("columnheader", name="Theta").wait_for()

        run_action(page, "Sharpen 3D", {}, number=8)
        page.get_by_role("link", name="3D map").click()
        page.get_by_text("triangles").wait_for()
    context.close()
    with Project.open(tmp_path / "first") as project:
        assert [one["name"] for one in project.assets("selection")] == ["good ones"]
        packages = project.assets("package")
        assert len(packages) == 2 and packages[1]["count"] == packages[0]["count"] >= 12
        assert project.assets("refinement")[-1]["package"] == 2
        sharpened = project.assets("volume")[-1]
        assert sharpened["parent_volume"] is not None and (project.folder / sharpened["path"]).is_file()
        request = json.loads((project.folder / "Jobs" / "000001-align-movies" / "request.json").read_text())
        assert request["parameters"]["max_shift_A"] == 30
