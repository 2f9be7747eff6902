"""Whether one machine can open a connection to another, and in plain words why not."""

from __future__ import annotations

import errno
import socket

PROBE_SECONDS = 4.0
_NO_ROUTE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL, errno.EACCES}
SEE_PROFILE = "see addresses, interface and ports of the run profile"


def why_unreachable(address: str, seconds: float = PROBE_SECONDS) -> str:
    """Try to open a connection and say why that does not go; an empty text where it does.

    Parameters
    ----------
    address
        ``tls://host:port``.
    seconds
        How long to try.
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=seconds).close()
    except ConnectionRefusedError:
        return f"port {port} of {host} refuses: nobody listens there any more, or a firewall rejects it; {SEE_PROFILE}"
    except TimeoutError:
        return f"no answer from port {port} of {host} in {seconds:.0f} s: a firewall, or no way back; {SEE_PROFILE}"
    except OSError as error:
        if error.errno in _NO_ROUTE:
            return f"there is no route to {host} ({error.strerror}): another network, or a firewall; {SEE_PROFILE}"
        return f"{host}:{port}: {error}"
    return ""
