"""``verglas jobs``: list, show, follow, cancel, pause, resume, clone, and what came from what."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from verglas.cli.common import console, json_option, open_project, print_json, project_option, table
from verglas.errors import InputError

if TYPE_CHECKING:
    from verglas.execution.job_folder import JobFolder

FOLLOW_SECONDS = 0.2
job_argument = click.argument("number", type=click.IntRange(1))


def _jobs_folder(project_folder: Path | None) -> Path:
    from verglas.project import find_project

    return find_project(project_folder or Path.cwd()) / "Jobs"


def _find(project_folder: Path | None, number: int) -> JobFolder:
    from verglas.execution.job_folder import JobFolder

    return JobFolder.find(_jobs_folder(project_folder), number)


@click.group(invoke_without_command=True)
@project_option
@json_option
@click.pass_context
def jobs(context: click.Context, project_folder: Path | None, as_json: bool) -> None:
    """List the jobs of a project, or do something with one."""
    if context.invoked_subcommand is not None:
        return
    from verglas.execution.job_folder import JobFolder
    from verglas.execution.resources import duration

    rows: list[dict[str, Any]] = []
    for job in JobFolder.all_in(_jobs_folder(project_folder)):
        state, request, progress = job.state(), job.request(), job.progress()
        rows.append(
            {
                "job": job.number, "title": request.title, "state": state.name, "failures": state.failures,
                "done": progress.done if progress else 0, "total": progress.total if progress else 0,
                "cpu_seconds": state.cpu_seconds, "created": request.created, "user": request.user,
            }
        )  # fmt: skip
    if as_json:
        print_json({"jobs": rows})
        return
    made = table(">job", "title", "state", ">done", ">set aside", ">computing", "created")
    for row in rows:
        made.add_row(
            str(row["job"]), row["title"], row["state"], f"{row['done']}/{row['total']}", str(row["failures"] or ""),
            duration(row["cpu_seconds"]), row["created"],
        )  # fmt: skip
    console().print(made)


@jobs.command()
@job_argument
@project_option
@json_option
def show(number: int, project_folder: Path | None, as_json: bool) -> None:
    """Show all about a job."""
    from verglas.execution.job_control import summary_of
    from verglas.execution.resources import duration, gigabytes

    summary = summary_of(_find(project_folder, number))
    if as_json:
        print_json(summary)
        return
    peak = summary["peak_memory_bytes"]
    stated = summary["estimate"]
    lines = [
        f"{summary['title']}: {summary['state']} {summary['message']}".rstrip(),
        f"  by {summary['user']} on {summary['host']}, {summary['created']}",
        f"  {duration(summary['cpu_seconds'])} of computing",
        f"  in {summary['folder']}",
    ]
    if stated:
        used = f", used {gigabytes(peak)}" if peak else ""
        lines.append(f"  memory stated {gigabytes(stated['memory_bytes'])}{used}")
    lines += [f"  {name} = {value}" for name, value in summary["parameters"].items()]
    lines += [f"  {name}: {len(ids)} chosen" for name, ids in summary["inputs"].items()]
    lines.append(f"  {len(summary['results'])} result(s)")
    lines += [f"  set aside: {failure['key']}: {failure['error']}" for failure in summary["failures"]]
    console().print("\n".join(lines))


@jobs.command()
@job_argument
@click.option("-f", "--follow", "follow_it", is_flag=True, help="Go on until the job has ended.")
@project_option
@json_option
def log(number: int, follow_it: bool, project_folder: Path | None, as_json: bool) -> None:
    """Print a job's log; with --json its events, one object a line."""
    job = _find(project_folder, number)
    offset = 0
    path = job.events_path if as_json else job.log_path
    while True:
        active = job.state().is_active
        if path.exists():
            with path.open("rb") as stream:
                stream.seek(offset)
                found = stream.read()
            whole = found[: found.rfind(b"\n") + 1]
            offset += len(whole)
            sys.stdout.write(whole.decode(errors="replace"))
            sys.stdout.flush()
        if not (follow_it and active):
            return
        time.sleep(FOLLOW_SECONDS)


@jobs.command()
@job_argument
@project_option
@json_option
def cancel(number: int, project_folder: Path | None, as_json: bool) -> None:
    """Cancel a job for good; what it has finished stays."""
    from verglas.execution import job_control

    job = _find(project_folder, number)
    _answer(job, job_control.cancel(job), as_json)


@jobs.command()
@job_argument
@project_option
@json_option
def pause(number: int, project_folder: Path | None, as_json: bool) -> None:
    """Pause a job after the items in hand; `resume` goes on."""
    from verglas.execution import job_control

    job = _find(project_folder, number)
    _answer(job, job_control.pause(job), as_json)


@jobs.command("take-current")
@job_argument
@project_option
@json_option
def take_current(number: int, project_folder: Path | None, as_json: bool) -> None:
    """Have a search in rounds end with the maps that it has now."""
    from verglas.execution import job_control

    job = _find(project_folder, number)
    _answer(job, job_control.take(job, "take-current"), as_json)


@jobs.command("take-last-start")
@job_argument
@project_option
@json_option
def take_last_start(number: int, project_folder: Path | None, as_json: bool) -> None:
    """Have a search in rounds end with the maps of its best start, as they were before the finish."""
    from verglas.execution import job_control

    job = _find(project_folder, number)
    _answer(job, job_control.take(job, "take-last-start"), as_json)


@jobs.command()
@job_argument
@click.option("--detach", is_flag=True, help="Return at once; the job goes on by itself.")
@project_option
@json_option
def resume(number: int, detach: bool, project_folder: Path | None, as_json: bool) -> None:
    """Go on with a job that was paused, interrupted, cancelled or failed; items set aside are tried again."""
    from verglas.cli.following import follow, report
    from verglas.execution import job_control

    job = _find(project_folder, number)
    _run(job, job_control.resume(job), detach, as_json, follow, report)


@jobs.command()
@job_argument
@click.option("--set", "changes", multiple=True, metavar="PARAMETER=VALUE", help="Change a parameter; may be repeated.")
@click.option("--detach", is_flag=True, help="Return at once; the job goes on by itself.")
@project_option
@json_option
def clone(number: int, changes: tuple[str, ...], detach: bool, project_folder: Path | None, as_json: bool) -> None:
    """Run a job's action again on the same inputs, with some parameters changed."""
    from verglas.actions.launch import prepare
    from verglas.cli.following import follow, report
    from verglas.execution.controller import load_entry

    old = _find(project_folder, number)
    request = old.request()
    parameters = dict(request.parameters)
    for change in changes:
        name, sign, value = change.partition("=")
        if not sign:
            raise InputError(f"--set {change}: it should look like --set max_shift_A=30.")
        try:
            parameters[name] = json.loads(value)
        except ValueError:
            parameters[name] = value
    resources = request.resources
    prepared = prepare(
        load_entry(request.entry), parameters, request.inputs, project_folder=old.project_folder,
        project=request.project, seed=request.seed, device=resources.device, threads=resources.threads,
        workers=resources.workers, profile=resources.profile,
        reconstruction_profile=resources.reconstruction_profile, clone_of=number,
    )  # fmt: skip
    job, process = prepared.start()
    _run(job, process, detach, as_json, follow, report)


@jobs.command()
@click.option("--dot", is_flag=True, help="Print it for Graphviz.")
@project_option
@json_option
def graph(dot: bool, project_folder: Path | None, as_json: bool) -> None:
    """Show what came from what: which job's results went into which job."""
    from verglas.execution.job_folder import JobFolder
    from verglas.project.lineage import job_edges

    with open_project(project_folder) as project:
        edges = job_edges(project)
        titles = {job.number: job.request().title for job in JobFolder.all_in(project.layout.jobs)}
    gone = {number for edge in edges for number in edge} - set(titles)
    titles = dict(sorted((titles | {number: f"job {number} (deleted)" for number in gone}).items()))
    if as_json:
        print_json({"jobs": [{"job": n, "title": title} for n, title in titles.items()], "edges": edges})
    elif dot:
        nodes = [f"  {number} [label={json.dumps(title)}];" for number, title in titles.items()]
        sys.stdout.write("\n".join(["digraph jobs {", *nodes, *(f"  {a} -> {b};" for a, b in edges), "}"]) + "\n")
    else:
        _print_tree(titles, edges)


def _print_tree(titles: dict[int, str], edges: list[tuple[int, int]]) -> None:
    from rich.tree import Tree

    tree = Tree("imported data")
    shown: set[int] = set()

    def add(branch: Tree, number: int) -> None:
        children = [b for a, b in edges if a == number]
        known = number in shown and children
        twig = branch.add(titles[number] + (" (see above)" if known else ""))
        shown.add(number)
        for child in [] if known else children:
            add(twig, child)

    fed = {b for _, b in edges}
    for number in titles:
        if number not in fed:
            add(tree, number)
    console().print(tree)


def _run(
    job: JobFolder, process: subprocess.Popen[bytes], detach: bool, as_json: bool, follow: Any, report: Any
) -> None:
    if detach:
        _answer(job, "runs", as_json)
        return
    follow(job, process, quiet=as_json)
    sys.exit(report(job, as_json=as_json))


def _answer(job: JobFolder, words: str, as_json: bool) -> None:
    if as_json:
        print_json({"job": job.number, "state": job.state().name, "folder": str(job.path)})
    else:
        console().print(f"Job {job.number} {words}.")
