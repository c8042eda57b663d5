"""Every registered model of images, small enough for tests."""

from __future__ import annotations

from typing import Any

from relmp.graphs import create_graph
from relmp.models import MODELS, Classifier

GRAPH = create_graph("ws_flex", n=8, k=3, p=0.3, seed=0)
# They differ from ResNet-50 in the number of blocks or in the channels inside; see test_folded.py.
DEEPER = ("resnet101", "resnet152", "resnet200", "wide_resnet50")
NAMES = [
    name
    for name in MODELS.names()
    if isinstance(MODELS[name], type) and issubclass(MODELS[name], Classifier)
    if name not in DEEPER
]  # test_own.py and test_recurrent.py have the others

# Options that make a model small, and a shape of images that it takes. Widths are no multiples
# of the nodes, and images are neither square nor powers of two.
SMALL: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "mlp": ({"in_features": 36, "width": 21, "stem_width": 10}, (1, 9, 4)),
    "residual_mlp": ({"in_features": 36, "width": 21, "depth": 3}, (1, 9, 4)),
    "cnn": ({"width": (9, 10, 13), "stem_width": 8, "in_channels": 1}, (1, 35, 37)),
    "small_cnn": ({"width": 9, "stem_width": 11}, (3, 15, 13)),
    "resnet18": ({"width": 9, "stem_width": 8}, (3, 35, 37)),
    "resnet34": ({"width": (9, 11, 10, 14), "stem_width": 12}, (3, 35, 37)),
    "resnet34_sep": ({"width": 9, "stem_width": 8}, (3, 35, 37)),
    "resnet50": ({"width": (34, 40, 50, 38), "stem_width": 9}, (3, 35, 37)),
    "resnet20": ({"width": 9, "stem_width": 9, "in_channels": 2}, (2, 15, 13)),
    "efficientnet_b0": ({"width": 9, "stem_width": 12}, (3, 35, 37)),
}
