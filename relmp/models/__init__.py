"""Rounds stacked into networks, and their budgets."""

from relmp.models import cnn as _cnn  # noqa: F401  (models register themselves)
from relmp.models import efficientnet as _efficientnet  # noqa: F401
from relmp.models import mlp as _mlp  # noqa: F401
from relmp.models import resnet as _resnet  # noqa: F401
from relmp.models.budget import count_flops, count_parameters, match_flops
from relmp.models.cost import Classifier, LayerCost
from relmp.models.factory import ModelConfig, create_model, models

__all__ = [
    "Classifier",
    "LayerCost",
    "ModelConfig",
    "count_flops",
    "count_parameters",
    "create_model",
    "match_flops",
    "models",
]
