"""Read a molecule as a flat list of atoms, complete it by symmetry, and bend it into its conformations."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from verglas.errors import FormatError, InputError
from verglas.stages.simulation.parameters import Conformation, SpecimenParameters

DATA = Path(__file__).parent / "data"
SHIPPED = {"apoferritin": "O", "beta-galactosidase": "D2"}

# Hydrogens bound to each heavy atom of the amino acids at neutral pH (backbone N 1, CA 1 unless listed).
RIDING_HYDROGENS: dict[str, dict[str, int]] = {
    "GLY": {"CA": 2},
    "ALA": {"CB": 3},
    "VAL": {"CB": 1, "CG1": 3, "CG2": 3},
    "LEU": {"CB": 2, "CG": 1, "CD1": 3, "CD2": 3},
    "ILE": {"CB": 1, "CG1": 2, "CG2": 3, "CD1": 3},
    "PRO": {"N": 0, "CB": 2, "CG": 2, "CD": 2},
    "SER": {"CB": 2, "OG": 1},
    "THR": {"CB": 1, "OG1": 1, "CG2": 3},
    "CYS": {"CB": 2, "SG": 1},
    "MET": {"CB": 2, "CG": 2, "CE": 3},
    "ASP": {"CB": 2},
    "ASN": {"CB": 2, "ND2": 2},
    "GLU": {"CB": 2, "CG": 2},
    "GLN": {"CB": 2, "CG": 2, "NE2": 2},
    "LYS": {"CB": 2, "CG": 2, "CD": 2, "CE": 2, "NZ": 3},
    "ARG": {"CB": 2, "CG": 2, "CD": 2, "NE": 1, "NH1": 2, "NH2": 2},
    "HIS": {"CB": 2, "ND1": 1, "CD2": 1, "CE1": 1},
    "PHE": {"CB": 2, "CD1": 1, "CD2": 1, "CE1": 1, "CE2": 1, "CZ": 1},
    "TYR": {"CB": 2, "CD1": 1, "CD2": 1, "CE1": 1, "CE2": 1, "OH": 1},
    "TRP": {"CB": 2, "CD1": 1, "NE1": 1, "CE3": 1, "CZ2": 1, "CZ3": 1, "CH2": 1},
    "HOH": {"O": 2},
}


@dataclass(frozen=True)
class Atoms:
    """A molecule as arrays over its n atoms.

    Attributes
    ----------
    positions_A
        (n, 3) x, y, z relative to the molecule's centre.
    elements
        (n,) element symbols.
    hydrogens
        (n,) hydrogens that ride on the atom.
    b_A2
        (n,) isotropic B-factors.
    occupancy
        (n,) 0 to 1.
    """

    positions_A: NDArray[np.float64]
    elements: NDArray[np.str_]
    hydrogens: NDArray[np.int64]
    b_A2: NDArray[np.float64]
    occupancy: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.positions_A)

    @property
    def radius_A(self) -> float:
        """Distance of the outermost atom from the origin."""
        return float(np.sqrt((self.positions_A**2).sum(axis=1).max()))

    def moved(self, positions_A: NDArray[np.float64]) -> Atoms:
        """Return the same atoms elsewhere."""
        return replace(self, positions_A=positions_A)


def symmetry_operators(name: str) -> list[NDArray[np.float64]]:
    """Return the rotations of D2 (two-folds along the axes) or O (four-folds along the axes) as signed permutations."""
    rotations = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            matrix = np.zeros((3, 3))
            matrix[np.arange(3), order] = signs
            if np.linalg.det(matrix) > 0 and (name == "O" or order == (0, 1, 2)):
                rotations.append(matrix)
    return rotations


def model_path(model: str) -> Path:
    """Return the file of a shipped model, or check that a given one is there."""
    path = DATA / f"{model}.pdb.gz" if model in SHIPPED else Path(model)
    if not path.is_file():
        raise InputError(
            f"{model}: no such file. Give the path of a PDB or mmCIF file, or one of: {', '.join(SHIPPED)}."
        )
    return path


def read_structure(model: str) -> Any:
    """Return the gemmi structure of a shipped model (completed by its symmetry) or of a PDB or mmCIF file."""
    import gemmi

    path = model_path(model)
    try:
        structure = gemmi.read_structure(str(path))
    except (RuntimeError, ValueError) as error:
        raise FormatError(path, f"cannot be read as PDB or mmCIF ({error}).") from error
    if len(structure) == 0 or structure[0].count_atom_sites() == 0:
        raise FormatError(path, "holds no atoms.", "Give a file with coordinates.")
    if model in SHIPPED:
        first = structure[0][0].clone()
        for number, matrix in enumerate(symmetry_operators(SHIPPED[model])[1:], start=2):
            copy = first.clone()
            copy.name = f"{first.name}-{number}"
            for residue in copy:
                for atom in residue:
                    atom.pos = gemmi.Position(*(matrix @ np.array(atom.pos.tolist())))
            structure[0].add_chain(copy)
    return structure


class FlatModel(NamedTuple):
    """All atoms of a file, as arrays: labels are (chain, residue number, atom name)."""

    labels: list[tuple[str, str, str]]
    positions_A: NDArray[np.float64]
    elements: NDArray[np.str_]
    hydrogens: NDArray[np.int64]
    b_A2: NDArray[np.float64]
    occupancy: NDArray[np.float64]


@lru_cache(maxsize=8)
def flat_model(model: str, changed_ns: int, hydrogens: str) -> FlatModel:
    """Return the atoms of a file that was last changed at that time, one alternative of each."""
    labels, positions, elements, riders, b, occupancy = [], [], [], [], [], []
    for chain in read_structure(model)[0]:
        for residue in chain:
            riding = RIDING_HYDROGENS.get(residue.name)
            number = str(residue.seqid)
            for atom in residue:
                if atom.altloc not in ("\0", "A") or (atom.element.is_hydrogen and hydrogens != "file"):
                    continue
                backbone = {"N": 1, "CA": 1}.get(atom.name, 0) if riding is not None and residue.name != "HOH" else 0
                labels.append((chain.name, number, atom.name))
                positions.append(atom.pos.tolist())
                elements.append(atom.element.name)
                riders.append((riding or {}).get(atom.name, backbone) if hydrogens == "riding" else 0)
                b.append(atom.b_iso)
                occupancy.append(atom.occ)
    if not labels:
        raise FormatError(model_path(model), "holds no atoms but hydrogens.", "Simulate with hydrogens=file.")
    xyz, weights = np.array(positions, dtype=float), np.array(occupancy, dtype=float)
    if model not in SHIPPED:
        xyz = xyz - np.average(xyz, axis=0, weights=weights if weights.any() else None)
    return FlatModel(labels, xyz, np.array(elements), np.array(riders), np.array(b, dtype=float), weights)


def selected(structure: Any, selection: str) -> set[tuple[str, str, str]]:
    """Return (chain, residue number, atom name) of every atom that a gemmi selection names."""
    import gemmi

    try:
        chosen = gemmi.Selection(selection)
    except (RuntimeError, ValueError) as error:
        raise InputError(f"selection {selection!r} is not understood: {error}") from error
    found = {
        (chain.name, str(residue.seqid), atom.name)
        for model in chosen.models(structure)
        for chain in chosen.chains(model)
        for residue in chosen.residues(chain)
        for atom in chosen.atoms(residue)
    }
    if not found:
        raise InputError(f"selection {selection!r} names no atom of the model; try for example /1/A/10-80.")
    return found


def rotation_about(axis: tuple[float, float, float], angle_degrees: float) -> NDArray[np.float64]:
    """Return the matrix that turns by the right-hand rule about an axis (Rodrigues)."""
    direction = np.asarray(axis, dtype=float)
    length = float(np.linalg.norm(direction))
    if length == 0:
        raise InputError("the axis of a conformation's rotation has length zero; give a direction such as 0 0 1.")
    x, y, z = direction / length
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.deg2rad(angle_degrees)
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


def read_atoms(specimen: SpecimenParameters, conformation: Conformation | None = None) -> Atoms:
    """Return the atoms of a model in one of its conformations.

    A shipped model keeps its symmetry centre as origin; any other is centred on the mean of its (unbent) atoms.

    Raises
    ------
    InputError
        No such file, or a selection that names no atom.
    FormatError
        The file holds no atoms.
    """
    changed_ns = model_path(specimen.model).stat().st_mtime_ns
    flat = flat_model(specimen.model, changed_ns, specimen.hydrogens)
    xyz = flat.positions_A.copy()
    keep = np.ones(len(xyz), dtype=bool)
    if conformation is not None and conformation.selection:
        chosen = selected(read_structure(specimen.model), conformation.selection)
        inside = np.array([label in chosen for label in flat.labels])
        centre = xyz[inside].mean(axis=0)
        turn = rotation_about(conformation.axis, conformation.angle_degrees)
        xyz[inside] = (xyz[inside] - centre) @ turn.T + centre + np.array(conformation.translation_A)
    if conformation is not None and conformation.remove:
        chosen = selected(read_structure(specimen.model), conformation.remove)
        keep = np.array([label not in chosen for label in flat.labels])
    if not keep.any():
        raise InputError(f"conformation {conformation.name if conformation else ''!r} leaves no atom of the model.")
    b_A2 = flat.b_A2 if specimen.b_factor_A2 is None else np.full(len(xyz), specimen.b_factor_A2)
    return Atoms(
        positions_A=xyz[keep],
        elements=flat.elements[keep],
        hydrogens=flat.hydrogens[keep],
        b_A2=b_A2[keep] + specimen.extra_b_factor_A2,
        occupancy=flat.occupancy[keep],
    )
