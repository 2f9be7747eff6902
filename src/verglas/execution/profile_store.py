"""The run profiles of a user: one JSON file each in ``~/.config/verglas/profiles``, and cisTEM's own profile files."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import quote

from pydantic import ValidationError

from verglas.errors import FormatError, InputError
from verglas.execution import durable
from verglas.execution.run_profile import DEFAULT_PROFILE, RunCommand, RunProfile

FOLDER_VARIABLE = "VERGLAS_PROFILES"
"""Environment variable: folders of profiles, separated by colons; new ones are written to the first."""
ALLOCATION_PROFILE = "Slurm Allocation"
BUILT_IN = {
    DEFAULT_PROFILE: RunProfile(name=DEFAULT_PROFILE),
    ALLOCATION_PROFILE: RunProfile(
        name=ALLOCATION_PROFILE,
        commands=(
            RunCommand(command="srun --exact -N 1 -n 1 -c ${SLURM_CPUS_PER_TASK:-1} $command", copies=1, delay_ms=50),
        ),
    ),
}
"""Workers on this machine, planned from its cores and memory; and steps of the allocation that one is inside of."""


def profile_folders() -> list[Path]:
    """Return the folders where profiles lie: the user's, then the site's."""
    given = os.environ.get(FOLDER_VARIABLE)
    if given:
        return [Path(one) for one in given.split(":") if one]
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return [home / "verglas" / "profiles", Path("/etc/verglas/profiles")]


def all_profiles() -> list[RunProfile]:
    """Return all profiles by name, the default one first; the user's go before the site's of the same name.

    Raises
    ------
    FormatError
        A file is damaged.
    """
    found = dict(BUILT_IN)
    for folder in profile_folders():
        for path in sorted(folder.glob("*.json")) if folder.is_dir() else []:
            profile = read_profile(path)
            found.setdefault(profile.name, profile)
    own = [found[name] for name in found if name not in BUILT_IN]
    return [*BUILT_IN.values(), *sorted(own, key=lambda one: one.name)]


def find_profile(name: str) -> RunProfile:
    """Return a profile by its name.

    Raises
    ------
    InputError
        There is no such profile.
    """
    profiles = all_profiles()
    for profile in profiles:
        if profile.name == name:
            return profile
    there = ", ".join(repr(profile.name) for profile in profiles)
    raise InputError(f"There is no run profile {name!r}; there is {there}. `verglas profiles add` makes one.")


def read_profile(path: Path) -> RunProfile:
    """Read one profile from its JSON file.

    Raises
    ------
    FormatError
        It is none.
    """
    try:
        return RunProfile.model_validate_json(path.read_bytes())
    except ValidationError as error:
        words = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise FormatError(path, f"no run profile: {words}.", "Correct it, or remove it and add it again.") from error


def save_profile(profile: RunProfile, *, replace: bool = False) -> Path:
    """Keep a profile among the user's own and return its file.

    Raises
    ------
    InputError
        There is one of that name already, or the name is the built-in one's.
    """
    if profile.name in BUILT_IN:
        raise InputError(f"{profile.name!r} is built in; give yours another name.")
    path = _own_file(profile.name)
    if path.exists() and not replace:
        raise InputError(f"There is a run profile {profile.name!r} already; --replace puts this one in its place.")
    path.parent.mkdir(parents=True, exist_ok=True)
    durable.write_whole(path, profile.model_dump_json(indent=1).encode() + b"\n")
    return path


def remove_profile(name: str) -> None:
    """Remove one of the user's own profiles.

    Raises
    ------
    InputError
        It is not the user's own.
    """
    path = _own_file(name)
    if not path.exists():
        find_profile(name)
        raise InputError(f"The run profile {name!r} is built in or the site's; only your own can be removed.")
    path.unlink()


def _own_file(name: str) -> Path:
    return profile_folders()[0] / f"{quote(name, safe=' ')}.json"


# cisTEM's file


_LINE = re.compile(r"\s*([a-z0-9_]+)\s*=\s*(.*?)\s*$")


def read_cistem_profiles(path: Path) -> list[RunProfile]:
    """Read the run profiles that cisTEM exports.

    The address of its GUI has no meaning here and is left out. A command without ``$command`` is kept: it is run as
    it stands.

    Raises
    ------
    FormatError
        Lines are missing or make no sense.
    """
    values: dict[str, str] = {}
    for line in path.read_text().splitlines():
        match = _LINE.match(line)
        if match:
            text = match[2]
            quoted = len(text) > 1 and text[0] == text[-1] == '"'
            values[match[1]] = text[1:-1] if quoted else text

    def value(name: str, default: str | None = None) -> str:
        found = values.get(name, default)
        if found is None:
            raise FormatError(path, f"the line {name}= is missing.", "Export the profiles from cisTEM again.")
        return found

    def number(name: str) -> int:
        try:
            return int(value(name))
        except ValueError as error:
            raise FormatError(path, f"{name}={value(name)} is no number.", "Correct that line.") from error

    made = []
    first = 0 if "profile_0_name" in values else 1
    for i in range(first, number("number_of_profiles") + first):
        at = f"profile_{i}"
        commands = []
        begin = 0 if f"{at}_command_0_command_to_run" in values else 1
        for j in range(begin, number(f"{at}_number_of_run_commands") + begin):
            one = f"{at}_command_{j}"
            override = value(f"{one}_should_override_total_number_of_copies", "0").lower() in {"1", "yes", "true"}
            commands.append(
                RunCommand(
                    command=value(f"{one}_command_to_run"), copies=number(f"{one}_number_of_copies"),
                    threads=int(value(f"{one}_number_of_threads_per_copy", "1")),
                    delay_ms=int(value(f"{one}_delay_time_in_ms", "10")),
                    total_workers=number(f"{one}_overriden_total_number_of_copies") if override else None,
                )
            )  # fmt: skip
        address = value(f"{at}_controller_address", "")
        try:
            made.append(
                RunProfile(
                    name=value(f"{at}_name"), manager_command=value(f"{at}_manager_command"), commands=tuple(commands),
                    addresses=() if address.lower() in {"", "automatic"} else tuple(address.split(",")),
                )
            )  # fmt: skip
        except ValidationError as error:
            raise FormatError(path, f"{at}: {error.errors()[0]['msg']}.", "Correct it in cisTEM.") from error
    return made


def write_cistem_profiles(path: Path, profiles: list[RunProfile]) -> None:
    """Write run profiles as a file that cisTEM imports; interface, ports and memory have no place there."""
    lines = [f"number_of_profiles={len(profiles)}"]
    for i, profile in enumerate(profiles, 1):
        at = f"profile_{i}"
        lines += [
            f'{at}_name="{profile.name}"',
            f'{at}_manager_command="{profile.manager_command}"',
            f'{at}_gui_address=""',
            f'{at}_controller_address="{",".join(profile.addresses)}"',
            f"{at}_number_of_run_commands={len(profile.commands)}",
        ]
        for j, command in enumerate(profile.commands, 1):
            one = f"{at}_command_{j}"
            lines += [
                f'{one}_command_to_run="{command.command}"',
                f"{one}_number_of_copies={command.copies}",
                f"{one}_number_of_threads_per_copy={command.threads}",
                f"{one}_should_override_total_number_of_copies={int(command.total_workers is not None)}",
                f"{one}_overriden_total_number_of_copies={command.total_workers or 1}",
                f"{one}_delay_time_in_ms={command.delay_ms}",
            ]
    path.write_text("\n".join(lines) + "\n")
