"""Models trained on features: ridge regression, composition baseline, linear potentials, learning curves."""

from __future__ import annotations

from orbas.models.baseline import CompositionBaseline
from orbas.models.design import Representation, StructureFeatures, structure_features
from orbas.models.learning_curve import LearningCurve, learning_curve
from orbas.models.linear import LinearPotential, Score
from orbas.models.potential import Potential, Prediction
from orbas.models.regressor import PerStructure, RidgeRegressor
from orbas.models.regularization import DEFAULT_ALPHAS, Fixed, HoldOut, KFold, LeaveOneOut, Regularization
from orbas.models.ridge import Ridge

__all__ = [
    "DEFAULT_ALPHAS",
    "CompositionBaseline",
    "Fixed",
    "HoldOut",
    "KFold",
    "LearningCurve",
    "LeaveOneOut",
    "LinearPotential",
    "PerStructure",
    "Potential",
    "Prediction",
    "Regularization",
    "Representation",
    "Ridge",
    "RidgeRegressor",
    "Score",
    "StructureFeatures",
    "learning_curve",
    "structure_features",
]
