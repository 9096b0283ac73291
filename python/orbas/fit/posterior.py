"""What a fit knows of its weights: error bars of predictions.

With weights of prior variance ``noise / alpha`` the variance of ``x . w`` after the fit is
``noise x^T (X^T X + alpha)^-1 x``; without the noise it is the leverage of x: large where the training rows say little.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orbas.base.linalg import product
from orbas.files.stored import check_vector, is_number, stored

if TYPE_CHECKING:
    from orbas.base.types import FloatArray


@stored("Posterior")
@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """The distribution of weights after a ridge regression with the rows ``X = U diag(s) V^T``.

    Attributes
    ----------
    directions
        V, orthonormal columns, [n_columns, k]; about other directions the rows say nothing.
    singular_values
        s, [k].
    alpha
        The regularizer, in the units of ``X^2``.
    noise
        Variance of a row.

    Examples
    --------
    >>> import numpy as np
    >>> from orbas.models import Ridge
    >>> rows = np.array([[2.0, 0.0], [0.0, 1.0]])
    >>> posterior = Ridge(rows).posterior(alpha=1.0, noise=0.01)
    >>> posterior.singular_values.tolist()
    [2.0, 1.0]
    """

    directions: FloatArray
    singular_values: FloatArray
    alpha: float
    noise: float

    def covariance(self, rows: FloatArray) -> FloatArray:
        """Return ``x^T (X^T X + alpha)^-1 y`` of all pairs of rows [n, n_columns], shape [n, n].

        Examples
        --------
        >>> posterior.covariance(rows).round(3).tolist()
        [[0.8, 0.0], [0.0, 0.5]]
        """
        seen = product(rows, self.directions)
        result = product(seen / (self.singular_values**2 + self.alpha), seen.T)
        if self.directions.shape[1] < self.directions.shape[0]:
            rest = rows - product(seen, self.directions.T)
            result += product(rest, rest.T) / self.alpha
        return result

    def leverages(self, rows: FloatArray) -> FloatArray:
        """Return ``x^T (X^T X + alpha)^-1 x`` of rows [n, n_columns], shape [n].

        Examples
        --------
        >>> posterior.leverages(rows).round(3).tolist()
        [0.8, 0.5]
        """
        seen = product(rows, self.directions)
        result: FloatArray = np.sum(seen**2 / (self.singular_values**2 + self.alpha), axis=1)
        if self.directions.shape[1] < self.directions.shape[0]:
            # Squares of what is orthogonal to all rows; a difference of norms would only keep half of the digits.
            result += np.sum((rows - product(seen, self.directions.T)) ** 2, axis=1) / self.alpha
        return result

    def _check_restored(self) -> None:
        directions, singular = self.directions, self.singular_values
        if not isinstance(directions, np.ndarray) or directions.dtype != np.float64 or directions.ndim != 2:
            raise TypeError("directions must be a float64 array of two axes")
        check_vector("singular_values", singular, directions.shape[1])
        if not (is_number(self.alpha) and self.alpha > 0 and is_number(self.noise) and self.noise >= 0):
            raise ValueError("alpha must be positive, noise not negative")
