"""Atomic models from PDB and mmCIF files, by gemmi."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verglas.errors import FormatError


@dataclass(frozen=True)
class AtomicModel:
    """The atoms of the first model of a file.

    Attributes
    ----------
    positions_A
        float64, shape (n, 3): x, y, z.
    atomic_numbers
        int32, shape (n,).
    b_factors_A2
        float64, shape (n,): isotropic.
    occupancies
        float64, shape (n,).
    chains
        Chain of each atom.
    residues
        Number and name of each atom's residue, such as ``12 GLY``.
    atom_names
        Name of each atom, such as ``CA``.
    """

    positions_A: NDArray[np.float64]
    atomic_numbers: NDArray[np.int32]
    b_factors_A2: NDArray[np.float64]
    occupancies: NDArray[np.float64]
    chains: list[str]
    residues: list[str]
    atom_names: list[str]

    def __len__(self) -> int:
        return len(self.positions_A)


def read_model(
    path: str | os.PathLike[str], *, waters: bool = False, hydrogens: bool = False, hetero_atoms: bool = True
) -> AtomicModel:
    """Read an atomic model (``.pdb``, ``.ent``, ``.cif``, ``.mmcif``, each also with ``.gz``).

    Parameters
    ----------
    path
        The file.
    waters, hydrogens, hetero_atoms
        Which kinds of atoms to keep beside those of polymers. Of alternative locations all are kept, with their
        occupancies.

    Raises
    ------
    FormatError
        The file is damaged, no model, or holds no atoms.
    """
    import gemmi

    name = os.fspath(path)
    if not os.path.isfile(name):
        raise FileNotFoundError(2, "no such file", name)
    try:
        structure = gemmi.read_structure(name)
        structure.setup_entities()
    except (RuntimeError, ValueError, IndexError, OSError) as error:
        problem = str(error).splitlines()[0][:200] if str(error) else "unreadable"
        raise FormatError(name, f"this is no PDB or mmCIF file, or it is damaged ({problem}).") from None
    if not waters:
        structure.remove_waters()
    if not hydrogens:
        structure.remove_hydrogens()
    if not hetero_atoms:
        structure.remove_ligands_and_waters()
    atoms = [
        (chain, residue, atom)
        for chain in (structure[0] if len(structure) else [])
        for residue in chain
        for atom in residue
    ]
    if not atoms:
        raise FormatError(name, "it holds no atoms.", "Choose a PDB or mmCIF file with coordinates.")
    model = AtomicModel(
        np.array([atom.pos.tolist() for _, _, atom in atoms], np.float64),
        np.array([atom.element.atomic_number for _, _, atom in atoms], np.int32),
        np.array([atom.b_iso for _, _, atom in atoms], np.float64),
        np.array([atom.occ for _, _, atom in atoms], np.float64),
        [chain.name for chain, _, _ in atoms],
        [f"{residue.seqid} {residue.name}" for _, residue, _ in atoms],
        [atom.name for _, _, atom in atoms],
    )
    if not np.isfinite(model.positions_A).all():
        raise FormatError(name, "an atom's position is not finite.", "Correct that atom.")
    return model
