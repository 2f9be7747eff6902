"""Run profiles to start from, with ``#{...}`` where a site's own values go, as in cisTEM's FAQ."""

from __future__ import annotations

from dataclasses import dataclass

from verglas.errors import InputError
from verglas.execution.run_profile import PLACEHOLDER, PLAIN


@dataclass(frozen=True)
class Template:
    """A profile with gaps.

    Attributes
    ----------
    name
        What ``--template`` names it by.
    what
        What it is good for.
    manager_command, command
        As in a profile, with gaps.
    delay_ms
        Pause between two workers.
    """

    name: str
    what: str
    command: str
    manager_command: str = PLAIN
    delay_ms: int = 10

    @property
    def gaps(self) -> list[str]:
        """Names of the values that must be given."""
        return list(dict.fromkeys(PLACEHOLDER.findall(self.manager_command + self.command)))

    def filled(self, values: dict[str, str]) -> tuple[str, str]:
        """Return manager command and command with the gaps filled.

        Raises
        ------
        InputError
            A value is missing, or there is no such gap.
        """
        unknown = sorted(set(values) - set(self.gaps))
        if unknown:
            raise InputError(f"The template {self.name!r} has no gap {', '.join(unknown)}, but {', '.join(self.gaps)}.")
        missing = [gap for gap in self.gaps if gap not in values]
        if missing:
            raise InputError(
                f"The template {self.name!r} needs " + " ".join(f"--set {gap}=..." for gap in missing) + "."
            )
        manager, command = self.manager_command, self.command
        for gap, value in values.items():
            manager, command = manager.replace(f"#{{{gap}}}", value), command.replace(f"#{{{gap}}}", value)
        return manager, command


_SBATCH = 'sbatch -n 1 -c #{threads} --mem #{GB}G -p #{partition} -J $program_name --wrap="$command"'

TEMPLATES = (
    Template("slurm-workers", "Slurm: each worker is a job of its own; the controller runs here", _SBATCH, PLAIN, 100),
    Template(
        "slurm-gpu",
        "Slurm: as slurm-workers, each worker with GPUs",
        _SBATCH.replace("-p #{partition}", "-p #{partition} --gres=gpu:#{gpus}"),
        PLAIN,
        100,
    ),
    Template(
        "slurm-manager",
        "Slurm: the controller runs on a node too, for head nodes with limits",
        _SBATCH,
        "srun -p #{partition} -n 1 -c 1 $command",
        100,
    ),
    Template(
        "slurm-allocation",
        "Slurm: one allocation holds controller and workers, for queues that are long",
        "srun --exact -N 1 -n 1 -c #{threads} --mem #{GB}G $command",
        "salloc -p #{partition} -n #{workers} -c #{threads} --mem-per-cpu #{GB per core}G "
        "srun --overlap -N 1 -n 1 -c 1 --mem 0 $command",
        50,
    ),
    Template(
        "slurm-inside",
        "Slurm: inside an allocation that you have already, as in a batch script",
        "srun --exact -n #{workers} -c #{threads} $command",
    ),
    Template(
        "pbs", "PBS or Torque",
        'echo "$command" | qsub -q #{queue} -N $program_name -l select=1:ncpus=#{threads}:mem=#{GB}gb', PLAIN, 100,
    ),
    Template(
        "sge", "Grid Engine", "qsub -b y -V -cwd -q #{queue} -N $program_name -pe smp #{threads} $command", PLAIN, 100
    ),
    Template(
        "lsf", "LSF", 'bsub -q #{queue} -J $program_name -n #{threads} -R "span[hosts=1]" $command', PLAIN, 100
    ),
    Template("ssh", "Another computer that you can reach without a password", "ssh -o BatchMode=yes #{host} $command"),
)  # fmt: skip


def find_template(name: str) -> Template:
    """Return a template by its name.

    Raises
    ------
    InputError
        There is none.
    """
    for template in TEMPLATES:
        if template.name == name:
            return template
    there = ", ".join(template.name for template in TEMPLATES)
    raise InputError(f"There is no template {name!r}; there is {there}.")
