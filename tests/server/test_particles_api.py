"""Tables of particles, refinements, packages in and out, and picks previewed, over a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.engine.particles import make_particles
from tests.server.running import Running, running
from tests.support.picked_projects import picked_project
from verglas.formats import write_mrc, write_particles
from verglas.project import Project

BOX, PIXEL_A = 16, 4.0


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, str, Path, Running]]:
    folder = tmp_path_factory.mktemp("particles")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        table, _ = make_particles(folder, 40, BOX, PIXEL_A, symmetry="C1", noise=1.0)
        write_particles(table, folder / "particles.star")
        Project.create(folder / "p").close()
        with running(folder / "server", browse=(folder,)) as one:
            client = one.client()
            key = client.post("/api/projects/open", json={"folder": str(folder / "p")}).json()["key"]
            fields = {"largest_dimension_A": 40.0, "symmetry": "C1"}
            asked = {"patterns": [str(folder / "particles.star")], "fields": fields}
            check = client.post(f"/api/projects/{key}/import/package/check", json=asked).json()
            assert check["header"]["particles"] == 40 and check["header"]["stack_count"] == 1
            made = client.post(f"/api/projects/{key}/import/package", json=asked)
            assert made.status_code == 200 and made.json()["imported"] == 1, made.text
            yield client, f"/api/projects/{key}", folder, one


def ok(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()


def add_refinement(project: Project) -> None:
    """Record a refinement of two classes, as a job would."""
    folder = project.layout.scratch / "round"
    folder.mkdir(parents=True, exist_ok=True)
    files, details = {}, []
    from verglas.formats import ParticleTable

    whole = ParticleTable.load(project.folder / project.asset("package", 1)["particles_path"])
    for number in (1, 2):
        table = whole.copy()
        table["occupancy"] = np.where(np.arange(len(table)) < 10 * number, 100.0, 0.0)
        table["rot_deg"], table["tilt_deg"] = 10.0, 30.0 if number == 1 else 150.0
        table["score"] = np.arange(len(table))
        table.save(folder / f"{number}.npy")
        files[f"particles_{number}"] = f"Scratch/round/{number}.npy"
        write_mrc(project.folder / f"volume_{number}.mrc", np.zeros((8, 8, 8), np.float32), 1.0, is_volume=True)
        details.append({"volume_key": f"round-1-class-{number}", "volume_path": f"volume_{number}.mrc",
                        "half_map_1_path": None, "half_map_2_path": None, "statistics_path": None,
                        "resolution_A": 9.0 + number, "average_occupancy": 25.0 * number})  # fmt: skip
    project.edit({"edit": "result.take-in", "results": [{
        "job": None, "key": "round-1", "kind": "refinement", "of": None, "files": files, "values": {
            "name": "Auto #1 (Rnd. 1)", "package": 1, "method": "auto", "symmetry": "C1", "classes": 2, "round": 1,
            "rounds": 1, "limit_A": 12.0, "particles_used": 40, "resolution_A": 10.0, "details": details,
            "percent_changing_class": 12.5,
        },
    }]})  # fmt: skip


def test_rows_histograms_and_directions_of_a_refinement(client: tuple[httpx.Client, str, Path, Running]) -> None:
    http, path, _, server = client
    project = server.workspace.all_open()[0].project
    add_refinement(project)
    found = ok(http.get(f"{path}/refinement/1"))
    assert [one["resolution_A"] for one in found["classes"]] == [10.0, 11.0]
    assert found["rounds"] == [{"id": 1, "round": 1, "limit_A": 12.0, "resolution_A": 10.0}]
    assert found["percent_changing_class"] == [12.5]
    # Its maps are no volumes of the project yet: the next refinement makes its references from the parameters.
    assert [one["volume"] for one in found["references"]] == [None, None]
    record = {"name": "start", "path": "volume_2.mrc", "pixel_size_A": 1.0}
    project.edit({"edit": "asset.import", "kind": "volume", "records": [record]})
    ok(http.post(f"{path}/edit", json={"edit": "references.set", "package": 1, "class": 1, "volume": 1}))
    first, second = ok(http.get(f"{path}/refinement/1"))["references"]
    assert first == {"class": 1, "volume": 1, "name": "start", "chosen": True}
    assert (second["volume"], second["chosen"]) == (1, False)
    source = {"source": "refinement:1:particles_2"}
    page = ok(http.get(f"{path}/particles", params={**source, "sort": "score", "descending": True, "limit": 3}))
    assert (page["total"], [row["score"] for row in page["rows"]]) == (40, [39.0, 38.0, 37.0])
    assert [row["id"] for row in page["rows"]] == [40, 39, 38]
    columns = {one["name"]: one["unit"] for one in ok(http.get(f"{path}/particles/columns", params=source))["columns"]}
    assert columns["score"] == "" and columns["occupancy"] == "%" and "rot_deg" not in columns
    histogram = ok(http.get(f"{path}/particles/histogram", params={**source, "column": "score"}))
    assert histogram["count"] == sum(histogram["counts"]) == 20 and histogram["mean"] == 9.5
    views = {}
    for number in (1, 2):
        cells = ok(http.get(f"{path}/particles/directions", params={"source": f"refinement:1:particles_{number}"}))
        views[number] = [one for one in cells["cells"] if one[4]]
    # 150 degrees from the axis is seen as 30, from the other side.
    assert [one[4] for one in views[1]] == [10] and [one[4] for one in views[2]] == [20]
    (low, high, left, right, _), (low_2, high_2, left_2, right_2, _) = views[1][0], views[2][0]
    assert low <= 30 <= high and left <= 10 <= right and (low_2, high_2) == (low, high) and left_2 <= 190 <= right_2
    assert http.get(f"{path}/view", params={"source": "asset:refinement:1:volume_2"}).status_code == 200
    for wrong in ("refinement:1:particles_3", "refinement:1:volume_1", "package:1", "package:9:particles"):
        assert 400 <= http.get(f"{path}/particles", params={"source": wrong}).status_code < 500, wrong
    wrong_column = http.get(f"{path}/particles/histogram", params={**source, "column": "micrograph"})
    assert wrong_column.status_code == 400


def test_all_directions_are_counted_in_cells_of_one_size() -> None:
    from verglas.server.routes.particles import view_counts

    random = np.random.default_rng(1)
    vectors = random.standard_normal((200_000, 3))
    vectors /= np.linalg.norm(vectors, axis=1)[:, None]
    tilt = np.rad2deg(np.arccos(vectors[:, 2]))
    cells = np.array(view_counts(np.rad2deg(np.arctan2(vectors[:, 1], vectors[:, 0])), tilt))
    assert cells[:, 4].sum() == len(vectors)
    area = np.deg2rad(cells[:, 3] - cells[:, 2]) * (np.cos(np.deg2rad(cells[:, 0])) - np.cos(np.deg2rad(cells[:, 1])))
    assert abs(area.sum() / (2 * np.pi) - 1) < 1e-9 and area.max() / area.min() < 1.5
    expected = len(vectors) * area / (2 * np.pi)
    assert np.abs((cells[:, 4] - expected) / np.sqrt(expected)).max() < 5


def test_a_package_is_exported_and_its_stacks_are_confined(client: tuple[httpx.Client, str, Path, Running]) -> None:
    http, path, folder, server = client
    made = ok(http.post(f"{path}/packages/1/export", json={"folder": str(folder / "out"), "program": "relion"}))
    assert made["particles"] == 40 and made["inverted"] and (folder / "out" / "particles.star").is_file()
    for wrong in (
        {"folder": "/etc", "program": "relion"},
        {"folder": str(folder), "program": "relion", "name": "../x"},
    ):
        assert 400 <= http.post(f"{path}/packages/1/export", json=wrong).status_code < 500
    outside = folder.parent / "outside.mrcs"
    outside.write_bytes((folder / "out" / "particles.mrcs").read_bytes())
    try:
        asked = {"patterns": [str(folder / "out" / "particles.star")], "fields": {"stack": str(outside)}}
        refused = http.post(f"{path}/import/package", json=asked)
        assert refused.status_code == 404 and "--browse" in refused.json()["error"]
        again = {"patterns": [str(folder / "out" / "particles.star")], "fields": {}}
        assert ok(http.post(f"{path}/import/package", json=again))["imported"] == 1
    finally:
        outside.unlink()
    assert server.workspace.all_open()[0].project.count("package") == 2


def test_picks_are_previewed_by_the_parameters_of_the_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    picked_project(tmp_path, count=1)[0].close()
    with running(tmp_path / "server", browse=(tmp_path,)) as server:
        http = server.client()
        opened = server.workspace.open(tmp_path / "p")
        path = f"/api/projects/{opened.key}/picks/1/preview"
        before = opened.project.history(1)
        parameters = {"radius_A": 60.0, "max_radius_A": 70.0, "threshold": 4.0, "highest_resolution_A": 30.0}
        found = ok(http.post(path, json={"parameters": parameters}))
        known = ok(http.get(f"/api/projects/{opened.key}/picks/1"))
        places = np.column_stack([known["x_A"], known["y_A"]])
        far = [np.linalg.norm(places - place, axis=1).min() for place in zip(found["x_A"], found["y_A"], strict=True)]
        assert found["count"] >= 8 and np.median(far) < 15.0
        higher = ok(http.post(path, json={"parameters": {**parameters, "threshold": 1000.0}}))
        assert higher["count"] == 0
        assert "radius_A" in ok(http.post(path, json={"parameters": {"radius_A": -1.0}}))["error"]
        assert opened.project.history(1) == before
