"""Models put together from those that are shipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.stages.simulation.atoms import read_structure

SECOND_RESIDUES = 300
DOMAIN = "/1/A/1-219"
"""The first domain of the chain that is whole, 25 kDa."""
MASS_KDA = 150.0


def write_asymmetric_model(path: Path) -> Path:
    """Write a model without symmetry: a chain of beta-galactosidase, 300 residues of the nearest other one, 150 kDa.

    Parameters
    ----------
    path
        The PDB file to be written.

    Returns
    -------
    Path
        The same.
    """
    import gemmi

    def middle(chain: Any) -> NDArray[np.float64]:
        return np.asarray(np.mean([atom.pos.tolist() for residue in chain for atom in residue], axis=0))

    first, *others = read_structure("beta-galactosidase")[0]
    near = min(others, key=lambda chain: float(np.linalg.norm(middle(chain) - middle(first))))
    model, part = gemmi.Model(1), gemmi.Chain("B")
    for residue in [one for one in near if one.name != "HOH"][:SECOND_RESIDUES]:
        part.add_residue(residue)
    model.add_chain(first.clone())
    model.add_chain(part)
    made = gemmi.Structure()
    made.add_model(model)
    made.write_pdb(str(path))
    return path
