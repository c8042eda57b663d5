"""What can be chosen by name: lists of models, graphs, messages, aggregations and data sets."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable


def list_models(pattern: str = "*") -> list[str]:
    """Names that ``create_model`` takes; beside them ``torchvision:NAME``, ``timm:NAME`` and
    ``package.module:Name``.

    Args:
        pattern: Such as ``"resnet*"``.
    """
    from relmp.models import MODELS

    return _matching(MODELS, pattern)


def list_graphs(pattern: str = "*") -> list[str]:
    """Names that ``parse_graph`` takes: generators, then connectomes.

    Args:
        pattern: Such as ``"ws*"``.
    """
    from relmp.graphs import CONNECTOMES, GENERATORS

    return _matching([*GENERATORS, *CONNECTOMES], pattern)


def list_messages(pattern: str = "*") -> list[str]:
    """Names that ``message=`` takes, those of installed plug-ins included; beside them
    ``package.module:Name``.

    Args:
        pattern: Such as ``"*shared"``.
    """
    from relmp.rounds import message_names

    return _matching(message_names(), pattern)


def list_aggregations(pattern: str = "*") -> list[str]:
    """Names that ``aggr=`` takes: the aggregations of PyTorch Geometric that a round can use.

    Those that need arguments are among them (``"quantile(q=0.3)"``).

    Args:
        pattern: Such as ``"*mean"``.
    """
    from relmp.rounds.aggregation import aggregation_names

    return [name for name in _matching(aggregation_names(), pattern) if _fits(name)]


def list_data(pattern: str = "*") -> list[str]:
    """Names that ``data=`` takes; beside them ``package.module:Name``.

    Args:
        pattern: Such as ``"*mnist*"``.
    """
    from relmp.training.data import DATASETS

    return _matching(DATASETS, pattern)


def _matching(names: Iterable[str], pattern: str) -> list[str]:
    return [name for name in names if fnmatch.fnmatchcase(name, pattern)]


def _fits(name: str) -> bool:
    from relmp.rounds.aggregation import resolve_aggregation

    try:
        resolve_aggregation(name, 2)
    except ValueError as error:
        return "does not fit its arguments" in str(error)
    return True
