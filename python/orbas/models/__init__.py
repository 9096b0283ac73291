"""Models trained on features: ridge regression, composition baseline, linear potentials, learning curves."""

from __future__ import annotations

from orbas.fit.baseline import CompositionBaseline
from orbas.fit.coverage import Coverage, Unknown
from orbas.fit.design import Representation, StructureFeatures, structure_features
from orbas.fit.findings import Finding, Topic
from orbas.fit.noise import Noise
from orbas.fit.posterior import Posterior
from orbas.fit.regularization import DEFAULT_ALPHAS, Evidence, Fixed, HoldOut, KFold, LeaveOneOut, Regularization
from orbas.fit.ridge import Ridge
from orbas.models.file import load
from orbas.models.learning_curve import LearningCurve, learning_curve
from orbas.models.linear import LinearPotential
from orbas.models.potential import Potential
from orbas.models.prediction import Prediction
from orbas.models.recommend import recommended
from orbas.models.regressor import PerStructure, RidgeRegressor
from orbas.models.scores import Score, score, score_by_config
from orbas.models.sparse import SparseGPR

#: The potentials by their names in files and flags.
MODELS: dict[str, type[Potential]] = {"linear": LinearPotential, "sparse": SparseGPR}

__all__ = [
    "DEFAULT_ALPHAS",
    "MODELS",
    "CompositionBaseline",
    "Coverage",
    "Evidence",
    "Finding",
    "Fixed",
    "HoldOut",
    "KFold",
    "LearningCurve",
    "LeaveOneOut",
    "LinearPotential",
    "Noise",
    "PerStructure",
    "Posterior",
    "Potential",
    "Prediction",
    "Regularization",
    "Representation",
    "Ridge",
    "RidgeRegressor",
    "Score",
    "SparseGPR",
    "StructureFeatures",
    "Topic",
    "Unknown",
    "learning_curve",
    "load",
    "recommended",
    "score",
    "score_by_config",
    "structure_features",
]
