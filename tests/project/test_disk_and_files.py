"""Full disks, file systems, and journals."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project.conftest import add_movies
from verglas.errors import FormatError, ProjectError
from verglas.project import Project
from verglas.project.filesystems import describe
from verglas.project.journal import read_journal

MOUNTS = """\
21 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
30 21 0:40 / /home rw - nfs4 server:/home rw
31 21 0:41 / /scratch/my\\040disk rw shared:1 - lustre mds@tcp:/l rw
32 30 0:42 / /home/ana/local rw - xfs /dev/sdb rw
"""


@pytest.mark.parametrize(
    ("path", "name", "is_network"),
    [
        ("/data/x", "ext4", False), ("/home/ana/p", "nfs4", True), ("/scratch/my disk/p", "lustre", True),
        ("/home/ana/local/p", "xfs", False), ("/homeless", "ext4", False),
    ],
)  # fmt: skip
def test_file_systems_are_told_apart(tmp_path: Path, path: str, name: str, is_network: bool) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(MOUNTS)
    found = describe(Path(path), table)
    assert (found.name, found.is_network) == (name, is_network)
    assert ("--database" in found.words) == (name == "lustre")


def test_the_database_needs_no_shared_memory_on_a_shared_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from verglas.project import database, filesystems

    shared = filesystems.FileSystem("nfs4", Path("/"), True)
    monkeypatch.setattr(database, "describe", lambda path: shared)
    with Project.create(tmp_path / "p") as project:
        add_movies(project, 3)
        mode = project._reading.execute("PRAGMA journal_mode").fetchone()[0]
        assert mode == "delete" and not list(project.folder.glob("p.db-*"))
        with Project.open(tmp_path / "p") as reader:
            assert reader.count("movie") == 3
            assert reader.edit({"edit": "note.add", "text": "x"})["note"] == 1


FULL_DISK = """
import resource, sys
from verglas.errors import ProjectError
from verglas.project import Project
project = Project.open(sys.argv[1], "rw")
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
done = 0
try:
    for number in range(2000):
        project.edit({"edit": "note.add", "text": f"{number} " + "x" * 500})
        done += 1
except ProjectError as error:
    message = str(error)
    assert "Nothing was changed" in message and "Free some space" in message, message
    assert len(project.notes()) == done, (len(project.notes()), done)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    print(done)
    import os
    sys.stdout.flush()
    os._exit(0)
raise SystemExit("the limit was never met")
"""


@pytest.mark.parametrize("limit", [60_000, 400_000])
def test_a_full_disk_changes_nothing_and_says_so(tmp_path: Path, limit: int) -> None:
    Project.create(tmp_path / "p").close()
    script = [
        sys.executable,
        "-c",
        FULL_DISK,
        str(tmp_path / "p"),
        str(max(limit, os.path.getsize(tmp_path / "p/p.db"))),
    ]
    run = subprocess.run(script, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    with Project.open(tmp_path / "p", "rw") as project:
        assert len(project.notes()) == int(run.stdout) > 0
        assert project.edit({"edit": "note.add", "text": "there is space again"})["note"] == int(run.stdout) + 1


def test_a_damaged_line_of_the_journal_is_named(project: Project) -> None:
    project.close()
    with project.layout.journal.open("ab") as stream:
        stream.write(b"garbage\n")
    with pytest.raises(FormatError, match=r"garbage.*backup"):
        list(read_journal(project.layout.journal))
    with pytest.raises(FormatError, match="garbage"):
        Project.open(project.folder, "rw")


def test_a_journal_from_elsewhere_is_noticed(project: Project) -> None:
    add_movies(project, 2)
    project.close()
    lines = project.layout.journal.read_text().splitlines(keepends=True)
    project.layout.journal.write_text(lines[0])
    with pytest.raises(ProjectError, match="rebuild"):
        Project.open(project.folder, "rw")
    mended, count = Project.open_rebuilt(project.folder)
    with mended:
        assert (count, mended.count("movie")) == (1, 0)


SMALL_DISK = """
import sys
from pathlib import Path
from verglas.errors import ProjectError
from verglas.project import Project
folder = Path(sys.argv[1])
with Project.create(folder / "p") as project:
    ballast = folder / "ballast"
    ballast.write_bytes(bytes(200_000))
    done, refused = 0, None
    for number in range(5000):
        try:
            project.edit({"edit": "note.add", "text": "x" * 3000})
        except ProjectError as error:
            refused = str(error)
            break
        done += 1
    assert refused is not None and "Nothing was changed" in refused and "Free some space" in refused, refused
    assert len(project.notes()) == done > 0
    assert project.layout.journal.read_bytes().count(b"\\n") == done + 1
    ballast.unlink()
    assert project.edit({"edit": "note.add", "text": "again"})["note"] == done + 1
    live = project.dump()
    project.close()
with Project.open(folder / "p", "rw") as project:
    assert project.dump() == live
"""


def test_a_small_disk_that_fills_up(tmp_path: Path) -> None:

    unshare = shutil.which("unshare")
    space = [unshare or "unshare", "-rm", "sh", "-c"]
    mount = 'mount -t tmpfs -o size=2500k tmpfs "$1" && exec "$2" -c "$3" "$1"'
    if unshare is None or subprocess.run([*space, f"mount -t tmpfs tmpfs {tmp_path}"], check=False).returncode:
        pytest.skip("a small disk needs the right to `unshare -rm`; the file size limit above stands in")
    run = subprocess.run(
        [*space, mount, "sh", str(tmp_path), sys.executable, SMALL_DISK],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr


def test_an_older_database_is_copied_and_migrated(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from verglas.project import database

    add_movies(project, 2)
    project.close()
    newer = (*database.MIGRATIONS, "ALTER TABLE movies ADD COLUMN colour TEXT; UPDATE movies SET colour = 'grey';")
    monkeypatch.setattr(database, "MIGRATIONS", newer)
    monkeypatch.setattr(database, "SCHEMA_VERSION", len(newer))
    with Project.open(project.folder, "rw") as migrated:
        assert [movie["colour"] for movie in migrated.assets("movie")] == ["grey", "grey"]
    backup = sqlite3.connect(project.folder / ".verglas/backups" / f"schema-{len(newer) - 1}.db")
    assert backup.execute("SELECT count(*) FROM movies").fetchone()[0] == 2
    backup.close()
