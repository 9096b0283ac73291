"""scikit-learn's manners without its import: parameters are read from the constructor's signature."""

from __future__ import annotations

import inspect
from typing import Any, Self

from orbas.base.names import did_you_mean


class Estimator:
    """``get_params``, ``set_params`` and a repr; the constructor of a subclass only stores its arguments."""

    def __getattr__(self, name: str) -> Any:
        # Only asked for what is not there: a fitted attribute before the fit.
        if name.endswith("_") and not name.startswith("_"):
            from orbas.errors import not_fitted

            raise not_fitted(f"{type(self).__name__} has no {name!r} before it is fitted: call fit first")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @classmethod
    def _parameter_names(cls) -> list[str]:
        signature = inspect.signature(cls.__init__)
        return [name for name in signature.parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's parameters, those of nested estimators too when ``deep``."""
        params: dict[str, Any] = {}
        for name in self._parameter_names():
            value = getattr(self, name)
            params[name] = value
            if deep and isinstance(value, Estimator):
                params.update({f"{name}__{key}": item for key, item in value.get_params().items()})
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name; ``nested__name`` reaches into a nested estimator."""
        names = self._parameter_names()
        for key, value in params.items():
            name, _, rest = key.partition("__")
            if name not in names:
                raise ValueError(f"{type(self).__name__} has no parameter {name!r}{did_you_mean(name, names)}")
            if rest:
                getattr(self, name).set_params(**{rest: value})
            else:
                setattr(self, name, value)
        return self

    def __sklearn_tags__(self) -> Any:
        """Describe the estimator to scikit-learn, which alone calls this: structures in, not a matrix."""
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags() if hasattr(self, "transform") else None,
            input_tags=InputTags(two_d_array=False),
        )

    def __repr__(self) -> str:
        inner = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._parameter_names())
        return f"{type(self).__name__}({inner})"
