"""``verglas batch``: print a batch script for those who may only submit scripts."""

from __future__ import annotations

import shlex
import sys

import click

from verglas.actions.table import ACTIONS


@click.command(context_settings={"ignore_unknown_options": False})
@click.argument("words", nargs=-1, required=True, metavar="-- COMMAND...")
@click.option("--workers", type=click.IntRange(1), default=8, show_default=True, help="Workers.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Threads a worker.")
@click.option("--memory", type=click.FloatRange(0.1), default=4.0, show_default=True, help="GB a thread.")
@click.option("--partition", help="Partition [default: the site's].")
@click.option("--time", "limit", default="08:00:00", show_default=True, help="Walltime.")
@click.option("--project", type=click.Path(exists=True, file_okay=False), default=".", help="Project folder [.].")
def batch(
    words: tuple[str, ...], workers: int, threads: int, memory: float, partition: str | None, limit: str, project: str
) -> None:
    """Print a Slurm script that runs COMMAND, such as `align-movies` or `jobs resume 12`, in one allocation.

    The job's controller runs in the script and starts its workers with srun. Submit what is printed:

        verglas batch --workers 16 --partition cpu -- align-movies --max-shift 30 | sbatch
    """
    from verglas.errors import InputError
    from verglas.execution.profile_store import ALLOCATION_PROFILE

    if words[0] not in ACTIONS and words[:2] != ("jobs", "resume"):
        raise InputError(f"{words[0]!r} is no action; a batch script runs one of {', '.join(ACTIONS)}, or jobs resume.")
    command = [sys.executable, "-P", "-m", "verglas", *words]
    if words[0] in ACTIONS:
        command += ["--profile", ALLOCATION_PROFILE, "--workers", str(workers), "--threads", str(threads)]
    lines = [
        "#!/bin/sh",
        f"#SBATCH --job-name=verglas-{words[0]}",
        f"#SBATCH --ntasks={workers}",
        f"#SBATCH --cpus-per-task={threads}",
        f"#SBATCH --mem-per-cpu={round(memory * 1000)}M",
        f"#SBATCH --time={limit}",
        *([f"#SBATCH --partition={partition}"] if partition else []),
        f"cd {shlex.quote(_absolute(project))} || exit 1",
        f"exec {shlex.join(command)}",
    ]
    click.echo("\n".join(lines))


def _absolute(folder: str) -> str:
    from pathlib import Path

    return str(Path(folder).absolute())
