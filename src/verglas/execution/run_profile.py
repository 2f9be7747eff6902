"""A run profile: by which commands a job's controller and workers are started, and where they listen."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

PLAIN = "$command"
"""A command that is just this starts a process on the same machine."""
PLACEHOLDER = re.compile(r"#\{([^}]+)\}")


class RunCommand(BaseModel):
    """One way to start workers.

    Attributes
    ----------
    command
        A shell command in which ``$command`` stands for what starts a worker, ``$program_name`` for the action.
    copies
        How often it is run.
    threads
        Threads of each worker.
    delay_ms
        Pause between two of them, in milliseconds, so that a scheduler is not flooded.
    total_workers
        How many workers all copies make together, where that is not one each (``srun -n 8 $command``).
    gpus
        GPUs of each worker: copy k is shown the k-th so many of those that its machine, or its batch system, shows.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    command: str = PLAIN
    copies: Annotated[int, Field(ge=1)] = 2
    threads: Annotated[int, Field(ge=1)] = 1
    delay_ms: Annotated[int, Field(ge=0)] = 10
    total_workers: Annotated[int, Field(ge=1)] | None = None
    gpus: Annotated[int, Field(ge=0)] = 0

    @property
    def workers(self) -> int:
        """How many workers it makes."""
        return self.copies if self.total_workers is None else self.total_workers

    @property
    def shares_file(self) -> bool:
        """Whether one run of it makes several workers, which then read one file."""
        return self.workers > self.copies


class RunProfile(BaseModel):
    """Where and how jobs run.

    Attributes
    ----------
    name
        What ``--profile`` names it by.
    manager_command
        A shell command in which ``$command`` stands for what starts the job's controller.
    commands
        What starts its workers.
    addresses
        Addresses of which the controller's scheduler takes the first that its machine has; none: chosen by itself.
    interface
        Network interface whose address it takes, such as ``ib0``.
    ports
        First and last port that scheduler and workers may listen on; none: any free one.
    worker_memory_bytes
        What each worker may use on its node; none: not known, so that it is not checked.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1)]
    manager_command: str = PLAIN
    commands: Annotated[tuple[RunCommand, ...], Field(min_length=1)] = (RunCommand(),)
    addresses: tuple[str, ...] = ()
    interface: str = ""
    ports: tuple[int, int] | None = None
    worker_memory_bytes: Annotated[int, Field(gt=0)] | None = None

    @field_validator("manager_command")
    @classmethod
    def _starts_controller(cls, command: str) -> str:
        if PLAIN not in command:
            raise ValueError("the manager command must contain $command, which starts the job's controller")
        return command

    @field_validator("ports")
    @classmethod
    def _range(cls, ports: tuple[int, int] | None) -> tuple[int, int] | None:
        if ports is not None and not 1024 <= ports[0] <= ports[1] <= 65535:
            raise ValueError("ports are two numbers between 1024 and 65535, the smaller one first")
        return ports

    @model_validator(mode="after")
    def _filled_in(self) -> RunProfile:
        for text in (self.manager_command, *(one.command for one in self.commands)):
            found = PLACEHOLDER.search(text)
            if found:
                raise ValueError(f"{found[0]} in {text!r} stands for a value that you have to give")
        return self

    @property
    def is_local(self) -> bool:
        """Whether all of it runs on this machine, started by the controller itself."""
        return self.manager_command.strip() == PLAIN and all(one.command.strip() == PLAIN for one in self.commands)

    @property
    def workers(self) -> int:
        """How many workers its commands make together."""
        return sum(one.workers for one in self.commands)

    @property
    def threads(self) -> int:
        """Threads of the smallest of its workers."""
        return min(one.threads for one in self.commands)

    @property
    def gpus(self) -> int:
        """GPUs of that of its workers which has the fewest."""
        return min(one.gpus for one in self.commands)


DEFAULT_PROFILE = "Default Local"
