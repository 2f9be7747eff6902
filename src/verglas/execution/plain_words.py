"""What shells, ssh, batch systems and workers say when a worker does not come, and what that means for the user."""

from __future__ import annotations

import re

MEANINGS: tuple[tuple[str, str], ...] = (
    (
        r"(?:^|[\s:])(?P<what>[\w./-]+): (?:command )?not found",
        "no scheduler: the command {what} is not on this machine (or not on PATH); log in where jobs are submitted, or "
        "mend the command of the profile",
    ),
    (
        r"Unable to contact slurm controller|Unable to contact the slurm|cannot connect to (?:PBS )?server"
        r"|cannot contact (?:LSF|qmaster)|LSF is down",
        "no scheduler: its commands are here but its daemon does not answer; ask those who run the cluster",
    ),
    (
        r"[Ii]nvalid partition|[Uu]nknown queue|No such queue|does not exist",
        "the profile names a queue that there is not",
    ),
    (
        r"Permission denied \(|Host key verification failed",
        "ssh: it must go without a password: put a key in place (ssh-copy-id) and log in once by hand",
    ),
    (
        r"ssh: connect to host|Could not resolve hostname",
        "ssh: that machine cannot be reached by this name",
    ),
    (
        r"No module named '?verglas|python[\w.]*: No such file|python[\w.]*: cannot execute|not a directory: .*python",
        "verglas is not installed under the same path on that machine: install it once in a folder that all see",
    ),
    (
        r"does not see its folder|does not see the job's folder|is not in the job's folder",
        "folder not shared: that machine does not see the project's folder under the same path (or not in time)",
    ),
    (r"install the same on both", "version mismatch: controller and worker are not the same verglas and Python"),
    (
        r"joined but cannot be reached",
        "firewall: workers can reach the controller, but the controller cannot reach their ports: open the profile's "
        "ports on the nodes, and set --ports",
    ),
    (r"no route to", "no route back: give the --address or --interface of this machine that the nodes can see"),
    (
        r"a firewall, or no way back",
        "firewall, or no route back: open the profile's --ports on this machine, or give the --address or --interface "
        "that the nodes can see",
    ),
    (r"refuses: nobody listens", "firewall: the connection is rejected, or the controller has ended"),
    (r"a worker takes \d+ GPU", "GPUs: the command does not get as many as the profile says"),
)


def meaning(words: str) -> str:
    """Return what words mean for somebody who has made a run profile; an empty text for words that are not known."""
    for pattern, text in MEANINGS:
        found = re.search(pattern, words)
        if found:
            return text.format(**found.groupdict())
    return ""
