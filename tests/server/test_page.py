"""The page in a real browser, by clicks: an empty folder to aligned movies, picks, maps, tabs and browsers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.project.test_class_selections import VALUES
from tests.server.pages import SIZE, shell
from tests.server.running import Running
from tests.support.browser import tab
from tests.support.picked_projects import picked_project
from verglas.formats import ParticleTable, write_mrc
from verglas.project import Project


def test_picks_change_by_clicks_and_come_back(browser: Any, server: Running, tmp_path: Path) -> None:
    picked_project(tmp_path)[0].close()
    opened = server.workspace.open(tmp_path / "p")
    context = browser.new_context(viewport=SIZE)
    with tab(context, server.token_address()) as page:
        page.evaluate(shell(opened.key, "results", "picks?at=1"))
        page.get_by_role("heading", name="12 particles").wait_for()
        canvas = page.get_by_role("img", name="Micrograph m0 with picks")
        page.wait_for_timeout(500)
        box = canvas.bounding_box()
        image = opened.project.asset("image", 1)
        picks = server.client().get(f"/api/projects/{opened.key}/picks/1").json()
        scale = min(box["width"] / image["n_x"], box["height"] / image["n_y"])
        x = picks["x_A"][0] / image["pixel_size_A"] + 0.5
        y = picks["y_A"][0] / image["pixel_size_A"] + 0.5
        left = (box["width"] - image["n_x"] * scale) / 2
        top = (box["height"] - image["n_y"] * scale) / 2
        canvas.click(position={"x": left + x * scale, "y": top + (image["n_y"] - y) * scale})
        page.get_by_role("heading", name="11 particles").wait_for()
        after = server.client().get(f"/api/projects/{opened.key}/picks/1").json()
        assert picks["x_A"][0] not in after["x_A"]
        page.get_by_role("button", name="Undo").click()
        page.get_by_role("heading", name="12 particles").wait_for()
        page.get_by_role("button", name="Redo").click()
        page.get_by_role("heading", name="11 particles").wait_for()
    context.close()


def test_eight_tabs_share_one_stream_and_two_browsers_see_the_same(
    browser: Any, server: Running, tmp_path: Path
) -> None:
    picked_project(tmp_path)[0].close()
    opened = server.workspace.open(tmp_path / "p")
    first, second = browser.new_context(viewport=SIZE), browser.new_context(viewport=SIZE)
    with tab(first, server.token_address()) as page:
        others = [first.new_page() for _ in range(7)]
        for other in others:
            other.goto(f"{server.address}/#/p/{opened.key}")
            other.get_by_role("heading", name="p", exact=True).wait_for()
        page.wait_for_timeout(500)
        assert server.workspace.news.streams == 1
        with tab(second, server.token_address()) as elsewhere:
            elsewhere.evaluate(shell(opened.key))
            elsewhere.get_by_placeholder("Write a note").fill("seen everywhere")
            elsewhere.get_by_role("button", name="Add").click()
            elsewhere.locator(".note", has_text="seen everywhere").wait_for()
            for other in others:
                other.locator(".note", has_text="seen everywhere").wait_for()
            assert server.workspace.news.streams == 2
        page.close()
        opened.project.edit({"edit": "note.add", "text": "another tab leads now"})
        others[3].locator(".note", has_text="another tab leads now").wait_for()
    first.close()
    second.close()


def test_classes_are_selected_by_clicks_and_kept(browser: Any, server: Running, tmp_path: Path) -> None:
    with Project.create(tmp_path / "p") as project:
        made = project.layout.scratch
        averages = np.random.default_rng(1).standard_normal((4, 32, 32)).astype(np.float32)
        write_mrc(made / "a.mrcs", averages, 1.5)
        table = ParticleTable.empty(9, {"class_number": [1, 1, 1, 2, 2, 3, 3, 4, 4], "image_section": range(1, 10)})
        table.save(made / "a.npy")
        project.edit({"edit": "result.take-in", "results": [{
            "job": None, "key": "round-1", "kind": "classification", "of": None, "values": VALUES,
            "files": {"averages": "Scratch/a.mrcs", "particles": "Scratch/a.npy"},
        }]})  # fmt: skip
    opened = server.workspace.open(tmp_path / "p")
    context = browser.new_context(viewport=SIZE)
    with tab(context, server.token_address()) as page:
        page.evaluate(shell(opened.key, "results", "classes"))
        page.get_by_role("option", name="Class 3").click(modifiers=["Control"])
        page.get_by_role("option", name="Class 1").click(modifiers=["Control"])
        page.get_by_text("2 classes selected").wait_for()
        page.get_by_role("button", name="Keep selection").click()
        page.get_by_role("textbox", name="Name of the 2 classes selected").fill("good ones")
        page.get_by_role("button", name="Save").click()
        page.get_by_role("cell", name="good ones").wait_for()
        found = opened.project.assets("selection")
        assert [(one["name"], one["members"]) for one in found] == [("good ones", [1, 3])]
        page.get_by_role("button", name="Invert").click()
        page.get_by_role("button", name="Put these in").click()
        page.get_by_role("cell", name="2, 4", exact=True).wait_for()
    context.close()


def test_a_hundred_thousand_rows_are_fast(browser: Any, server: Running, tmp_path: Path) -> None:
    with Project.create(tmp_path / "p") as project:
        for part in range(10):
            records = [
                {"name": f"movie_{number:06d}", "path": f"/data/movie_{number:06d}.tif", "n_x": 4096, "n_y": 4096,
                 "n_frames": 40, "pixel_size_A": 1.0, "voltage_kV": 300.0, "cs_mm": 2.7}
                for number in range(part * 10_000, (part + 1) * 10_000)
            ]  # fmt: skip
            project.edit({"edit": "asset.import", "kind": "movie", "records": records})
    opened = server.workspace.open(tmp_path / "p")
    context = browser.new_context(viewport=SIZE)
    with tab(context, server.token_address()) as page:
        page.evaluate(shell(opened.key, "assets", "movie"))
        page.get_by_text("100,000 movies").wait_for()
        assert page.locator(".table .line").count() < 100
        began = time.monotonic()
        page.locator(".table .scroll").evaluate("(box) => { box.scrollTop = box.scrollHeight; }")
        page.get_by_role("row", name="movie_099999").wait_for()
        assert time.monotonic() - began < 5
    context.close()
