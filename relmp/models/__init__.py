"""Rounds stacked into networks, and their budgets."""

from relmp.models import cnn as _cnn  # noqa: F401  (models register themselves)
from relmp.models import efficientnet as _efficientnet  # noqa: F401
from relmp.models import mlp as _mlp  # noqa: F401
from relmp.models import resnet as _resnet  # noqa: F401
from relmp.models.architecture import LayerSpec
from relmp.models.budget import Classifier, count_flops, count_parameters, match_flops
from relmp.models.compressed import compressed_bytes, load_compressed, save_compressed
from relmp.models.convert import dense_reasons, relationalize, to_dense
from relmp.models.factory import MODELS, ModelConfig, create_model
from relmp.models.inspection import Summary, summary, verify
from relmp.models.own import described as _described  # noqa: F401
from relmp.models.own import relationalized as _relationalized  # noqa: F401
from relmp.models.parts.folded import Folded
from relmp.models.per_layer.random_graphs import layer_graphs
from relmp.models.recurrent import RecurrentNetwork, RelationalRNN

__all__ = [
    "MODELS",
    "Classifier",
    "Folded",
    "LayerSpec",
    "ModelConfig",
    "RecurrentNetwork",
    "RelationalRNN",
    "Summary",
    "compressed_bytes",
    "count_flops",
    "count_parameters",
    "create_model",
    "dense_reasons",
    "layer_graphs",
    "load_compressed",
    "match_flops",
    "relationalize",
    "save_compressed",
    "summary",
    "to_dense",
    "verify",
]
