"""The iteration for one kind of center: fitted one order after the other, and compiled."""

from __future__ import annotations

import logging
import reprlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from orbas import _core
from orbas.files.stored import is_integer, is_number, stored
from orbas.invariants.nice.contraction import Moments, Projection
from orbas.invariants.nice.selection import Coupling, Symmetry, parity, reached, select_couplings, select_invariants
from orbas.parallel import each

if TYPE_CHECKING:
    from orbas.base.types import FloatArray
    from orbas.invariants.nice.limits import Limits
    from orbas.invariants.nice.selection import PairArray

_LOG = logging.getLogger("orbas")
#: Expanded pairs held at a time while fitting, in bytes.
CHUNK_BYTES = 1 << 27
#: More than any density has: it bounds the work that a few bytes of a file can ask for.
_MOST_CHANNELS = 1_000_000

#: Gives the packed density coefficients [environment, width] of a fit, a chunk at a time; may be called again.
Source = Callable[[], Iterable["FloatArray"]]


@stored("Contraction")
@dataclass(frozen=True, slots=True)
class Contraction:
    """What became of the expanded pairs of one symmetry.

    ``invariants`` tells those of the separate expansion from the equivariants of the same symmetry (0, 1). ``variance``
    is that of the pairs, after purification ``purified``, of the components ``kept``: sums over m, means over
    environments.
    """

    nu: int
    o3_lambda: int
    o3_sigma: int
    invariants: bool
    n_pairs: int
    n_components: int
    variance: float
    purified: float
    kept: float

    @property
    def discarded(self) -> float:
        """Fraction of the variance that contraction discarded."""
        return max(0.0, 1.0 - self.kept / self.purified) if self.purified > 0 else 0.0


@stored("Order")
@dataclass(eq=False)
class Order:
    """What one order of a fit is: couplings, symmetries, projections (None: expanded pairs as they are)."""

    nu: int
    couplings: list[Coupling]
    outputs: dict[Symmetry, Any]
    invariants: tuple[PairArray, FloatArray, Any]

    def compiled(self) -> Any:
        """Return the order as the compiled core takes it."""
        couplings = [(c.l, c.second, c.pairs, c.factors, c.distinct) for c in self.couplings]
        return couplings, list(self.outputs.items()), self.invariants

    def _check_restored(self) -> None:
        pairs, factors, projection = self.invariants
        lists = isinstance(self.couplings, list) and isinstance(self.outputs, dict)
        if not lists or not all(isinstance(coupling, Coupling) for coupling in self.couplings):
            raise TypeError("couplings and outputs must be a list of couplings and a dict")
        for item in (projection, *self.outputs.values()):
            if item is not None:
                _, lower = item
                if not isinstance(lower, list) or not all(isinstance(part, tuple) for part in lower):
                    raise TypeError("a projection is a matrix and a list of those of lower orders")
        if pairs.dtype != np.uint32 or factors.dtype != np.float64:
            raise TypeError(f"pairs and factors must be uint32 and float64, got {pairs.dtype} and {factors.dtype}")


@stored("Iteration")
@dataclass(eq=False)
class Iteration:
    """All orders for one kind of center.

    Attributes
    ----------
    channels
        Channels of the density, [l].
    plan
        The compiled iteration.
    variances
        Variances of the channels of every order by symmetry; sums over m, means over environments.
    contractions
        What each contraction kept.
    norms
        Mean over environments of ``|density|^(2 nu)``, for nu = 1, 2, ...
    """

    channels: tuple[int, ...]
    n_environments: int
    plan: _core.EquivariantPlan
    orders: list[Order] = field(default_factory=list)
    variances: list[dict[Symmetry, FloatArray]] = field(default_factory=list)
    contractions: list[Contraction] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)

    @classmethod
    def fit(cls, channels: tuple[int, ...], limits: list[Limits], source: Source, n_environments: int) -> Iteration:
        """Fit all orders; every one reads the source once."""
        iteration = cls(channels, n_environments, _core.EquivariantPlan(channels, []))
        iteration._measure_density(source, len(limits) + 1)
        for order in limits:
            iteration._add_order(order, source)
        return iteration

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "plan"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.plan = self._compile()

    def _described(self) -> dict[str, Any]:
        return self.__getstate__()

    @classmethod
    def _restored(cls, values: dict[str, Any]) -> Iteration:
        """Compile the orders again; the core checks that they fit together."""
        names = ("channels", "n_environments", "orders", "variances", "contractions", "norms")
        if values.keys() != set(names):
            raise ValueError(f"its fields must be {', '.join(names)}")
        channels, n_environments, orders, variances, contractions, norms = (values[name] for name in names)
        if not isinstance(channels, tuple) or not all(is_integer(q) and 0 <= q <= _MOST_CHANNELS for q in channels):
            raise ValueError(f"channels must be a tuple of counts, got {reprlib.repr(channels)}")
        if not is_integer(n_environments) or n_environments < 1:
            raise ValueError(f"n_environments must be a positive integer, got {n_environments!r}")
        if not isinstance(orders, list) or [order.nu for order in orders] != list(range(2, len(orders) + 2)):
            raise ValueError("its orders are not 2, 3, ...")
        if not isinstance(contractions, list) or not all(isinstance(c, Contraction) for c in contractions):
            raise TypeError("contractions must be a list of them")
        if not isinstance(norms, list) or len(norms) <= len(orders) or not all(map(is_number, norms)):
            raise TypeError("norms must be a number for every order")
        iteration = cls.__new__(cls)
        iteration.__setstate__(values)
        blocks = [{(l, s): (q,) for l, s, q in iteration.plan.blocks(nu)} for nu in range(1, len(orders) + 2)]
        if [{symmetry: array.shape for symmetry, array in by.items()} for by in variances] != blocks:
            raise ValueError("variances are not those of its symmetries and channels")
        return iteration

    def retained(self) -> dict[int, float]:
        """Return the fraction of the norm kept up to each order that has equivariants (Eq. 15)."""
        kept = {}
        for nu, blocks in enumerate(self.variances, start=1):
            if blocks:
                norm = self.norms[nu - 1]
                kept[nu] = float(sum(v.sum() for v in blocks.values())) / norm if norm > 0 else 1.0
        return kept

    def _measure_density(self, source: Source, nu_max: int) -> None:
        ends = np.cumsum([(2 * l + 1) * q for l, q in enumerate(self.channels)])[:-1]
        sums = [np.zeros(q) for q in self.channels]
        norms = np.zeros(nu_max)
        for rows in source():
            squares = rows**2
            norm = squares.sum(axis=1)
            norms += [float(np.sum(norm**nu)) for nu in range(1, nu_max + 1)]
            for l, part in enumerate(np.split(squares, ends, axis=1)):
                sums[l] += part.reshape(-1, self.channels[l]).sum(axis=0) if self.channels[l] else 0.0
        n = self.n_environments
        self.norms = [float(norm) / n for norm in norms]
        self.variances = [{(l, 1): total / n for l, total in enumerate(sums)}]

    def _add_order(self, limits: Limits, source: Source) -> None:
        density, below = list(self.variances[0].values()), self.variances[-1]
        halve = limits.nu == 2
        couplings: list[Coupling] = []
        if limits.n_components != 0:
            couplings = select_couplings(
                density, below, limits.n_pairs, halve=halve, max_lambda=limits.max_lambda, signs=limits.signs
            )
        every = {
            symmetry
            for c in couplings
            for symmetry in reached(c.l, c.second, limits.max_lambda, limits.signs)
            if c.count(symmetry[0])
        }
        symmetries = sorted(every, key=lambda symmetry: (symmetry[0], -symmetry[1]))
        pairs, factors = select_invariants(density, below, limits.n_invariant_pairs, halve=halve)
        order = Order(limits.nu, couplings, dict.fromkeys(symmetries), (pairs, factors, None))
        _say_limits(limits, order)
        fit = _OrderFit(self, order, limits)
        fit.accumulate(source)
        self.variances.append(fit.contract())
        self.orders.append(order)
        self.plan = self._compile()

    def _compile(self, *more: Order) -> _core.EquivariantPlan:
        return _core.EquivariantPlan(self.channels, [order.compiled() for order in (*self.orders, *more)])


def _say_limits(limits: Limits, order: Order) -> None:
    """Say that more was asked for than there is, of pairs and of components."""
    signs = {sign: sum(len(c.pairs) for c in order.couplings if parity(c.l, c.second) == sign) for sign in (1, -1)}
    expanded = [
        sum(c.count(l) for c in order.couplings if (l, s) in reached(c.l, c.second, limits.max_lambda, limits.signs))
        for l, s in order.outputs
    ]
    n_invariants = len(order.invariants[0])
    for name, wanted, available in (
        ("n_pairs", limits.n_pairs, max(signs.values())),
        ("n_components", limits.n_components, max(expanded, default=0)),
        ("n_invariant_pairs", limits.n_invariant_pairs, n_invariants),
        ("n_invariants", limits.n_invariants, n_invariants),
    ):
        if wanted is not None and 0 < available < wanted:
            _LOG.warning("%s = %d for order %d: there are %d, all are kept", name, wanted, limits.nu, available)


class _OrderFit:
    """Moments of the expanded pairs of one order, and what is made of them."""

    def __init__(self, iteration: Iteration, order: Order, limits: Limits) -> None:
        self.iteration, self.order, self.limits = iteration, order, limits
        self.plan = iteration._compile(order)
        self.places = {(l, s): k for k, (l, s, _) in enumerate(self.plan.blocks(order.nu))}
        counts = {(l, s): q for l, s, q in self.plan.blocks(order.nu)}
        n = iteration.n_environments
        self.lower = {symmetry: self._lower_of(symmetry) for symmetry in counts}
        self.moments = {
            symmetry: self._moments(
                counts[symmetry], limits.n_components, self.lower[symmetry], n * (2 * symmetry[0] + 1)
            )
            for symmetry in counts
        }
        features = self.plan.n_invariants()
        self.starts = np.cumsum([0, *features])
        asked = (limits.n_purify, *[limits.n_purify] * (order.nu - 2))
        kept = zip(range(1, order.nu), features, asked, strict=False)
        self.lower_invariants = [(nu, q if most is None else min(q, most)) for nu, q, most in kept]
        self.lower_invariants = [(nu, q) for nu, q in self.lower_invariants if q]
        self.invariants = self._moments(features[-1], limits.n_invariants, self.lower_invariants, n)

    def _lower_of(self, symmetry: Symmetry) -> list[tuple[int, int]]:
        """Lower orders that have this symmetry, and how many of their components are taken away."""
        found = []
        for nu, blocks in enumerate(self.iteration.variances, start=1):
            n = len(blocks.get(symmetry, ()))
            n = n if self.limits.n_purify is None else min(n, self.limits.n_purify)
            if n:
                found.append((nu, n))
        return found

    def _moments(self, n_pairs: int, wanted: int | None, lower: list[tuple[int, int]], n_rows: int) -> Moments:
        contracts = (wanted is not None and wanted < n_pairs) or bool(lower)
        return Moments(n_pairs, sum(n for _, n in lower), n_rows, full=contracts)

    def accumulate(self, source: Source) -> None:
        """Expand all pairs of the environments of the fit."""
        widths = [(2 * s[0] + 1) * len(m.variances) for s, m in self.moments.items()]
        step = max(1, CHUNK_BYTES // (8 * max(1, sum(widths), int(self.starts[-1]))))
        for rows in source():
            for first in range(0, len(rows), step):
                part = np.ascontiguousarray(rows[first : first + step])
                self._add_equivariants(part)
                self._add_invariants(part)

    def _add_equivariants(self, rows: FloatArray) -> None:
        wanted = [(self.order.nu, place) for place in self.places.values()]
        needed = {(nu, s) for s, lower in self.lower.items() for nu, _ in lower}
        below = {
            (nu, s): (nu, k)
            for nu in range(1, self.order.nu)
            for k, (l, sigma, _) in enumerate(self.plan.blocks(nu))
            for s in [(l, sigma)]
            if (nu, s) in needed
        }
        if not wanted:
            return
        arrays = self.plan.equivariants(rows, [*wanted, *below.values()])
        values = dict(zip(below, arrays[len(wanted) :], strict=True))

        def add(symmetry: Symmetry) -> None:
            x = arrays[self.places[symmetry]]
            z = [values[nu, symmetry][:, :, :n] for nu, n in self.lower[symmetry]]
            flat = [block.reshape(-1, block.shape[2]) for block in (x, *z)]
            self.moments[symmetry].add(flat[0], np.concatenate([np.zeros((len(flat[0]), 0)), *flat[1:]], axis=1))

        each(add, list(self.moments)[::-1])  # the largest degrees, which have the most rows, first

    def _add_invariants(self, rows: FloatArray) -> None:
        features = self.plan.invariants(rows)
        x = np.ascontiguousarray(features[:, self.starts[-2] :])
        z = [features[:, self.starts[nu - 1] : self.starts[nu - 1] + n] for nu, n in self.lower_invariants]
        self.invariants.add(x, np.concatenate([np.zeros((len(rows), 0)), *z], axis=1))

    def contract(self) -> dict[Symmetry, FloatArray]:
        """Set the projections of the order; return the variances of its components."""
        kinds: list[Symmetry | None] = [*self.moments, None]
        order = sorted(kinds, key=self._size, reverse=True)
        made = dict(zip(order, each(self._contracted, order), strict=True))
        variances = {}
        for symmetry in kinds:
            given, kept, told = made[symmetry]
            self.iteration.contractions.append(told)
            if symmetry is None:
                self.order.invariants = (*self.order.invariants[:2], given)
            else:
                self.order.outputs[symmetry], variances[symmetry] = given, kept
        return variances

    def _size(self, symmetry: Symmetry | None) -> int:
        return len((self.invariants if symmetry is None else self.moments[symmetry]).variances)

    def _contracted(self, symmetry: Symmetry | None) -> tuple[Any, FloatArray, Contraction]:
        """Return projection, variances of components and report of a symmetry, or of the invariants (None)."""
        n, limits = self.iteration.n_environments, self.limits
        if symmetry is None:
            moments, wanted, lower = self.invariants, limits.n_invariants, self.lower_invariants
        else:
            moments, wanted, lower = self.moments[symmetry], limits.n_components, self.lower[symmetry]
        before = moments.variances / n
        purified, variances, given = float(before.sum()), before, None
        if moments.full:
            made: Projection = moments.contract(len(before) if wanted is None else min(wanted, len(before)), n)
            ends = np.cumsum([count for _, count in lower])[:-1]
            parts = np.split(made.lower, ends) if lower else []
            given = (made.matrix, [(nu, part) for (nu, _), part in zip(lower, parts, strict=True)])
            purified, variances = moments.purified / n, made.variances
        told = Contraction(
            self.order.nu,
            *(symmetry or (0, 1)),
            symmetry is None,
            len(before),
            len(variances),
            float(before.sum()),
            purified,
            float(variances.sum()),
        )
        return given, variances, told
