"""Run profiles: what is accepted, kept, exchanged with cisTEM; addresses; words without metacharacters."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.execution.toy import make_job
from verglas.errors import FormatError, InputError, ResourceError
from verglas.execution.addresses import HERE, addresses_here, scheduler_address
from verglas.execution.batch_systems import recognise
from verglas.execution.commanded_workers import fill_in
from verglas.execution.controller import start_detached
from verglas.execution.profile_store import (
    ALLOCATION_PROFILE,
    all_profiles,
    find_profile,
    read_cistem_profiles,
    remove_profile,
    save_profile,
    write_cistem_profiles,
)
from verglas.execution.profile_templates import TEMPLATES, find_template
from verglas.execution.quoting import as_word, from_word, start_command
from verglas.execution.resources import Estimate, plan_elsewhere
from verglas.execution.run_profile import DEFAULT_PROFILE, RunCommand, RunProfile

CLUSTER = RunProfile(
    name="the cluster", manager_command="srun -p debug $command", addresses=(HERE,), ports=(3000, 3100),
    commands=(
        RunCommand(command='sbatch --wrap="$command"', copies=3, threads=2, delay_ms=100),
        RunCommand(command="ssh other srun -n 8 $command", copies=1, total_workers=8),
    ),
)  # fmt: skip


def test_profiles_are_kept_found_and_removed(own_profiles: Path) -> None:
    assert [one.name for one in all_profiles()] == [DEFAULT_PROFILE, ALLOCATION_PROFILE]
    path = save_profile(CLUSTER)
    assert path.parent == own_profiles and find_profile("the cluster") == CLUSTER
    assert (CLUSTER.workers, CLUSTER.threads, CLUSTER.is_local) == (11, 1, False)
    with pytest.raises(InputError, match="--replace"):
        save_profile(CLUSTER)
    save_profile(CLUSTER.model_copy(update={"interface": "lo"}), replace=True)
    path.write_text('{"name": "x", "ports": [1, 2]}')
    with pytest.raises(FormatError, match=r"the cluster.json.*ports"):
        all_profiles()
    remove_profile("the cluster")
    for name in ("the cluster", DEFAULT_PROFILE):
        with pytest.raises(InputError):
            remove_profile(name)


@pytest.mark.parametrize(
    "wrong",
    [{"manager_command": "srun"}, {"ports": (80, 90)}, {"ports": (4000, 3000)}, {"commands": ()}, {"copies": 3},
     {"commands": (RunCommand(command="sbatch -p #{partition} $command"),)}],
)  # fmt: skip
def test_what_makes_no_profile_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RunProfile.model_validate({"name": "wrong", **wrong})


def test_profiles_survive_a_journey_through_cistems_file(tmp_path: Path) -> None:
    file = tmp_path / "run_profiles.txt"
    write_cistem_profiles(file, [CLUSTER])
    assert read_cistem_profiles(file) == [CLUSTER.model_copy(update={"ports": None})]
    quoted = 'command_to_run="sbatch --wrap="$command""'
    assert quoted in file.read_text()
    file.write_text(file.read_text().replace(quoted, 'command_to_run = sbatch --wrap="$command"'))
    assert read_cistem_profiles(file)[0].commands[0].command == 'sbatch --wrap="$command"', "unquoted values too"
    file.write_text(file.read_text().replace("profile_1_number_of_run_commands", "profile_1_gone"))
    with pytest.raises(FormatError, match="number_of_run_commands"):
        read_cistem_profiles(file)


def test_a_word_passes_through_shells_and_schedulers_unharmed(tmp_path: Path) -> None:
    folder = tmp_path / "a 'b\" $HOME ~ `c` ü;%20"
    folder.mkdir()
    word = as_word(folder)
    assert from_word(word) == folder and shlex.quote(word.replace("%", "")) == word.replace("%", "")
    program = "import sys; sys.path[:0] = []; print(sys.argv[1])"
    inner = f"{sys.executable} -c {shlex.quote(program)} {word}"
    wrapped = subprocess.run(["sh", "-c", f"echo {word}"], capture_output=True, text=True, check=True)
    assert wrapped.stdout.strip() == word and inner
    command = fill_in('sbatch -J $program_name --wrap="$command"', start_command("verglas", folder), "find-ctf")
    assert shlex.split(command)[:4] == ["sbatch", "-J", "find-ctf", f"--wrap={sys.executable} -P -m verglas {word}"]


def test_the_address_is_the_stated_one_or_an_error() -> None:
    here = [address for found in addresses_here().values() for address in found]
    assert scheduler_address(RunProfile(name="local")) == HERE
    assert scheduler_address(CLUSTER.model_copy(update={"addresses": ("203.0.113.7", HERE)})) == HERE
    assert scheduler_address(CLUSTER.model_copy(update={"addresses": (), "interface": "lo"})) == HERE
    assert scheduler_address(CLUSTER.model_copy(update={"addresses": ()})) in here
    for wrong in ({"addresses": ("203.0.113.7",)}, {"addresses": (), "interface": "ib7"}):
        with pytest.raises(InputError, match=r"203\.0\.113\.7|ib7"):
            scheduler_address(CLUSTER.model_copy(update=wrong))


def test_what_submit_commands_print_is_understood() -> None:
    for text, system, number in (
        ("Submitted batch job 4711", "Slurm", "4711"),
        ("sbatch: note\nSubmitted batch job 12 on cluster x", "Slurm", "12"),
        ('Your job 9 ("x") has been submitted', "Grid Engine", "9"),
        ("Job <77> is submitted to queue <short>.", "LSF", "77"),
        ("123.pbs-server.example", "PBS", "123.pbs-server.example"),
    ):
        found = recognise(text)
        assert found is not None and (found.system.name, found.number) == (system, number)
    assert recognise("hello 12") is None


def test_templates_ask_for_their_gaps() -> None:
    for template in TEMPLATES:
        manager, command = template.filled(dict.fromkeys(template.gaps, "2"))
        assert "$command" in manager and "$command" in command
        RunProfile(name="x", manager_command=manager, commands=(RunCommand(command=command),))
    with pytest.raises(InputError, match="--set partition="):
        find_template("slurm-workers").filled({"GB": "4", "threads": "1"})
    with pytest.raises(InputError, match="no gap moon"):
        find_template("ssh").filled({"moon": "4"})


def test_a_profile_plans_no_more_workers_than_there_is_work(tmp_path: Path) -> None:
    made = plan_elsewhere(Estimate(10**9, 10**6, 100.0, tasks=4), CLUSTER, tmp_path)
    assert (made.resources.workers, made.resources.threads) == (4, 1)
    small = CLUSTER.model_copy(update={"worker_memory_bytes": 10**9})
    with pytest.raises(ResourceError, match=r"1\.20 GB.*1\.00 GB"):
        plan_elsewhere(Estimate(10**9, 10**6, 100.0, tasks=4), small, tmp_path)


def test_commands_in_a_shell_run_a_job_within_the_stated_ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    command = RunCommand(command="env TESTED=1 $command", copies=2, threads=3)
    profile = RunProfile(name="env", commands=(command,), addresses=(HERE,), ports=(23400, 23460))
    job = make_job(tmp_path / "it's a \"folder\"", [{"id": i, "seconds": 0.3} for i in range(6)], workers=2, threads=3,
                   profile=profile)  # fmt: skip
    assert start_detached(job).wait(timeout=300) == 0, job.log_path.read_text()
    values = [event.values for event in job.results().values()]
    assert len({one["process"] for one in values}) == 2 and {one["threads"] for one in values} == {"3"}


def test_a_manager_command_that_fails_fails_the_job(tmp_path: Path) -> None:
    profile = RunProfile(name="moon", manager_command="echo no way to the moon; false $command")
    job = make_job(tmp_path, 2, profile=profile)
    assert start_detached(job).wait(timeout=300) == 1
    assert job.state().name == "failed" and "no way to the moon" in job.state().message


def test_a_job_that_waits_for_its_turn_can_be_cancelled(tmp_path: Path) -> None:
    profile = RunProfile(name="queue", manager_command="sleep 600; $command")
    job = make_job(tmp_path, 2, profile=profile)
    process = start_detached(job)
    job.ask("cancel")
    assert process.wait(timeout=300) == 4 and job.state().name == "cancelled"
