"""A potential on labeled structures: errors, error bars, what is far from the training set; tables, JSON, files."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from orbas.cli import inputs
from orbas.cli.inputs import Structures
from orbas.fit.baseline import check_species, count_atoms
from orbas.fit.labels import labels_of
from orbas.fit.screening import screened
from orbas.models import Prediction, Score, score, score_by_config
from orbas.models.scores import config_of
from orbas.plots import Parity, plot_parity, save_figure

if TYPE_CHECKING:
    from pathlib import Path

    from ase import Atoms

    from orbas.base.types import FloatArray, IntArray
    from orbas.cli.console import Console
    from orbas.fit.findings import Finding
    from orbas.models import Potential
    from orbas.structures.io import Labels

_LOG = logging.getLogger("orbas")
UNITS = "in meV/atom, meV/Å and meV/Å³"


@dataclass(frozen=True, slots=True)
class Labeled:
    """Structures and those of their labels that are used, all under the names that :func:`orbas.read` gives."""

    structures: Structures
    labels: Labels
    keys: dict[str, Any]

    @classmethod
    def of(cls, found: Structures, *, forces: bool = True, stress: bool = True) -> Labeled:
        """Collect the labels there are: energies, and forces and stress where they are used.

        Raises
        ------
        ValueError
            If a label is unusable; names the structure.
        """
        has_energy = any("REF_energy" in frame.info for frame in found.frames)
        has_forces = forces and any("REF_forces" in frame.arrays for frame in found.frames)
        has_stress = stress and any("REF_stress" in frame.info for frame in found.frames)
        keys: dict[str, Any] = {
            "forces_key": "REF_forces" if has_forces else None,
            "stress_key": "REF_stress" if has_stress else None,
        }
        with found.locating(0):
            return cls(found, labels_of(found.frames, "REF_energy" if has_energy else None, **keys), keys)

    def screened(self) -> tuple[Labeled, list[Finding]]:
        """Return the same without what only stands for a label, and what was found of it."""
        labels, findings = screened(self.structures.frames, self.labels)
        return replace(self, labels=labels), findings

    def take(self, structures: IntArray) -> Labeled:
        """Return some of the structures."""
        chosen = structures.tolist()
        found = Structures([self.structures.frames[k] for k in chosen], [self.structures.places[k] for k in chosen])
        return replace(self, structures=found, labels=self.labels.take(structures))

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of structures with each label."""
        energies, forces, stress = self.labels.known.sum(axis=0).tolist()
        return {"energies": energies, "forces": forces, "stress": stress}

    @property
    def summary(self) -> str:
        """What there is, for people."""
        found = self.counts
        return (
            f"{self.structures.summary}; labels: {found['energies']:,} energies, {found['forces']:,} with forces, "
            f"{found['stress']:,} with stress"
        )


@dataclass(frozen=True, slots=True)
class Group:
    """How well some structures are predicted.

    ``uncertainty_per_atom`` is the mean in eV/atom; ``n_extrapolating`` counts environments with an extrapolation
    above 1. These are None where they were not asked for.
    """

    name: str
    n_structures: int
    n_environments: int
    score: Score
    uncertainty_per_atom: float | None
    n_extrapolating: int | None
    largest_extrapolation: float | None

    @property
    def document(self) -> dict[str, Any]:
        """The numbers in JSON's types."""
        fields = {name: getattr(self, name) for name in self.__slots__ if name not in ("name", "score")}
        return {**fields, **asdict(self.score)}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Predictions of labeled structures.

    ``baseline`` [n_structures] is what the model knows of composition alone, in eV; ``ratios`` are the extrapolations,
    one array [n_atoms] per structure.
    """

    known: Labeled
    prediction: Prediction
    baseline: FloatArray
    ratios: list[FloatArray] | None

    @property
    def total(self) -> Group:
        """All structures."""
        frames = self.known.structures.frames
        return self._group("all", range(len(frames)), score(self.prediction, self.known.labels, frames))

    @property
    def by_config(self) -> list[Group]:
        """Structures of each ``config_type``."""
        frames = self.known.structures.frames
        configs = [config_of(frame) for frame in frames]
        return [
            self._group(name, [k for k, config in enumerate(configs) if config == name], found)
            for name, found in score_by_config(self.prediction, self.known.labels, frames).items()
        ]

    @property
    def document(self) -> dict[str, Any]:
        """The numbers in JSON's types."""
        return {
            "labels": self.known.counts,
            "all": self.total.document,
            "by_config": {group.name: group.document for group in self.by_config},
        }

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return header and rows: everything, then each ``config_type`` if there are several."""
        groups = self.by_config
        groups = [self.total, *(groups if len(groups) > 1 else [])]
        header = ["", "structures", "energy MAE", "RMSE", "forces MAE", "RMSE", "stress MAE", "RMSE"]
        rows = []
        for group in groups:
            s = group.score
            errors = (s.mae_per_atom, s.rmse_per_atom, s.forces_mae, s.forces_rmse, s.stress_mae, s.stress_rmse)
            row = [group.name, f"{group.n_structures:,}", *map(_milli, errors)]
            if self.ratios is not None:
                row += [_milli(group.uncertainty_per_atom), f"{group.n_extrapolating:,} of {group.n_environments:,}"]
            rows.append(row)
        return header if self.ratios is None else [*header, "uncertainty", "extrapolating"], rows

    def plot(self, path: Path, title: str) -> None:
        """Draw predictions against labels, energies above the baseline of the model, which would hide all else."""
        labels, found = self.known.labels, self.prediction
        n_atoms = np.maximum(count_atoms(self.known.structures.frames), 1)
        above, predicted_above = ((values - self.baseline) / n_atoms for values in (labels.energies, found.energies))
        pairs: list[tuple[str, str, FloatArray, FloatArray]] = [
            ("energy above the baseline", "eV/atom", above, predicted_above)
        ]
        if labels.forces is not None and found.forces is not None:
            both = [(a, b) for a, b in zip(labels.forces, found.forces, strict=True) if a is not None]
            own, predicted = (np.concatenate([pair[k].ravel() for pair in both]) for k in (0, 1))
            pairs.append(("force", "eV/Å", own, predicted))
        if labels.stress is not None and found.stress is not None:
            pairs.append(("stress", "eV/Å³", labels.stress, found.stress))
        known = [np.isfinite(labels) & np.isfinite(predictions) for *_, labels, predictions in pairs]
        parities = [
            Parity(name, unit, labels[mask], predictions[mask])
            for (name, unit, labels, predictions), mask in zip(pairs, known, strict=True)
            if mask.any()
        ]
        save_figure(plot_parity(parities, title), path, dpi=150)

    def write(self, path: Path) -> None:
        """Write the structures with predictions as ``orbas_energy``, ``orbas_forces`` and so on, beside the labels.

        The names are not those of labels: who trains on the file does not take a prediction for one.
        """
        found = self.prediction
        copies = []
        for k, frame in enumerate(self.known.structures.frames):
            copy: Atoms = frame.copy()  # type: ignore[no-untyped-call]
            copy.info["orbas_energy"] = float(found.energies[k])
            if found.stress is not None and np.isfinite(found.stress[k]).all():
                copy.info["orbas_stress"] = found.stress[k]
            if found.uncertainty is not None:
                copy.info["orbas_uncertainty"] = float(found.uncertainty[k])
            if found.forces is not None:
                copy.arrays["orbas_forces"] = found.forces[k]
            if self.ratios is not None:
                copy.arrays["orbas_extrapolation"] = self.ratios[k]
            copies.append(copy)
        inputs.write_structures(copies, path)

    def _group(self, name: str, members: Any, found: Score) -> Group:
        frames = self.known.structures.frames
        n_atoms = count_atoms([frames[k] for k in members])
        uncertainty = n_beyond = largest = None
        if self.prediction.uncertainty is not None:
            uncertainty = float(np.mean(self.prediction.uncertainty[list(members)] / np.maximum(n_atoms, 1)))
        if self.ratios is not None:
            ratios = np.concatenate([self.ratios[k] for k in members])
            n_beyond, largest = int((ratios > 1.0).sum()), float(ratios.max(initial=0.0))
        return Group(name, len(n_atoms), int(n_atoms.sum()), found, uncertainty, n_beyond, largest)


def evaluate(model: Potential, known: Labeled, console: Console, *, error_bars: bool) -> Evaluation:
    """Predict labeled structures piece by piece; error bars and extrapolation cost another transform.

    Raises
    ------
    ValueError
        For a species that the model does not know, before any work, or a structure that cannot be predicted; names
        file and structure.
    """
    known, _ = known.screened()
    found = known.structures
    check(model.species_, found)
    parts: list[Prediction] = []
    ratios: list[FloatArray] = []
    for start, frames in found.chunks(console, "predicting"):
        with found.locating(start):
            parts.append(model.predict(frames, uncertainty=error_bars))
            ratios += model.extrapolation(frames) if error_bars else []
    baseline = model.baseline_.predict(found.frames)
    return Evaluation(known, _joined(parts), baseline, ratios if error_bars else None)


def say_trained_on(model: Potential, structures: Structures) -> None:
    """Say how many structures to test on are training structures."""
    n_known, n_all = int(model.trained_on(structures.frames).sum()), len(structures.frames)
    if n_known:
        _LOG.warning("%d of %d structures are training structures: their errors say nothing of others", n_known, n_all)


def check(species: tuple[int, ...], found: Structures) -> None:
    """Raise ValueError, with file and structure, for a species that is not known."""
    with found.locating(0):
        check_species(found.frames, species)


def _joined(parts: list[Prediction]) -> Prediction:
    def listed(name: str) -> Any:
        values = [getattr(part, name) for part in parts]
        return None if values[0] is None else [row for value in values for row in value]

    def stacked(name: str) -> Any:
        rows = listed(name)
        return None if rows is None else np.array(rows)

    return Prediction(
        stacked("energies"), listed("forces"), stacked("stress"), listed("atoms"), stacked("uncertainty"),
        stacked("unknown"),
    )  # fmt: skip


def _milli(value: float | None) -> str:
    return "-" if value is None else f"{1e3 * value:.4g}"
