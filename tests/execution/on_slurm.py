"""What tests on the Slurm that they started themselves share: profiles in the FAQ's three ways, and its queue."""

from __future__ import annotations

import subprocess

from verglas.execution.addresses import HERE
from verglas.execution.profile_templates import find_template
from verglas.execution.run_profile import RunCommand, RunProfile

VALUES = {
    "slurm-workers": {"threads": "1", "GB": "1", "partition": "debug"},
    "slurm-manager": {"threads": "1", "GB": "1", "partition": "debug"},
    "slurm-allocation": {"threads": "1", "GB": "1", "GB per core": "1", "partition": "debug", "workers": "3"},
}


def profile(template: str, copies: int = 2) -> RunProfile:
    manager, command = find_template(template).filled(VALUES[template])
    one = RunCommand(command=command, copies=copies)
    return RunProfile(name=template, manager_command=manager, commands=(one,), addresses=(HERE,))


def queue() -> list[str]:
    """Return the numbers of all jobs that wait or run."""
    done = subprocess.run(["squeue", "--me", "-h", "-o", "%A"], capture_output=True, text=True, check=True)
    return done.stdout.split()
