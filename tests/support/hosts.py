"""Hosts made of network namespaces: each has an address, a name and a firewall of its own; needs root."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.oracles import missing


@dataclass(frozen=True)
class Host:
    """One of them.

    Attributes
    ----------
    name
        Of its namespace, and what it calls itself.
    link
        The end of its cable that is in this machine.
    address, gateway
        Its own address, and this machine's on the same cable.
    """

    name: str
    link: str
    address: str
    gateway: str

    def command(self, inner: str = "exec $command") -> str:
        """Return what a run profile says to start a worker there; ``inner`` is a shell's script without quotes."""
        return f'ip netns exec {self.name} unshare -m -u sh -c "hostname {self.name}; {inner}"'

    def run(self, *words: str) -> str:
        """Run a command there and return what it prints."""
        return run("ip", "netns", "exec", self.name, *words)

    def unplug(self) -> None:
        """Pull its cable: it dies without a word."""
        run("ip", "link", "set", self.link, "down")

    def drop(self, hook: str, rule: str) -> None:
        """Have its firewall drop what comes in (``input``) or goes out (``output``) and fits a rule of nft's."""
        if shutil.which("nft", path=f"{os.environ['PATH']}:/usr/sbin") is None:
            missing("nft", "apt-get install nftables")
        try:
            self.run("nft", "add table inet wall")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"the kernel has no nf_tables: {error.stderr}")
        self.run("nft", f"add chain inet wall {hook} {{ type filter hook {hook} priority 0; }}")
        self.run("nft", f"add rule inet wall {hook} {rule} drop")


def run(*words: str) -> str:
    """Run a command and return what it prints."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    return subprocess.run(words, check=True, capture_output=True, text=True, env={**os.environ, "PATH": path}).stdout


@contextmanager
def hosts(count: int) -> Iterator[list[Host]]:
    """Make hosts, each at the end of a cable from this machine, and take them down again."""
    if shutil.which("ip", path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
        missing("ip", "apt-get install iproute2")
    made: list[Host] = []
    try:
        for number in range(count):
            made.append(_make(number))
        yield made
    finally:
        for host in made:
            for process in run("ip", "netns", "pids", host.name).split():
                subprocess.run(["kill", "-9", process], check=False, capture_output=True)
            run("ip", "netns", "del", host.name)
            subprocess.run(["ip", "link", "del", host.link], check=False, capture_output=True)


def _make(number: int) -> Host:
    base = (os.getpid() * 4 + number) % 65536
    subnet = f"10.{64 + base // 256 % 64}.{base % 256}"
    tag = f"{os.getpid()}{'abcd'[number]}"
    host = Host(f"node-{tag}", f"vg{tag}", f"{subnet}.2", f"{subnet}.1")
    try:
        run("ip", "netns", "add", host.name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"hosts need the right to make network namespaces (`ip netns add`): {error.stderr}")
    run("ip", "link", "add", host.link, "type", "veth", "peer", "name", "eth0", "netns", host.name)
    run("ip", "addr", "add", f"{host.gateway}/24", "dev", host.link)
    run("ip", "link", "set", host.link, "up")
    for words in (f"addr add {host.address}/24 dev eth0", "link set eth0 up", "link set lo up",
                  f"route add default via {host.gateway}"):  # fmt: skip
        run("ip", "-n", host.name, *words.split())
    return host


def older(folder: Path) -> str:
    """Return a command that starts a worker as if the controller were of another version."""
    script = folder / "older.sh"
    script.write_text('for last; do :; done\nsed -i \'s/"version": "/&9/\' "$last"\nexec "$@"\n')
    return f"sh {script} $command"
