"""``verglas doctor``: look at this machine and project folder; one line a finding, with the remedy."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Literal, NamedTuple

import click

BROWSER_PORT = 8642
Verdict = Literal["ok", "note", "warning", "problem"]
SCHEDULERS = {
    "Slurm": "sbatch",
    "PBS": "qsub",
    "LSF": "bsub",
    "SGE": "qconf",
}


class Finding(NamedTuple):
    """One line of the report: what was looked at, how it stands, and what to do about it."""

    topic: str
    verdict: Verdict
    text: str
    remedy: str = ""


def check_python() -> Finding:
    """Look at the interpreter's width (pip has seen to its version)."""
    version = platform.python_version()
    if sys.maxsize < 2**32:
        return Finding(
            "Python", "problem", f"{version}, 32 bit", "install a 64-bit Python: maps do not fit into 32 bits."
        )
    return Finding("Python", "ok", f"{version} on {platform.machine()}")


def check_packages() -> Iterator[Finding]:
    """Look for every package that verglas declares as needed, and its version."""
    missing = []
    for requirement in importlib.metadata.requires("verglas") or []:
        if "extra ==" in requirement:
            continue
        name = re.split(r"[^A-Za-z0-9_.-]", requirement, maxsplit=1)[0]
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        yield Finding("Packages", "problem", "missing: " + ", ".join(missing), "run `pip install verglas` again.")
    else:
        yield Finding("Packages", "ok", "all that verglas needs are installed")


def check_threads() -> Finding:
    """Compare the cores of the machine with those this process may use and with the threads libraries were told."""
    total = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else total
    told = {name: os.environ[name] for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS") if name in os.environ}
    if usable < total:
        return Finding(
            "Threads", "note", f"{usable} of {total} cores may be used",
            "the scheduler or a container limits this shell; --threads counts within it.",
        )  # fmt: skip
    numba_threads = told.get("NUMBA_NUM_THREADS", "")
    if numba_threads.isdigit() and int(numba_threads) < usable:
        return Finding(
            "Threads", "warning", f"{usable} cores, but NUMBA_NUM_THREADS={numba_threads}",
            "unset NUMBA_NUM_THREADS, or kernels cannot use more threads than that.",
        )  # fmt: skip
    return Finding("Threads", "ok", f"{usable} cores may be used")


def check_memory() -> Finding:
    """Look at the memory that is free now, within the limit of the control group if there is one."""
    from verglas.execution.resources import this_machine

    free_GiB = this_machine().memory_bytes / 2**30
    if free_GiB < 4:
        return Finding(
            "Memory", "warning", f"{free_GiB:.1f} GiB free",
            "a 4096 x 4096 movie wants about 4 GiB: close other programs or ask the scheduler for more.",
        )  # fmt: skip
    return Finding("Memory", "ok", f"{free_GiB:.1f} GiB free")


def check_disk(folder: Path) -> Finding:
    """Look at the space that is left where the project lies."""
    usage = shutil.disk_usage(folder)
    text = f"{usage.free / 1e9:.0f} GB of {usage.total / 1e9:.0f} GB free in {folder}"
    if usage.free < 10e9:
        remedy = (
            "a few hundred micrographs with their particle stacks take 10 GB: free some space, or move the project."
        )
        return Finding("Disk", "warning", text, remedy)
    return Finding("Disk", "ok", text)


def check_file_system(folder: Path) -> Finding:
    """Look at the kind of file system and say what follows for the database."""
    from verglas.project.filesystems import describe

    kind = describe(folder)
    if kind.is_network:
        return Finding(
            "File system", "note", f"{kind.name}, shared between computers",
            "the database uses lock folders and no write-ahead log here; "
            "where it is slow, keep the database on a local disk with `verglas new --database FILE`.",
        )  # fmt: skip
    return Finding("File system", "ok", f"{kind.name}, local")


LOCK_CHILD = """
import fcntl, os, sys
handle = open(sys.argv[1], "r+b")
try:
    fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    sys.exit(7)
"""


def check_lock(folder: Path) -> Finding:
    """Take a real lock in the folder and let a second process try to take it too, then try the same with a folder."""
    import fcntl

    try:
        with tempfile.TemporaryDirectory(prefix=".verglas-doctor-", dir=folder) as scratch:
            file = Path(scratch) / "lock"
            with file.open("w+b") as handle:
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                child = subprocess.run([sys.executable, "-c", LOCK_CHILD, file], timeout=20, check=False)
            claimed = Path(scratch) / "claimed"
            claimed.mkdir()
            try:
                claimed.mkdir()
                exclusive = False
            except FileExistsError:
                exclusive = True
    except OSError as error:
        return Finding(
            "Lock", "problem", f"no lock can be taken in {folder}: {error.strerror}",
            "check that you may write there; on Lustre ask for a mount with flock, or put the database elsewhere "
            "with --database.",
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Finding("Lock", "problem", f"a lock in {folder} hangs", "keep the database on a local disk: --database.")
    if not exclusive:
        return Finding("Lock", "problem", f"mkdir in {folder} is not exclusive", "move the project to another disk.")
    if child.returncode != 7:
        return Finding(
            "Lock", "problem", f"two processes can hold the same lock in {folder}",
            "two programs could write the database at once: put it on a local disk with --database.",
        )  # fmt: skip
    return Finding("Lock", "ok", "a second process is kept out")


def check_browser_port(port: int) -> Finding:
    """Try to listen on the loopback port that the page would use, and to connect to it."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen(1)
            listener.settimeout(5)
            with closing(socket.create_connection(("127.0.0.1", port), timeout=5)):
                listener.accept()[0].close()
        except OSError as error:
            return Finding(
                "Browser port", "warning", f"127.0.0.1:{port}: {error.strerror or error}",
                "another program listens there, or loopback is blocked: choose another with --port.",
            )  # fmt: skip
    return Finding("Browser port", "ok", f"127.0.0.1:{port} is free")


def check_gpu() -> Finding:
    """Ask the driver for graphics cards, and look whether CuPy is installed for them."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return Finding("GPU", "note", "none found", "not needed: every stage runs on the CPU.")
    asked = subprocess.run(
        [program, "--query-gpu=name,memory.total", "--format=csv,noheader"],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    if asked.returncode:
        words = asked.stderr.strip() or asked.stdout.strip() or "no answer"
        return Finding(
            "GPU", "warning", f"nvidia-smi failed: {words}", "check the driver; jobs run on the CPU meanwhile."
        )
    cards = "; ".join(line.strip() for line in asked.stdout.splitlines())
    try:
        importlib.metadata.version("cupy-cuda12x")
    except importlib.metadata.PackageNotFoundError:
        return Finding("GPU", "warning", f"{cards}, but no CuPy", "run `pip install 'verglas[gpu]'` to use it.")
    return Finding("GPU", "ok", cards)


def check_scheduler() -> Finding:
    """Look for the submit commands of the known batch systems."""
    found = [f"{name} ({command})" for name, command in SCHEDULERS.items() if shutil.which(command)]
    if not found:
        return Finding("Scheduler", "note", "no batch system found", "not needed on one computer.")
    return Finding("Scheduler", "ok", ", ".join(found))


def check_kernels() -> Finding:
    """Look whether compiled kernels can be kept, which saves every worker a minute."""
    from verglas.kernels.compile import cache_folder

    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding(
            "Kernel cache", "warning", f"{folder} cannot be written: {error.strerror}",
            "set XDG_CACHE_HOME to a folder you may write, or every worker compiles anew.",
        )  # fmt: skip
    if not any(folder.rglob("*.nbi")):
        return Finding("Kernel cache", "note", f"{folder} is empty", "run `python -m verglas.kernels` once to fill it.")
    return Finding("Kernel cache", "ok", str(folder))


def findings(folder: Path, port: int) -> Iterator[Finding]:
    """Run every check; one that fails unexpectedly becomes a finding of its own."""
    checks: list[tuple[str, Callable[[], Finding | Iterator[Finding]]]] = [
        ("Python", check_python),
        ("Packages", check_packages),
        ("Kernel cache", check_kernels),
        ("Threads", check_threads),
        ("Memory", check_memory),
        ("Disk", lambda: check_disk(folder)),
        ("File system", lambda: check_file_system(folder)),
        ("Lock", lambda: check_lock(folder)),
        ("Browser port", lambda: check_browser_port(port)),
        ("GPU", check_gpu),
        ("Scheduler", check_scheduler),
    ]
    for topic, check in checks:
        try:
            found = check()
            yield from [found] if isinstance(found, Finding) else found
        except Exception as error:
            yield Finding(topic, "problem", f"{type(error).__name__}: {error}", "please report this.")


@click.command()
@click.option(
    "--project", "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default=".",
    help="Project folder to look at [default: the folder one stands in].",
)  # fmt: skip
@click.option("--port", default=BROWSER_PORT, show_default=True, help="Loopback port that the page would use.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(folder: Path, port: int, as_json: bool) -> None:
    """Check this machine and the project folder; exit status 1 if something keeps verglas from working."""
    found = list(findings(folder.resolve(), port))
    if as_json:
        click.echo(json.dumps({"findings": [finding._asdict() for finding in found]}))
    else:
        colours = {"ok": "green", "note": "cyan", "warning": "yellow", "problem": "red"}
        for finding in found:
            line = f"{finding.topic:<13} " + click.style(f"{finding.verdict:<8}", fg=colours[finding.verdict])
            click.echo(f"{line} {finding.text}" + (f" - {finding.remedy}" if finding.remedy else ""))
    if any(finding.verdict == "problem" for finding in found):
        sys.exit(1)
