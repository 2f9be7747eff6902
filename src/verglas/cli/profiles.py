"""``verglas profiles``: list and show the run profiles, and try one."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from verglas.cli.common import console, json_option, print_json, table

name_argument = click.argument("name", default=None, required=False)


def _find(name: str | None) -> Any:
    from verglas.execution.profiles import DEFAULT_PROFILE, find_profile

    return find_profile(name or DEFAULT_PROFILE)


@click.group()
def profiles() -> None:
    """Run profiles, which say where jobs run: list, show, test."""


@profiles.command(name="list")
@json_option
def list_profiles(as_json: bool) -> None:
    """List the run profiles."""
    from verglas.execution.profiles import DEFAULT_PROFILE, PROFILES

    if as_json:
        print_json({"profiles": [asdict(profile) for profile in PROFILES], "default": DEFAULT_PROFILE})
        return
    made = table("name", "workers")
    for profile in PROFILES:
        made.add_row(profile.name, profile.workers)
    console().print(made)


@profiles.command()
@name_argument
@json_option
def show(name: str | None, as_json: bool) -> None:
    """Show a run profile [default: Default Local] and what this machine has for it."""
    from verglas.execution.resources import gigabytes, this_machine

    profile, machine = _find(name), this_machine()
    if as_json:
        print_json({"profile": asdict(profile), "cores": machine.cores, "memory_bytes": machine.memory_bytes})
        return
    say = console().print
    say(f"{profile.name}: {profile.workers}.")
    say(f"Scheduler and workers listen on {profile.binds} only.")
    say(f"This machine has {machine.cores} core(s) and {gigabytes(machine.memory_bytes)} of free memory for it.")


@profiles.command()
@name_argument
@click.option("--workers", type=click.IntRange(1), help="Workers [default: one a core].")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Threads a worker.")
@json_option
def test(name: str | None, workers: int | None, threads: int, as_json: bool) -> None:
    """Start the workers of a run profile [default: Default Local], have each answer, and stop them."""
    from verglas.execution.profiles import try_workers
    from verglas.execution.resources import this_machine

    profile = _find(name)
    answers = try_workers(workers or this_machine().cores, threads)
    if as_json:
        print_json({"profile": profile.name, "answers": [asdict(answer) for answer in answers]})
        return
    for answer in answers:
        console().print(
            f"process {answer.process} on {answer.host}: {answer.threads} thread(s), answered after "
            f"{answer.ready_seconds:.2f} s"
        )
    console().print(f"{profile.name}: {len(answers)} worker(s) answered.")
