"""A real Slurm of three nodes on this host, for tests: Debian's slurm-wlm and munge, rootless or not."""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

NODES = ("n1", "n2", "n3")
CPUS = 4
GPUS = 2
"""Pretended ones of each node, where device files can be made."""


def missing() -> str:
    """Say which program is missing, or nothing."""
    return next((one for one in ("slurmctld", "slurmd", "munged", "sbatch") if _which(one) is None), "")


def _which(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")


@contextmanager
def slurm(base: Path) -> Iterator[Path]:
    """Start the daemons, yield the configuration that ``SLURM_CONF`` has to name, stop them.

    Sockets must have short names: ``base`` should be a short path.
    """
    for name in ("munge", "state", "log", "run"):
        (base / name).mkdir(parents=True)
    (base / "munge").chmod(0o700)
    key = base / "munge" / "key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    munge = base / "run" / "munge.socket"
    conf = base / "slurm.conf"
    devices = _pretended_gpus(base)
    conf.write_text(_configuration(base, munge, _free_ports(2 + len(NODES)), gpus=bool(devices)))
    (base / "gres.conf").write_text(
        "".join(f"NodeName={node} Name=gpu Type=fake File={base}/run/gpu[0-{GPUS - 1}]\n" for node in NODES if devices)
    )
    environment = {**os.environ, "SLURM_CONF": str(conf), "PATH": f"{os.environ['PATH']}:/usr/sbin"}

    def run(*command: str) -> None:
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=30)

    try:
        run(
            "munged", f"--key-file={key}", f"--socket={munge}", f"--log-file={base}/log/munged.log",
            f"--pid-file={base}/run/munged.pid", f"--seed-file={base}/munge/seed", "--force",
        )  # fmt: skip
        run("slurmctld", "-f", str(conf), "-c")
        for node in NODES:
            run("slurmd", "-f", str(conf), "-N", node, "-c")
        end = time.monotonic() + 240
        while True:
            command = ["sinfo", "-h", "-t", "idle", "-o", "%D"]
            said = subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout.strip()
            if said == str(len(NODES)):
                break
            assert time.monotonic() < end, f"Slurm did not come up: {said!r}; see {base}/log"
            time.sleep(0.1)
        yield conf
    finally:
        names = [*(f"slurmd-{node}" for node in NODES), "slurmctld", "munged"]
        stopped = []
        for name in names:
            with suppress(OSError, ValueError, psutil.Error):
                process = psutil.Process(int((base / "run" / f"{name}.pid").read_text()))
                stopped += process.children(recursive=True) if name.startswith("slurmd") else []
                stopped.append(process)
                process.terminate()
        _, alive = psutil.wait_procs(stopped, timeout=5)
        for process in alive:
            with suppress(psutil.Error):
                process.kill()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _pretended_gpus(base: Path) -> list[Path]:
    """Make device files (twins of /dev/null) that Slurm hands out as GPUs; none where one may not."""
    made = [base / "run" / f"gpu{number}" for number in range(GPUS)]
    for path in made:
        try:
            os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        except OSError:
            return []
    return made


def _configuration(base: Path, munge: Path, ports: list[int], *, gpus: bool) -> str:
    host, user = socket.gethostname().split(".")[0], getpass.getuser()
    lines = [
        "ClusterName=verglas",
        f"SlurmctldHost={host}(127.0.0.1)",
        f"SlurmUser={user}",
        f"SlurmdUser={user}",
        "AuthType=auth/munge",
        f"AuthInfo=socket={munge}",
        "CredType=cred/munge",
        "CommunicationParameters=NoCtldInAddrAny,NoInAddrAny",
        f"SlurmctldPort={ports[0]}",
        f"StateSaveLocation={base}/state",
        f"SlurmdSpoolDir={base}/run/spool-%n",
        f"SlurmctldPidFile={base}/run/slurmctld.pid",
        f"SlurmdPidFile={base}/run/slurmd-%n.pid",
        f"SlurmctldLogFile={base}/log/slurmctld.log",
        f"SlurmdLogFile={base}/log/slurmd-%n.log",
        "ProctrackType=proctrack/linuxproc",
        "TaskPlugin=task/none",
        "JobAcctGatherType=jobacct_gather/none",
        "AccountingStorageType=accounting_storage/none",
        "SwitchType=switch/none",
        "MpiDefault=none",
        "ReturnToService=2",
        "SchedulerType=sched/backfill",
        "SchedulerParameters=bf_interval=2,sched_min_interval=100000,sched_interval=2",
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_CPU_Memory",
        "SlurmdParameters=config_overrides",
        "DefMemPerCPU=256",
        "KillWait=2",
        "MinJobAge=30",
        *(["GresTypes=gpu"] if gpus else []),
    ]
    resources = f"CPUs={CPUS} RealMemory=6000" + (f" Gres=gpu:fake:{GPUS}" if gpus else "")
    lines += [
        f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} {resources} State=UNKNOWN"
        for node, port in zip(NODES, ports[2:])
    ]
    lines.append(f"PartitionName=debug Nodes=n[1-{len(NODES)}] Default=YES MaxTime=60:00 State=UP")
    return "\n".join(lines) + "\n"
