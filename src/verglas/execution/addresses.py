"""Which address and port a scheduler or worker listens on: the stated one, or the one that leads to the others."""

from __future__ import annotations

import socket

import psutil

from verglas.errors import InputError
from verglas.execution.run_profile import RunProfile

HERE = "127.0.0.1"


def addresses_here() -> dict[str, list[str]]:
    """Return the IPv4 addresses of this machine by interface."""
    return {
        name: [one.address for one in found if one.family == socket.AF_INET]
        for name, found in psutil.net_if_addrs().items()
    }


def scheduler_address(profile: RunProfile) -> str:
    """Return the address on which the scheduler of a job listens.

    That is 127.0.0.1 if all workers are on this machine; else the first of the profile's addresses that this machine
    has, or its interface's; else the address from which packets leave for other networks.

    Raises
    ------
    InputError
        This machine has no such address or interface.
    """
    here = addresses_here()
    every = [address for found in here.values() for address in found]
    if profile.addresses:
        for name in profile.addresses:
            for address in _resolve(name):
                if address in every:
                    return address
        raise InputError(
            f"Run profile {profile.name!r}: {socket.gethostname()} has none of its addresses "
            f"{', '.join(profile.addresses)}, but {', '.join(every)}. Where the manager runs on a node that is not "
            "known beforehand, give the network interface instead, or neither."
        )
    if profile.interface:
        if not here.get(profile.interface):
            raise InputError(
                f"Run profile {profile.name!r}: {socket.gethostname()} has no network interface "
                f"{profile.interface!r} with an address; there is {', '.join(sorted(here))}."
            )
        return here[profile.interface][0]
    if profile.is_local:
        return HERE
    outward = route_to("192.0.2.1")
    others = [address for address in every if not address.startswith("127.")]
    return outward or (others[0] if others else HERE)


def route_to(host: str) -> str | None:
    """Return the address of this machine from which packets go to another one; None where there is no route."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:  # nothing is sent
        try:
            probe.connect((host, 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])


def _resolve(name: str) -> list[str]:
    try:
        found = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)
    except OSError:
        return []
    return [str(one[4][0]) for one in found]
