"""Prove that no kill loses anything: worker, controller, command or all killed, or the disk full; then resume.

``python -m prove.kill [trials] [minutes]``: each trial aligns the same small movies in a copy of the same project, is
disturbed at a random moment, resumed until it is done, and compared with an undisturbed run: every file of the results
byte by byte, and the database with one rebuilt from the journal and the job folders. Half of the moments are any since
the start, half come soon after a result; half of the jobs have one worker, half two.
"""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from tools.measured import REPOSITORY, record

from verglas.errors import VerglasError
from verglas.execution.job_folder import JobFolder
from verglas.project import Project

TRIALS = 300
SIDE_BY_SIDE = 2
MOVIES = 3
SHAPE = (192, 192)
FRAMES = 5
SECONDS_A_MOVIE = 1.5
POLL_SECONDS = 0.1
PATIENCE_SECONDS = 180.0
WAYS = ("worker", "controller", "command", "all", "disk full")
VERGLAS = str(Path(sys.executable).parent / "verglas")


def start(workers: int) -> list[str]:
    """Return the words that start the job."""
    return ["align-movies", "--workers", str(workers), "--threads", "1", "--json"]


def command(project: Path, *words: str) -> list[str]:
    """Return a verglas command line about a project."""
    return [VERGLAS, *words, "--project", str(project)]


def make_template(folder: Path) -> Path:
    """Make a project with a few small movies."""
    import numpy as np
    from tests.support.movies import make_movie

    from verglas.formats import write_mrc, write_tiff_movie

    data, project = folder / "data", folder / "project"
    data.mkdir()
    files = []
    for number in range(MOVIES):
        made = make_movie(np.random.default_rng(number), shape=SHAPE, frames=FRAMES, contrast=0.2)
        files.append(data / f"m{number}.tif")
        write_tiff_movie(files[-1], iter(made.frames))
    write_mrc(data / "gain.mrc", made.gain, 1.0)
    subprocess.run([VERGLAS, "new", str(project)], check=True, capture_output=True)
    values = ["--pixel-size", "1", "--voltage", "300", "--cs", "2.7", "--dose-per-frame", "1"]
    words = ["import", "movies", *values, "--gain", str(data / "gain.mrc"), *map(str, files)]
    subprocess.run(command(project, *words), check=True, capture_output=True)
    return project


def contents(project: Path) -> dict[str, bytes]:
    """Return all files of results, taken in or not, by place."""
    places = ("Assets/Images/**/*", "Assets/Movies/**/*", "Jobs/*/results/*")
    found = [path for place in places for path in project.glob(place)]
    return {str(p.relative_to(project)): p.read_bytes() for p in found if p.is_file() and not p.name.startswith(".")}


def job_of(project: Path) -> JobFolder | None:
    """Return the job, as soon as it has a request."""
    found = JobFolder.all_in(project / "Jobs")
    return found[-1] if found else None


def kill(process: psutil.Process | subprocess.Popen[bytes]) -> None:
    """Kill -9."""
    with suppress(ProcessLookupError, psutil.Error):
        os.kill(process.pid, signal.SIGKILL)


def disturb(project: Path, way: str, chance: random.Random, started: subprocess.Popen[bytes]) -> None:
    """Do the harm now."""
    job = job_of(project)
    record_of = job.controller() if job is not None else None
    living = record_of is not None and job is not None and job.controller_lives()
    controller: psutil.Process | None = None
    workers: list[psutil.Process] = []
    with suppress(psutil.Error):
        controller = psutil.Process(record_of.process) if living and record_of is not None else None
        workers = controller.children() if controller is not None else []
    if way == "disk full":
        filler = project / "filler"
        free = shutil.disk_usage(project).free - chance.randrange(0, 120_000)
        with suppress(OSError), filler.open("wb") as stream:
            stream.write(bytes(max(0, free)))
        started.wait(timeout=PATIENCE_SECONDS)
        filler.unlink()
    if way in {"command", "all"}:
        kill(started)
    if way in {"controller", "all"} and controller is not None:
        kill(controller)
    if way in {"worker", "all"} and workers:
        kill(chance.choice(workers))


def wait_for_moment(project: Path, chance: random.Random, seconds: float, *, by_result: bool) -> float:
    """Wait for a random moment; return how long that took."""
    began = time.monotonic()
    if not by_result:
        time.sleep(chance.uniform(0.3, seconds))
        return time.monotonic() - began
    wanted = chance.randrange(MOVIES)
    while time.monotonic() - began < PATIENCE_SECONDS:
        job = job_of(project)
        if job is not None and count_results(job) >= wanted:
            break
        time.sleep(POLL_SECONDS / 2)
    time.sleep(chance.uniform(0.0, SECONDS_A_MOVIE))
    return time.monotonic() - began


def count_results(job: JobFolder) -> int:
    """Return how many results a job has recorded."""
    return job.events_path.read_bytes().count(b'{"event":"result"') if job.events_path.exists() else 0


def finish(project: Path, workers: int, started: subprocess.Popen[bytes]) -> int:
    """Go on until the job is done; return how many resumes it took."""
    end = time.monotonic() + PATIENCE_SECONDS
    resumes = 0
    while time.monotonic() < end:
        job = job_of(project)
        if started.poll() is None or (job is not None and job.controller_lives()):
            time.sleep(POLL_SECONDS)
        elif job is not None and job.state().name == "done":
            return resumes
        else:
            resumes += 1
            again = start(workers) if job is None else ["jobs", "resume", str(job.number), "--json"]
            subprocess.run(command(project, *again), capture_output=True, check=False, timeout=PATIENCE_SECONDS)
    raise AssertionError("the job did not finish")


def judge(project: Path, expected: dict[str, bytes]) -> dict[str, Any]:
    """Compare with the undisturbed run; compare the database with a rebuilt one."""
    job = job_of(project)
    assert job is not None
    with Project.open(project, "rw") as opened:
        problems = opened.take_in()["problems"]
        live = opened.dump()
        opened.rebuild()
        rebuilt = opened.dump()
    found = contents(project)
    lines = count_results(job)
    return {
        "equal": found == expected,
        "different": sorted(name for name in found.keys() | expected if found.get(name) != expected.get(name)),
        "each_result_once": lines == len(job.results()) == MOVIES,
        "rebuilt_equal": live == rebuilt,
        "leftovers": [str(path) for place in ("Jobs/*/results", "Scratch") for path in project.glob(f"{place}/**/.*")],
        "set_aside": len(job.failures()),
        "problems": problems,
    }


def trial(number: int, template: Path, folder: Path, seconds: float, expected: dict[str, bytes]) -> dict[str, Any]:
    """Run one disturbed job in ``folder`` and judge it."""
    chance = random.Random(number)
    way = WAYS[number % len(WAYS)]
    workers, by_result = 1 + number // len(WAYS) % 2, bool(number // (2 * len(WAYS)) % 2)
    began = time.monotonic()
    project = folder / "project"
    shutil.copytree(template, project)
    started = subprocess.Popen(command(project, *start(workers)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = wait_for_moment(project, chance, seconds, by_result=by_result)
    verdict: dict[str, Any] = {"number": number, "way": way, "workers": workers, "after_seconds": after}
    try:
        disturb(project, way, chance, started)
        verdict["resumes"] = finish(project, workers, started)
        verdict |= judge(project, expected)
    except (AssertionError, VerglasError, OSError, subprocess.SubprocessError) as error:
        verdict["error"] = f"{type(error).__name__}: {error}"
    verdict["seconds"] = time.monotonic() - began
    return verdict


def is_good(verdict: dict[str, Any]) -> bool:
    """Tell whether nothing was lost, doubled or changed."""
    clean = not verdict.get("error") and not any(verdict.get(name) for name in ("problems", "set_aside", "leftovers"))
    return clean and all(verdict[name] for name in ("equal", "each_result_once", "rebuilt_equal"))


def run_trial(number: int, base: Path, seconds: float) -> dict[str, Any]:
    """Run a trial as a process of its own, with a disk of its own where the disk will be filled."""
    folder = base / f"trial-{number}"
    folder.mkdir()
    own = [sys.executable, "-m", "prove.kill", "trial", str(number), str(base), str(folder), str(seconds)]
    if WAYS[number % len(WAYS)] == "disk full":
        own = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=64m tmpfs "$1" && shift && exec "$@"', "sh",
               str(folder), *own]  # fmt: skip
    done = subprocess.run(own, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"number": number, "way": WAYS[number % len(WAYS)], "error": done.stderr[-2000:], "seconds": 0.0}
    verdict: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if is_good(verdict):
        shutil.rmtree(folder)
    else:
        sys.stderr.write(f"{verdict} in {folder}\n")
    return verdict


def main() -> None:
    arguments = sys.argv[1:]
    if arguments[:1] == ["trial"]:
        base = Path(arguments[2])
        expected = contents(base / "undisturbed")
        made = trial(int(arguments[1]), base / "project", Path(arguments[3]), float(arguments[4]), expected)
        sys.stdout.write(json.dumps(made) + "\n")
        return
    numbers = [float(word) for word in arguments if word.isdigit()]  # `prove.run` is given names of proofs too
    asked, minutes = (int(numbers[0]) if numbers else TRIALS), (numbers[1] if len(numbers) > 1 else math.inf)
    os.chdir(REPOSITORY)
    base = Path(tempfile.mkdtemp(prefix="verglas-kill-"))
    template = make_template(base)
    for workers, name in enumerate(("warm", "undisturbed"), start=1):
        shutil.copytree(template, base / name)
        began = time.monotonic()
        subprocess.run(command(base / name, *start(workers)), check=True, capture_output=True)
        seconds = time.monotonic() - began
    assert contents(base / "warm") == contents(base / "undisturbed"), "two undisturbed runs differ"
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        end = time.monotonic() + 60 * minutes
        found = pool.map(lambda n: run_trial(n, base, seconds) if time.monotonic() < end else None, range(asked))
        verdicts = [verdict for verdict in found if verdict is not None]
    trials = len(verdicts)
    good = [verdict for verdict in verdicts if is_good(verdict)]
    times = sorted(verdict["seconds"] for verdict in verdicts)
    path = record(
        "kills",
        {
            "action": f"align-movies on {MOVIES} movies of {FRAMES} frames of {SHAPE[0]} x {SHAPE[1]}, 1 or 2 workers",
            "trials": trials,
            "trials_asked_for": asked,
            "minutes_given": minutes if math.isfinite(minutes) else None,
            "good": len(good),
            "good_means": "result files equal to the bit, each result once, nothing set aside, rebuilt database equal, "
            "no half-written file left",
            "trials_by_way": dict(Counter(verdict["way"] for verdict in verdicts)),
            "good_by_way": dict(Counter(verdict["way"] for verdict in good)),
            "resumes_needed": sum(verdict.get("resumes", 0) for verdict in verdicts),
            "undisturbed_seconds": round(seconds, 2),
            "seconds_per_trial_median": round(times[len(times) // 2], 2),
            "trials_side_by_side": SIDE_BY_SIDE,
            "disk_full_by": "filling a small tmpfs of the trial's own",
            "wrong": [verdict for verdict in verdicts if not is_good(verdict)],
        },
    )
    sys.stdout.write(path.read_text())
    if len(good) == trials:
        shutil.rmtree(base)
    assert len(good) == trials, f"{trials - len(good)} trial(s) went wrong; see {base}"


if __name__ == "__main__":
    main()
