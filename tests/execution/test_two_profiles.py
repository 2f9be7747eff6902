"""A second run profile adds up parts of maps; clocks that differ do not make a live job seem dead; plain words."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from tests.execution.toy import make_job
from tests.execution.waiting import contents, finish, undisturbed
from verglas.actions.align_movies import AlignMovies
from verglas.actions.auto_refine import AutoRefine
from verglas.actions.launch import prepare
from verglas.errors import InputError
from verglas.execution import liveness
from verglas.execution.addresses import HERE
from verglas.execution.job_folder import ProjectReference
from verglas.execution.liveness import ProcessRecord, beat
from verglas.execution.plain_words import meaning
from verglas.execution.run_profile import RunCommand, RunProfile

REPOSITORY = Path(__file__).parents[2]


def marking(name: str, place: Path) -> RunProfile:
    """Return a profile whose workers leave a mark when they start."""
    script = place / f"{name}.sh"
    script.write_text(f'touch "{place}/{name}-$$"\nexec "$@"\n')
    return RunProfile(name=name, commands=(RunCommand(command=f"sh {script} $command", copies=1),), addresses=(HERE,))


def test_sums_are_added_up_by_the_second_profile_with_the_same_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    job = make_job(tmp_path / "p", 3, chunks=5, profile=marking("refine", tmp_path))
    request = job.request()
    job.write_request(request.model_copy(update={"reconstruction_profile": marking("reconstruct", tmp_path)}))
    finish(job)
    assert contents(job) == undisturbed(tmp_path / "local", 3, 5)
    assert len(list(tmp_path.glob("refine-*"))) == 1 and len(list(tmp_path.glob("reconstruct-*"))) == 1


def test_only_actions_that_add_up_maps_take_two() -> None:
    assert AutoRefine.schema()["two_profiles"] and not AlignMovies.schema()["two_profiles"]
    with pytest.raises(InputError, match="adds up no maps"):
        prepare(AlignMovies, {}, {}, project_folder=Path(), project=ProjectReference(name="p", id="1"),
                reconstruction_profile="Default Local")  # fmt: skip


def test_a_clock_that_is_hours_off_does_not_make_a_live_job_seem_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = ProcessRecord(host="node7", process=1, process_started=0.0, boot="other")
    heartbeat = tmp_path / "heartbeat"
    beat(heartbeat)
    now = time.time
    monkeypatch.setattr(liveness.time, "time", lambda: now() + 7200)
    assert elsewhere.lives(heartbeat), "its age is taken by the clock of the file's server"
    os.utime(heartbeat, (now() - 300, now() - 300))
    assert not elsewhere.lives(heartbeat)
    assert [path.name for path in tmp_path.iterdir()] == ["heartbeat"]


@pytest.mark.parametrize(
    ("words", "plainly"),
    [
        ("5 workers could not be started: sh: 1: sbatch: not found.", "no scheduler: the command sbatch"),
        ("sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)", "daemon"),
        ("sbatch: error: invalid partition specified: moon", "a queue that there is not"),
        ("anna@node1: Permission denied (publickey).", "ssh-copy-id"),
        ("ssh: connect to host node1 port 22: No route to host", "cannot be reached by this name"),
        (f"{sys.executable}: No module named verglas", "not installed under the same path"),
        ("worker-0001.json is gone: the job has ended, or this machine does not see its folder.", "folder not shared"),
        ("it left no word, and its output is not in the job's folder /x", "folder not shared"),
    ],
)
def test_what_is_said_is_put_plainly(words: str, plainly: str) -> None:
    assert plainly in meaning(words)
    assert meaning("all is well") == ""
