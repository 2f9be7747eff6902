"""Kill writers of a project at 300 random moments of edits, imports and intake: nothing confirmed is lost."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.project.conftest import make_job
from tools.measured import record

from verglas.project import Project

KILLS = 300

WRITER = """
import random, sys
from tests.project.conftest import movie
from verglas.errors import NotFoundError
from verglas.project import Project
folder, tag = sys.argv[1:]
sys.stdout.write("ready\\n")
sys.stdout.flush()
dice = random.Random(tag)
for number in range(10**6):
    with Project.open(folder, "rw") as project:
        kind = dice.randrange(4)
        if kind == 0:
            records = [movie(f"{tag}-{number}-{index}") for index in range(dice.choice([1, 300]))]
            project.edit({"edit": "asset.import", "kind": "movie", "records": records})
            said = f"movie {tag}-{number}-0"
        elif kind == 1:
            project.take_in()
            said = "intake"
        elif kind == 2 and project.count("image"):
            image = project.assets("image", limit=1)[0]
            try:
                trash = project.edit({"edit": "trash.add", "items": [{"kind": "image", "id": image["id"]}]})["trash"]
                project.edit({"edit": "trash.restore", "trash": trash})
            except NotFoundError:
                pass  # the other writer was faster with this image
            said = "trash"
        else:
            project.edit({"edit": "note.add", "text": f"{tag}-{number}"})
            said = f"note {tag}-{number}"
    sys.stdout.write(said + "\\n")
    sys.stdout.flush()
"""


def check(folder: Path, confirmed: list[str]) -> dict[str, Any]:
    """Return what holds after all kills."""
    with Project.open(folder, "rw") as project:
        project.take_in()
        for entry in project.trash():
            project.edit({"edit": "trash.restore", "trash": entry["id"]})
        notes = [note["text"] for note in project.notes()]
        movies = [movie["name"] for movie in project.assets("movie")]
        there = {f"note {text}" for text in notes} | {f"movie {name}" for name in movies}
        lost = [said for said in confirmed if said.startswith(("note", "movie")) and said not in there]
        files_missing = sum(not (folder / image["path"]).is_file() for image in project.assets("image"))
        results = len(project.results())
        live = project.dump()
        project.rebuild()
        equal = project.dump() == live
        taken = sum(len(json.loads(path.read_text())["results"]) for path in folder.glob("Jobs/*/ids.json"))
    return {
        "confirmed_edits": len(confirmed), "lost_edits": len(lost), "notes_doubled": len(notes) - len(set(notes)),
        "movies_doubled": len(movies) - len(set(movies)), "results": results, "results_in_ids_files": taken,
        "image_files_missing": files_missing, "rebuilt_equals_live": equal,
    }  # fmt: skip


def main() -> None:
    dice = random.Random(2026)
    confirmed: list[str] = []
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "p"
        Project.create(folder).close()
        with Project.open(folder, "rw") as project:
            from tests.project.conftest import add_movies

            add_movies(project, 40)
        made = 0
        for kill in range(KILLS // 2):
            make_job(folder, sorted(dice.sample(range(1, 41), 3)))
            made += 3
            writers = [
                subprocess.Popen(
                    [sys.executable, "-c", WRITER, str(folder), f"w{kill}{name}"], stdout=subprocess.PIPE, text=True
                )
                for name in "ab"
            ]
            for writer in writers:
                assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
            time.sleep(dice.uniform(0.0, 0.8))
            for writer in dice.sample(writers, 2):
                time.sleep(dice.uniform(0.0, 0.1))
                writer.kill()
                confirmed += writer.communicate()[0].splitlines()
        figures = {"kills": KILLS, "writers_at_a_time": 2, "results_made": made, **check(folder, confirmed)}
    figures["reached"] = (
        figures["lost_edits"]
        == figures["notes_doubled"]
        == figures["movies_doubled"]
        == figures["image_files_missing"]
        == 0
        and figures["rebuilt_equals_live"]
        and figures["results"] == figures["results_in_ids_files"] == made
    )
    record("project_kills", figures)


if __name__ == "__main__":
    main()
