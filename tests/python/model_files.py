"""Small fitted potentials, and model files taken apart and put together again with a right digest."""

from __future__ import annotations

import copy
import hashlib
import json

import ase.build
import numpy as np
import orbas
from orbas.models import Fixed, LinearPotential

OPENING = b'{"__metadata__":{"sha256":"'


def silicon(n=6):
    """Two atoms each, rattled, with energies of no physical meaning."""
    frames = []
    for seed in range(n):
        atoms = ase.build.bulk("Si", "diamond", a=5.43)
        atoms.rattle(0.1, seed=seed)
        atoms.info["REF_energy"] = -8.0 + float(np.sin(seed))
        frames.append(atoms)
    return frames


def labeled(molecules):
    """Copies of molecules with energies of no physical meaning."""
    frames = [atoms.copy() for atoms in molecules]
    for k, atoms in enumerate(frames):
        atoms.info["REF_energy"] = -10.0 * len(atoms) + float(np.cos(k))
    return frames


def density(**changes):
    options = {"cutoff": orbas.Cutoff(3.0, 0.4), "density_width": 0.4, "max_angular": 2, "basis": orbas.bases.GTO(3)}
    return orbas.DensityExpansion(**{**options, **changes})


def fitted(representation, frames, **options):
    options = {"regularization": Fixed(1e-6), **options}
    return LinearPotential(representation.fit(frames), **options).fit(frames)


def small():
    """A potential whose file has little more than a kilobyte."""
    return fitted(orbas.PowerSpectrum(density(max_angular=1, basis=orbas.bases.GTO(2))), silicon())


def split(content):
    """Header (metadata, document and table of arrays) and data of a file."""
    n = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + n])
    document = json.loads(header["__metadata__"].pop("document"))
    return header, document, content[8 + n :]


def join(header, document, data):
    """The file of these parts, digest and all: what somebody could write who wants to do harm."""
    header = copy.deepcopy(header)
    metadata = header.pop("__metadata__", {})
    if isinstance(metadata, dict):
        metadata = {"sha256": "0" * 64, **metadata, "document": json.dumps(document)}
        metadata["sha256"] = "0" * 64
    text = json.dumps({"__metadata__": metadata, **header}, separators=(",", ":")).encode()
    return seal(text + b" " * (-len(text) % 8), data)


def seal(header, data):
    """A file of a raw header with the right digest in it."""
    zeros = slice(len(OPENING), len(OPENING) + 64)
    blank = header[: zeros.start] + b"0" * 64 + header[zeros.stop :]
    prefix = len(header).to_bytes(8, "little")
    digest = hashlib.sha256(prefix + blank + data).hexdigest().encode()
    return prefix + header[: zeros.start] + digest + header[zeros.stop :] + data


def same_predictions(a, b, frames):
    """Whether two potentials predict the same bits."""
    first, second = a.predict(frames), b.predict(frames)
    pairs = [(first.energies, second.energies), (first.stress, second.stress)]
    pairs += [*zip(first.forces, second.forces, strict=True), *zip(first.atoms, second.atoms, strict=True)]
    return all(x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes() for x, y in pairs)
