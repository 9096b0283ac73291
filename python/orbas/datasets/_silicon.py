"""Silicon in many phases, labeled by the Tersoff potential; made by ``scripts/make_silicon.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orbas.datasets import _packed

if TYPE_CHECKING:
    from ase import Atoms


def silicon(n: int | None = None, seed: int = 0) -> list[Atoms]:
    """Silicon structures with energies, forces and stresses of the Tersoff potential, in random order.

    Crystals (diamond, beta-tin, simple, face- and body-centered cubic, hexagonal) under strain and rattled, vacancies,
    surfaces, liquid and quenched liquid, 1 to 64 atoms. The labels are exact values of a smooth
    short-ranged function, which makes the set good for tests and examples, and results on it optimistic.

    Parameters
    ----------
    n
        Number of structures; None for all.
    seed
        Of the random choice and order; the same seed gives the same list.

    Returns
    -------
    list of Atoms
        With ``info["REF_energy"]`` (eV), ``arrays["REF_forces"]`` [n_atoms, 3] (eV/Å), ``info["REF_stress"]`` [6]
        (eV/Å³, Voigt, ASE's sign) and ``info["config_type"]``.

    Raises
    ------
    ValueError
        If `n` is not between 1 and the number of structures there are.

    References
    ----------
    Tersoff, Phys. Rev. B 39, 5566 (1989), DOI 10.1103/PhysRevB.39.5566: the silicon of its Table I.

    Examples
    --------
    >>> import orbas
    >>> frames = orbas.datasets.silicon(n=3)
    >>> frames[0].info["REF_stress"].shape
    (6,)
    >>> frames[0].arrays["REF_forces"].shape == (len(frames[0]), 3)
    True
    """
    from ase import Atoms

    data = _packed.load("silicon.npz")
    begin = data["offsets"]
    available = len(begin) - 1
    frames = []
    for k in _packed.draw(available if n is None else n, available, seed, "the silicon set"):
        mine = slice(begin[k], begin[k + 1])
        atoms = Atoms(
            numbers=[14] * (begin[k + 1] - begin[k]),
            positions=data["positions"][mine],
            cell=data["cells"][k],
            pbc=data["pbc"][k],
            info={
                "REF_energy": float(data["energies"][k]),
                "REF_stress": data["stress"][k].copy(),
                "config_type": str(data["config_types"][k]),
            },
        )
        atoms.arrays["REF_forces"] = data["forces"][mine].copy()
        frames.append(atoms)
    return frames
