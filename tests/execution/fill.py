"""On a small disk: run a job until the disk is full, make room, resume; print both states and whether all is there."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from tests.execution.toy import make_job
from verglas.execution.controller import run_job, start_detached


def main(place: Path) -> None:
    os.environ["PYTHONPATH"] = str(Path.cwd())
    job = make_job(place, 12, workers=1, chunks=4)
    filler = place / "filler"
    with filler.open("wb") as stream:
        free = os.statvfs(place)
        stream.write(bytes(free.f_bavail * free.f_bsize - 40_000))
    start_detached(job).wait()
    first = job.state().name
    filler.unlink()
    start_detached(job).wait()
    other = make_job(Path(tempfile.mkdtemp(dir="/tmp")), 12, chunks=4)
    run_job(other, in_process=True)
    files = [{p.name: p.read_bytes() for p in one.results_folder.glob("[!.]*")} for one in (job, other)]
    sys.stdout.write(f"{first} {job.state().name} {files[0] == files[1]}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
