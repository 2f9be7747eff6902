"""``verglas profiles``: list, show, try, make and exchange run profiles."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from verglas.cli.common import console, json_option, print_json, table

name_argument = click.argument("name", default=None, required=False)


def _find(name: str | None) -> Any:
    from verglas.execution.profile_store import find_profile
    from verglas.execution.run_profile import DEFAULT_PROFILE

    return find_profile(name or DEFAULT_PROFILE)


@click.group()
def profiles() -> None:
    """Run profiles, which say where jobs run: list, show, test, add, ..."""


@profiles.command(name="list")
@json_option
def list_profiles(as_json: bool) -> None:
    """List the run profiles."""
    from verglas.execution.profile_store import all_profiles
    from verglas.execution.run_profile import DEFAULT_PROFILE

    found = all_profiles()
    if as_json:
        print_json({"profiles": [one.model_dump(mode="json") for one in found], "default": DEFAULT_PROFILE})
        return
    made = table("name", "manager", "workers", "by")
    for one in found:
        commands = "; ".join(command.command for command in one.commands)
        made.add_row(one.name, one.manager_command, "a core" if one.is_local else str(one.workers), commands)
    console().print(made)


@profiles.command()
@name_argument
@json_option
def show(name: str | None, as_json: bool) -> None:
    """Show a run profile [default: Default Local] and where it would listen on this machine."""
    from verglas.execution.addresses import scheduler_address
    from verglas.execution.resources import gigabytes, this_machine

    profile, machine = _find(name), this_machine()
    if as_json:
        print_json(
            {
                "profile": profile.model_dump(mode="json"), "cores": machine.cores,
                "memory_bytes": machine.memory_bytes,
            }
        )  # fmt: skip
        return
    say = console().print
    if profile.is_local:
        say(f"{profile.name}: processes on this machine, one a core, fewer where memory or items are few.")
        say(f"This machine has {machine.cores} core(s) and {gigabytes(machine.memory_bytes)} of free memory for it.")
    else:
        say(f"{profile.name}: controller by `{profile.manager_command}`", markup=False)
        for one in profile.commands:
            say(
                f"{one.workers} worker(s) of {one.threads} thread(s){f' and {one.gpus} GPU(s)' if one.gpus else ''} "
                f"by {one.copies} x `{one.command}`, "
                f"{one.delay_ms} ms apart",
                markup=False,
            )
    say(f"Run from here, scheduler and workers would listen on {scheduler_address(profile)} only.")


@profiles.command()
@name_argument
@click.option("--workers", type=click.IntRange(1), help="Workers [default: the profile's, or one a core].")
@click.option("--threads", type=click.IntRange(1), help="Threads a worker [default: the profile's].")
@click.option("--folder", type=click.Path(exists=True, file_okay=False), default=".", help="Folder the nodes see [.].")
@click.option("--patience", type=float, default=120.0, show_default=True, help="Seconds to wait for all workers.")
@json_option
def test(
    name: str | None, workers: int | None, threads: int | None, folder: str, patience: float, as_json: bool
) -> None:
    """Run a tiny job by a run profile [default: Default Local], whose workers each say who they are."""
    from verglas.execution.profile_trial import CLOCK_SECONDS, try_profile
    from verglas.execution.resources import this_machine

    profile = _find(name)
    count = workers or (this_machine().cores if profile.is_local else profile.workers)
    each = threads or (1 if profile.is_local else profile.threads)
    answers = try_profile(profile, Path(folder).absolute(), count, each, patience=patience)
    if as_json:
        print_json({"profile": profile.name, "answers": [asdict(answer) for answer in answers]})
        return
    for answer in answers:
        console().print(
            f"process {answer.process} on {answer.host}: {answer.threads} thread(s), answered after "
            f"{answer.ready_seconds:.2f} s" + (f", GPU {answer.gpus}" if answer.gpus else "")
        )
        if abs(answer.clock_seconds) > CLOCK_SECONDS:
            console().print(
                f"  clocks: its clock is {answer.clock_seconds:+.0f} s off the shared folder's. Jobs run all the same, "
                "but times in logs mislead: have the machines' clocks set by NTP"
            )
    found = len({(answer.host, answer.process) for answer in answers})
    console().print(f"{profile.name}: {found} of {count} worker(s) answered.")


@profiles.command()
@json_option
def templates(as_json: bool) -> None:
    """List templates for `add`, with the values that each needs."""
    from verglas.execution.profile_templates import TEMPLATES

    if as_json:
        print_json({"templates": [{**asdict(one), "gaps": one.gaps} for one in TEMPLATES]})
        return
    for one in TEMPLATES:
        console().print(f"[bold]{one.name}[/bold]  {one.what}")
        console().print(f"  manager  {one.manager_command}\n  worker   {one.command}", markup=False)


@profiles.command()
@click.argument("name")
@click.option("--template", help="Start from this template (`verglas profiles templates`).")
@click.option("--set", "values", multiple=True, metavar="GAP=VALUE", help="A value for the template.")
@click.option("--manager-command", help="Starts the controller; contains $command [$command].")
@click.option("--command", "commands", multiple=True, help="Starts a worker; contains $command. May be repeated.")
@click.option("--copies", type=click.IntRange(1), default=2, show_default=True, help="Copies of each command.")
@click.option("--threads", type=click.IntRange(1), help="Threads a worker [template's, or 1].")
@click.option("--gpus", type=click.IntRange(0), help="GPUs a worker [template's, or 0].")
@click.option("--delay", type=click.IntRange(0), help="Milliseconds between two copies [template's, or 10].")
@click.option("--total-workers", type=click.IntRange(1), help="Workers that all copies make together.")
@click.option("--address", "addresses", multiple=True, help="Address of the controller's machine. May be repeated.")
@click.option("--interface", default="", help="Network interface of the controller's machine.")
@click.option("--ports", metavar="FIRST-LAST", help="Ports that may be listened on.")
@click.option("--memory", type=float, help="GB that a worker may use on its node.")
@click.option("--replace", is_flag=True, help="Replace the profile of that name.")
def add(
    name: str, template: str | None, values: tuple[str, ...], manager_command: str | None, commands: tuple[str, ...],
    copies: int, threads: int | None, gpus: int | None, delay: int | None, total_workers: int | None,
    addresses: tuple[str, ...], interface: str, ports: str | None, memory: float | None, replace: bool,
) -> None:  # fmt: skip
    """Make the run profile NAME."""
    from pydantic import ValidationError

    from verglas.errors import InputError
    from verglas.execution.profile_store import save_profile
    from verglas.execution.profile_templates import find_template
    from verglas.execution.run_profile import PLAIN, RunCommand, RunProfile

    given = dict(one.partition("=")[::2] for one in values)
    if template is not None:
        chosen = find_template(template)
        manager, command = chosen.filled(given)
        manager_command, commands = manager_command or manager, commands or (command,)
        delay = chosen.delay_ms if delay is None else delay
        threads = threads or int(given.get("threads", "1"))
        gpus = int(given.get("gpus", "0")) if gpus is None else gpus
        memory = memory or (float(given["GB"]) if "GB" in given else None)
    try:
        profile = RunProfile(
            name=name, manager_command=manager_command or PLAIN, addresses=addresses, interface=interface,
            commands=tuple(
                RunCommand(
                    command=one, copies=copies, threads=threads or 1, delay_ms=10 if delay is None else delay,
                    total_workers=total_workers, gpus=gpus or 0,
                )
                for one in commands or (PLAIN,)
            ),
            ports=_two_numbers(ports) if ports else None,
            worker_memory_bytes=round(memory * 1e9) if memory else None,
        )  # fmt: skip
    except ValidationError as error:
        raise InputError(f"Run profile {name!r}: {error.errors()[0]['msg']}.") from error
    path = save_profile(profile, replace=replace)
    console().print(f"Kept in {path}. Next: `verglas profiles test '{name}'`.", markup=False)


def _two_numbers(ports: str) -> tuple[int, int]:
    from verglas.errors import InputError

    first, _, last = ports.partition("-")
    if not (first.isdigit() and last.isdigit()):
        raise InputError(f"--ports takes two numbers such as 3000-3100, not {ports!r}.")
    return int(first), int(last)


@profiles.command()
@click.argument("name")
def remove(name: str) -> None:
    """Remove the run profile NAME, one of your own."""
    from verglas.execution.profile_store import remove_profile

    remove_profile(name)


@profiles.command(name="import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Replace profiles of the same names.")
def import_profiles(file: Path, replace: bool) -> None:
    """Import run profiles from FILE: one of ours (.json) or an export of cisTEM."""
    from verglas.execution.profile_store import read_cistem_profiles, read_profile, save_profile
    from verglas.execution.run_profile import DEFAULT_PROFILE

    found = [read_profile(file)] if file.suffix == ".json" else read_cistem_profiles(file)
    for one in found:
        if one.name == DEFAULT_PROFILE:
            console().print(f"{one.name!r} is left out: ours has as many workers as the machine has cores.")
            continue
        console().print(f"{one.name}: kept in {save_profile(one, replace=replace)}", markup=False)


@profiles.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("names", nargs=-1)
def export(file: Path, names: tuple[str, ...]) -> None:
    """Export run profiles [default: all] to FILE for cisTEM, or one to a .json FILE."""
    from verglas.errors import InputError
    from verglas.execution.profile_store import all_profiles, find_profile, write_cistem_profiles

    chosen = [find_profile(name) for name in names] or all_profiles()
    if file.suffix == ".json":
        if len(chosen) != 1:
            raise InputError("A .json file holds one run profile: name it.")
        file.write_text(chosen[0].model_dump_json(indent=1) + "\n")
    else:
        write_cistem_profiles(file, chosen)
    console().print(f"{len(chosen)} run profile(s) in {file}.", markup=False)
