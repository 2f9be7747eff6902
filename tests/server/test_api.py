"""The interface below /api, over a real server: assets, edits, import, actions, jobs, pictures, picks, maps."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import imagecodecs
import numpy as np
import pytest

from tests.server.running import Running, running
from tests.support.movies import make_movie
from tests.support.picked_projects import picked_project
from verglas.formats import write_mrc, write_tiff_movie
from verglas.project import Project


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("server")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        with running(folder) as one:
            yield one


class Page:
    """What the page does: ask about one project."""

    def __init__(self, client: httpx.Client, folder: Path) -> None:
        self.client = client
        self.key = self.ok(client.post("/api/projects/open", json={"folder": str(folder)}))["key"]

    @staticmethod
    def ok(answer: httpx.Response) -> Any:
        assert answer.status_code == 200, answer.text
        return answer.json()

    def get(self, path: str, **values: Any) -> Any:
        return self.ok(self.client.get(f"/api/projects/{self.key}{path}", params=values))

    def post(self, path: str, **content: Any) -> Any:
        return self.ok(self.client.post(f"/api/projects/{self.key}{path}", json=content))

    def refused(self, path: str, **content: Any) -> str:
        answer = self.client.post(f"/api/projects/{self.key}{path}", json=content)
        assert 400 <= answer.status_code < 500, answer.text
        words: str = answer.json()["error"]
        return words

    def pixels(self, path: str, **values: Any) -> np.ndarray:
        answer = self.client.get(f"/api/projects/{self.key}{path}", params=values)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "image/png"
        return imagecodecs.png_decode(answer.content)


@pytest.fixture(scope="module")
def picked(server: Running, tmp_path_factory: pytest.TempPathFactory) -> Page:
    folder = tmp_path_factory.mktemp("picked")
    project, _ = picked_project(folder)
    project.close()
    return Page(server.client(), folder / "p")


def until(what: Any, seconds: float = 240.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.1)
    return found


def test_a_project_is_made_and_stands_as_it_should(server: Running, tmp_path: Path) -> None:
    client = server.client()
    folder = tmp_path / "new one"
    key = Page.ok(client.post("/api/projects/create", json={"folder": str(folder), "name": "new one"}))["key"]
    found = Page.ok(client.get(f"/api/projects/{key}"))
    assert (found["name"], found["counts"]["movie"], found["owner"]) == ("new one", 0, None)
    assert client.post("/api/projects/create", json={"folder": str(folder)}).status_code == 409
    assert client.post("/api/projects/open", json={"folder": str(tmp_path / "none")}).status_code == 404
    recent = Page.ok(client.get("/api/server"))["recent"]
    assert {"folder": str(folder), "name": "new one"} in recent
    assert Page.ok(client.get(f"/api/projects/{key}/disk"))["free"] > 0
    assert Page.ok(client.post(f"/api/projects/{key}/close", json={})) == {}
    assert client.get(f"/api/projects/{key}").status_code == 404


def test_rows_come_in_pages_sorted_filtered_and_found_by_name(picked: Page) -> None:
    assert picked.get("/assets/image", limit=1)["total"] == 2
    rows = picked.get("/assets/image", sort="name", descending=True)["rows"]
    assert [row["name"] for row in rows] == ["m1", "m0"]
    assert picked.get("/assets/image", name="*1")["total"] == 1
    figures = picked.get("/assets/image/figures")["names"]
    assert "ctf_score" in figures and "ctf_estimation.defocus_u_A" in figures
    assert picked.get("/assets/image", where=["ctf_score > 0.1", "n_x = 400"])["total"] == 2
    assert picked.get("/assets/image/numbers", where="ctf_score < 0.1")["numbers"] == []
    values = picked.get("/assets/image/figures", name="particle_positions.count")
    assert values["values"] == [12.0, 12.0]
    by_figure = picked.get("/assets/image", sort="particle_positions.count")["rows"]
    assert len(by_figure) == 2
    for bad in ({"sort": "nothing"}, {"where": "nonsense"}, {"where": "nothing > 1"}, {"group": "none"}):
        answer = picked.client.get(f"/api/projects/{picked.key}/assets/image", params=bad)
        assert answer.status_code in {400, 404}, answer.text


def test_edits_are_journal_lines_and_are_refused_in_words(picked: Page) -> None:
    line = picked.post("/edit", edit="group.add", kind="image", name="good", members=[1])["line"]
    assert {"id": line["group"], "name": "good", "size": 1} in picked.get("/groups/image")["groups"]
    assert "already" in picked.refused("/edit", edit="group.add", kind="image", name="good", members=[])
    assert "lacks" in picked.refused("/edit", edit="group.add", name="x")
    assert picked.refused("/edit", edit="asset.rename", kind="image", asset=77, name="x")
    picked.post("/edit", edit="group.invert", kind="image", group=line["group"])
    assert picked.get("/assets/image", group=str(line["group"]))["rows"][0]["id"] == 2
    picked.post("/edit", edit="trash.add", items=[{"kind": "positions", "id": 2}])
    trash = picked.get("/trash")["trash"]
    assert picked.get("/assets/positions")["total"] == 1
    picked.post("/edit", edit="trash.restore", trash=trash[0]["id"])
    assert picked.get("/assets/positions")["total"] == 2
    picked.post("/edit", edit="note.add", text="look at this")
    assert picked.get("/notes")["notes"][0]["text"] == "look at this"
    assert picked.get("/history", limit=1)["history"][0]["edit"] == "note.add"


def test_picks_are_previewed_changed_undone_and_redone(picked: Page) -> None:
    before = picked.get("/picks/1")
    assert before["count"] == 12 and not before["can_undo"]
    place = [before["x_A"][3], before["y_A"][3]]
    after = picked.post("/picks/1", remove=[place])
    assert after["count"] == 11 and place[0] not in after["x_A"] and after["can_undo"]
    assert picked.post("/picks/1", add=[[100.0, 120.0]])["count"] == 12
    assert picked.post("/picks/1/undo")["count"] == 11
    redone = picked.post("/picks/1/redo")
    assert redone["count"] == 12 and redone["x_A"][-1] == 100.0 and not redone["can_redo"]
    assert "outside" in picked.refused("/picks/1", add=[[1e6, 0.0]])
    assert "scores" in picked.refused("/picks/1", threshold=3.0)
    assert picked.client.get(f"/api/projects/{picked.key}/picks/99").status_code in {400, 404}


def test_pictures_show_the_first_row_lowest_and_keep_grey_values(picked: Page, tmp_path: Path) -> None:
    image = np.zeros((40, 60), np.float32)
    image[0, :], image[:, 0] = 1.0, 0.5
    write_mrc(tmp_path / "a.mrc", image, 1.0)
    source = f"file:{tmp_path / 'a.mrc'}"
    shown = picked.pixels("/picture", source=source, low=0.0, high=1.0)
    assert shown.shape == (40, 60)
    assert (shown[-1, 1:] == 255).all() and (shown[:-1, 0] == 128).all() and not shown[:-1, 1:].any()
    inverted = picked.pixels("/picture", source=source, low=0.0, high=1.0, invert=True)
    assert np.abs(inverted.astype(int) + shown - 255).max() <= 1
    assert picked.pixels("/picture", source=source, edge=20).shape == (13, 20)
    facts = picked.get("/picture/facts", source=source)
    assert (facts["n_x"], facts["n_y"], facts["pixel_size_A"]) == (60, 40, 1.0)
    assert facts["most"] == 1.0 and sum(facts["histogram"]) <= 2400
    wave = np.sin(2 * np.pi * np.arange(256) / 8)[None, :].repeat(256, 0).astype(np.float32)
    write_mrc(tmp_path / "w.mrc", wave, 1.0)
    amplitudes = picked.pixels("/picture", source=f"file:{tmp_path / 'w.mrc'}", fft=True, high_percent=100)
    y, x = np.unravel_index(amplitudes.argmax(), amplitudes.shape)
    assert abs(abs(int(x) - 128) - 32) <= 1 and abs(int(y) - 127) <= 1
    stack = np.arange(5, dtype=np.float32)[:, None, None] + np.linspace(0, 1, 16, dtype=np.float32)[None, :, None]
    write_mrc(tmp_path / "s.mrcs", np.broadcast_to(stack, (5, 16, 16)).copy(), 1.0)
    strip = picked.pixels("/strip", source=f"file:{tmp_path / 's.mrcs'}", numbers="4,0,2")
    assert strip.shape == (48, 16)
    assert all(strip[16 * part, 0] == 255 and strip[16 * part + 15, 0] == 0 for part in range(3))
    answer = picked.client.get(f"/api/projects/{picked.key}/picture", params={"source": source, "section": 1})
    assert answer.status_code == 400
    nan = np.full((8, 8), np.nan, np.float32)
    write_mrc(tmp_path / "n.mrc", nan, 1.0)
    assert picked.pixels("/picture", source=f"file:{tmp_path / 'n.mrc'}").shape == (8, 8)


def test_maps_keep_their_places_when_binned(picked: Page, tmp_path: Path) -> None:
    volume = np.zeros((40, 40, 40), np.float32)
    volume[4:6, 10:12, 20:22] = 1.0
    write_mrc(tmp_path / "v.mrc", volume, 2.0, is_volume=True)
    source = f"file:{tmp_path / 'v.mrc'}"
    answer = picked.client.get(f"/api/projects/{picked.key}/map", params={"source": source, "edge": 20})
    facts = json.loads(answer.headers["x-map"])
    numbers = np.frombuffer(answer.content, "<u2").reshape(facts["shape"])
    data = facts["least"] + facts["step"] * numbers
    assert (facts["shape"], facts["factor"], facts["pixel_size_A"]) == ([20, 20, 20], 2, 2.0)
    assert np.argwhere(np.abs(data - 1.0) < 1e-4).tolist() == [[2, 5, 10]]
    place_A = (np.array([2, 5, 10]) + 0.5) * 2 * 2.0 - 0.5 * 2.0
    assert place_A.tolist() == [9.0, 21.0, 41.0]  # the middle between voxels 4 and 5, 10 and 11, 20 and 21
    projected = picked.pixels("/view", source=source, what="projection", axis="z")
    assert projected[40 - 11, 20] == 255 and projected[0, 0] == 0
    slice_x = picked.pixels("/view", source=source, axis="x", position=20)
    assert slice_x[40 - 5, 10] == 255
    bad = picked.client.get(f"/api/projects/{picked.key}/view", params={"source": source, "position": 40})
    assert bad.status_code == 400


def test_import_checks_the_first_header_and_takes_files_in(server: Running, tmp_path: Path) -> None:
    Project.create(tmp_path / "p").close()
    page = Page(server.client(), tmp_path / "p")
    for number in range(3):
        made = make_movie(np.random.default_rng(number), shape=(64, 96), frames=4, contrast=0.2)
        write_tiff_movie(tmp_path / f"m{number}.tif", iter(made.frames))
    (tmp_path / "m3.tif").write_bytes(b"nonsense")
    form = page.get("/import/movie")
    assert "pixel_size_A" in form["parameters"]["properties"] and ".tif" in form["endings"]
    check = page.post("/import/movie/check", patterns=[str(tmp_path / "m?.tif")])
    assert check["count"] == 4
    assert (check["header"]["n_x"], check["header"]["n_y"], check["header"]["n_sections"]) == (96, 64, 4)
    assert "choose files" in page.post("/import/movie/check", patterns=[])["error"]
    assert "no such file" in page.post("/import/movie/check", patterns=[str(tmp_path / "x*.tif")])["error"]
    fields = {"pixel_size_A": 1.1, "voltage_kV": 300, "cs_mm": 2.7, "dose_per_frame_e_A2": 1.0}
    wrong = page.refused("/import/movie", patterns=[str(tmp_path / "m0.tif")], fields={"pixel_size_A": -1})
    assert "pixel_size_A" in wrong
    report = page.post("/import/movie", patterns=[str(tmp_path / "m?.tif")], fields=fields)
    assert report["imported"] == 3 and list(report["problems"]) == [str(tmp_path / "m3.tif")]
    assert page.get("/import/movie")["remembered"]["voltage_kV"] == 300
    listed = page.ok(page.client.get("/api/files", params={"folder": str(tmp_path), "endings": ".tif"}))
    assert [one["name"] for one in listed["files"]] == [f"m{number}.tif" for number in range(4)]
    assert {"name": "p", "project": True} in listed["folders"]

    actions = page.ok(page.client.get("/api/actions"))["actions"]
    assert actions[0]["name"] == "align-movies"
    plan = page.post("/actions/align-movies/estimate", inputs={"movies": {"group": 0}})
    assert plan["inputs"] == {"movies": 3} and plan["estimate"]["memory_bytes"] > 0
    assert "max_shift_A" in page.post("/actions/align-movies/estimate", parameters={"max_shift_A": -1})["error"]
    assert "no images" in page.refused("/actions/find-ctf/start")
    wanted = {"inputs": {"movies": {"numbers": [1, 2]}}, "running": {"workers": 1, "threads": 1}}

    heard: list[dict[str, Any]] = []
    listening, enough = threading.Event(), threading.Event()

    def listen() -> None:
        with page.client.stream("GET", "/api/news", timeout=60) as stream:
            for line in stream.iter_lines():
                listening.set()
                if line.startswith("data: "):
                    heard.append(json.loads(line[6:]))
                if enough.is_set():
                    return

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    assert listening.wait(10)
    job = page.post("/actions/align-movies/start", parameters={"max_shift_A": 20}, **wanted)["job"]
    until(lambda: page.get("/jobs")["jobs"][0]["state"] == "done")
    until(lambda: page.get("/assets/image")["total"] == 2)
    enough.set()
    page.post("/edit", edit="note.add", text="so that the stream says something more")
    thread.join(15)
    mine = [one for one in heard if one.get("project") == page.key]
    assert {one["job"]["state"] for one in mine if one["kind"] == "job"} >= {"running", "done"}
    assert any(one["kind"] == "project" for one in mine)

    whole = page.get(f"/jobs/{job}")
    assert whole["state"] == "done" and len(whole["ids"]) == 2 and whole["parameters"]["max_shift_A"] == 20
    assert page.get(f"/jobs/{job}/log")["offset"] >= 0
    assert "messages" in page.get(f"/jobs/{job}/figures")
    assert "done" in page.refused(f"/jobs/{job}/resume") and page.refused(f"/jobs/{job}/explode")
    image = page.get("/assets/image/1")
    active = [one for one in image["results"] if one["active"]]
    assert active[0]["kind"] == "movie_alignment"
    assert page.pixels("/picture", source=f"result:{active[0]['id']}:spectrum").ndim == 2
    again = page.post("/actions/align-movies/start", **wanted, clone_of=job)["job"]
    until(lambda: page.get("/assets/movie/1")["results"][-1]["job"] == again)
    until(lambda: page.get("/jobs")["jobs"][0]["state"] == "done")
    page.post("/edit", edit="result.activate", job=job, kind="movie_alignment")
    for movie in (1, 2):
        active = [one["job"] for one in page.get(f"/assets/movie/{movie}")["results"] if one["active"]]
        assert active == [job]
    assert page.get("/graph")["edges"] == []


def test_edits_go_through_another_owner_and_come_back(server: Running, tmp_path: Path) -> None:
    with Project.create(tmp_path / "p") as owner:
        page = Page(server.client(), tmp_path / "p")
        assert "process" in page.get("")["owner"]
        page.post("/edit", edit="note.add", text="from the page")
        assert [note["text"] for note in owner.notes()] == ["from the page"]
    page.post("/edit", edit="note.add", text="alone now")
    assert len(page.get("/notes")["notes"]) == 2


def test_run_profiles_are_kept_tested_and_removed(picked: Page) -> None:
    client = picked.client
    names = [one["name"] for one in Page.ok(client.get("/api/profiles"))["profiles"]]
    assert names[0] == "Default Local"
    profile = {"name": "mine", "commands": [{"command": "$command", "copies": 1, "threads": 1}]}
    Page.ok(client.post("/api/profiles/save", json={"profile": profile}))
    assert client.post("/api/profiles/save", json={"profile": profile}).status_code == 400
    bad = {**profile, "name": "bad", "manager_command": "sleep 1"}
    assert "$command" in client.post("/api/profiles/save", json={"profile": bad}).json()["error"]
    workers = picked.post("/profiles/test", name="mine", workers=1)["workers"]
    assert len(workers) == 1 and workers[0]["threads"] == 1
    Page.ok(client.post("/api/profiles/remove", json={"name": "mine"}))
    assert client.post("/api/profiles/remove", json={"name": "Default Local"}).status_code == 400


def test_streams_are_bounded_and_given_back(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("verglas.server.news.MOST_STREAMS", 2)
    client = server.client()
    until(lambda: server.workspace.news.streams == 0)
    with client.stream("GET", "/api/news") as one, client.stream("GET", "/api/news") as two:
        assert (one.status_code, two.status_code) == (200, 200)
        assert client.get("/api/news").status_code == 409
    until(lambda: server.workspace.news.streams == 0)
