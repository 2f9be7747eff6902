"""Read and write particles in any package's format, chosen by ending, content or name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from verglas.errors import FormatError, InputError
from verglas.formats.cistem import read_cistem_binary, read_cistem_star, write_cistem_binary, write_cistem_star
from verglas.formats.cryosparc import read_cryosparc, write_cryosparc
from verglas.formats.frealign import read_par, write_par
from verglas.formats.particle_table import ParticleTable
from verglas.formats.relion import read_relion, write_relion
from verglas.formats.star import PathLike

ENDINGS = {
    ".star": ("relion", "cistem"),
    ".cistem": ("cistem",),
    ".par": ("frealign",),
    ".cs": ("cryosparc",),
    ".npy": ("verglas",),
}
PACKAGES = ("relion", "cistem", "frealign", "cryosparc", "verglas")


def read_particles(path: PathLike, passthrough: Sequence[PathLike] = ()) -> ParticleTable:
    """Read particles from ``.star`` (RELION's or cisTEM's), ``.cistem``, ``.par``, ``.cs`` or verglas' ``.npy``.

    Parameters
    ----------
    path
        The file.
    passthrough
        Passthrough files of a ``.cs`` file.

    Raises
    ------
    FormatError
        The file is damaged or not what its ending says.
    InputError
        The ending is not known, or passthrough files are given for another format.
    """
    ending = Path(path).suffix.lower()
    if ending not in ENDINGS:
        raise InputError(f"{path}: particles are read from {', '.join(ENDINGS)}, not from {ending or 'this'}.")
    if passthrough and ending != ".cs":
        raise InputError(f"{path}: only a .cs file has passthrough files.")
    if not Path(path).is_file():
        raise InputError(f"{path}: there is no such file.")
    if ending == ".star":
        return read_cistem_star(path) if b"_cisTEM" in _beginning(path) else read_relion(path)
    if ending == ".cistem":
        return read_cistem_binary(path)
    if ending == ".par":
        return read_par(path)
    return read_cryosparc(path, passthrough) if ending == ".cs" else ParticleTable.load(path, memory_map=False)


def write_particles(table: ParticleTable, path: PathLike, to: str = "") -> str:
    """Write particles; the ending chooses the format, and ``to`` whose ``.star`` it is (RELION's unless told).

    Returns
    -------
    str
        The package whose format was written.

    Raises
    ------
    InputError
        The ending is not known or is not one of that package's, or values do not fit into the format.
    """
    ending = Path(path).suffix.lower()
    packages = ENDINGS.get(ending, ())
    if not packages or (to and to not in packages):
        hint = (
            f"{to}'s endings are {', '.join(e for e, names in ENDINGS.items() if to in names)}"
            if to in PACKAGES
            else ""
        )
        raise InputError(
            f"{path}: cannot write {to or 'particles'} to {ending or 'this'}; {hint or ', '.join(ENDINGS)}."
        )
    package = to or packages[0]
    if ending == ".star":
        (write_relion if package == "relion" else write_cistem_star)(table, path)
    elif ending == ".cistem":
        write_cistem_binary(table, path)
    elif ending == ".par":
        write_par(table, path)
    elif ending == ".cs":
        write_cryosparc(table, path)
    else:
        table.save(path)
    return package


def not_carried(table: ParticleTable, path: PathLike) -> list[str]:
    """Return the columns with something in them that a written file does not give back (``.par``, ``.cistem``)."""
    try:
        again = read_particles(path)
    except FormatError:
        return list(table.columns)
    lost = []
    for name in table.columns:
        says_nothing = not table[name].any() or (name not in table.extra_columns and table.is_default(name))
        if not says_nothing and (
            name not in again or (again.is_default(name) if name not in again.extra_columns else False)
        ):
            lost.append(name)
    return lost


def _beginning(path: PathLike) -> bytes:
    with open(path, "rb") as file:
        return file.read(16384)
