"""Rounds stacked into networks, and their budgets."""

from relmp.models import mlp as _mlp  # noqa: F401  (registers itself)
from relmp.models.budget import count_flops, count_parameters, match_flops
from relmp.models.factory import ModelConfig, create_model, models

__all__ = [
    "ModelConfig",
    "count_flops",
    "count_parameters",
    "create_model",
    "match_flops",
    "models",
]
