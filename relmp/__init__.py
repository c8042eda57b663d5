"""Neural networks as relational graphs whose nodes talk.

Names are imported on first use, so that ``import relmp`` and the command line start at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relmp.analysis import analyse as analyse
    from relmp.analysis import best_over as best_over
    from relmp.analysis import compare_graphs as compare_graphs
    from relmp.analysis import compare_nulls as compare_nulls
    from relmp.analysis import find_sweet_spot as find_sweet_spot
    from relmp.analysis import learning_measures as learning_measures
    from relmp.analysis import plot_places as plot_places
    from relmp.analysis import plot_sweet_spot as plot_sweet_spot
    from relmp.analysis import plot_topology as plot_topology
    from relmp.analysis import write_states as write_states
    from relmp.catalogue import list_aggregations as list_aggregations
    from relmp.catalogue import list_data as list_data
    from relmp.catalogue import list_graphs as list_graphs
    from relmp.catalogue import list_messages as list_messages
    from relmp.catalogue import list_models as list_models
    from relmp.graphs import RelationalGraph as RelationalGraph
    from relmp.graphs import clustering_preserving_rewire as clustering_preserving_rewire
    from relmp.graphs import coarsen as coarsen
    from relmp.graphs import create_graph as create_graph
    from relmp.graphs import degree_preserving_rewire as degree_preserving_rewire
    from relmp.graphs import disjoint_union as disjoint_union
    from relmp.graphs import find_graph as find_graph
    from relmp.graphs import layer_densities as layer_densities
    from relmp.graphs import load_connectome as load_connectome
    from relmp.graphs import load_graph as load_graph
    from relmp.graphs import measure_graphs as measure_graphs
    from relmp.graphs import null_graphs as null_graphs
    from relmp.graphs import null_model as null_model
    from relmp.graphs import parse_graph as parse_graph
    from relmp.graphs import region_sizes as region_sizes
    from relmp.graphs import sample_graphs as sample_graphs
    from relmp.graphs import save_graph as save_graph
    from relmp.graphs import scale_connectome as scale_connectome
    from relmp.graphs import sweep_design_space as sweep_design_space
    from relmp.graphs.draw import draw_graph as draw_graph
    from relmp.models import Folded as Folded
    from relmp.models import ModelConfig as ModelConfig
    from relmp.models import RelationalRNN as RelationalRNN
    from relmp.models import compressed_bytes as compressed_bytes
    from relmp.models import count_flops as count_flops
    from relmp.models import count_parameters as count_parameters
    from relmp.models import create_model as create_model
    from relmp.models import layer_graphs as layer_graphs
    from relmp.models import load_compressed as load_compressed
    from relmp.models import match_flops as match_flops
    from relmp.models import relationalize as relationalize
    from relmp.models import save_compressed as save_compressed
    from relmp.models import summary as summary
    from relmp.models import to_dense as to_dense
    from relmp.models import verify as verify
    from relmp.rounds import Conv2dMessage as Conv2dMessage
    from relmp.rounds import LinearMessage as LinearMessage
    from relmp.rounds import Message as Message
    from relmp.rounds import RelationalConv2d as RelationalConv2d
    from relmp.rounds import RelationalLinear as RelationalLinear
    from relmp.rounds import Round as Round
    from relmp.rounds import degree_scaled as degree_scaled
    from relmp.rounds import initialise_by_degree as initialise_by_degree
    from relmp.rounds import message_names as message_names
    from relmp.rounds.draw import draw_round as draw_round
    from relmp.rounds.messages import AttentionMessage as AttentionMessage
    from relmp.rounds.messages import ClassSharedMessage as ClassSharedMessage
    from relmp.rounds.messages import EdgeAttrMessage as EdgeAttrMessage
    from relmp.rounds.messages import FrozenMessage as FrozenMessage
    from relmp.rounds.messages import GatedMessage as GatedMessage
    from relmp.rounds.messages import LowRankMessage as LowRankMessage
    from relmp.rounds.messages import MLPMessage as MLPMessage
    from relmp.rounds.messages import ScalarMessage as ScalarMessage
    from relmp.rounds.messages import ScoredMessage as ScoredMessage
    from relmp.rounds.messages import SharedMessage as SharedMessage
    from relmp.sweep import collect as collect
    from relmp.sweep import grid as grid
    from relmp.sweep import over_graphs as over_graphs
    from relmp.sweep import run_plan as run_plan
    from relmp.sweep import run_sweep as run_sweep
    from relmp.training import DataConfig as DataConfig
    from relmp.training import ImageData as ImageData
    from relmp.training import LoopOptions as LoopOptions
    from relmp.training import Rewiring as Rewiring
    from relmp.training import RunConfig as RunConfig
    from relmp.training import SequenceData as SequenceData
    from relmp.training import TrainConfig as TrainConfig
    from relmp.training import fit_readout as fit_readout
    from relmp.training import fit_readouts as fit_readouts
    from relmp.training import load_data as load_data
    from relmp.training import load_run as load_run
    from relmp.training import memory_capacity as memory_capacity
    from relmp.training import train as train

_HOMES = {
    "relmp.catalogue": (
        "list_aggregations",
        "list_data",
        "list_graphs",
        "list_messages",
        "list_models",
    ),
    "relmp.graphs": (
        "RelationalGraph",
        "clustering_preserving_rewire",
        "coarsen",
        "create_graph",
        "degree_preserving_rewire",
        "disjoint_union",
        "find_graph",
        "layer_densities",
        "load_connectome",
        "load_graph",
        "measure_graphs",
        "null_graphs",
        "null_model",
        "parse_graph",
        "region_sizes",
        "sample_graphs",
        "save_graph",
        "scale_connectome",
        "sweep_design_space",
    ),
    "relmp.graphs.draw": ("draw_graph",),
    "relmp.rounds.draw": ("draw_round",),
    "relmp.rounds": (
        "Conv2dMessage",
        "LinearMessage",
        "Message",
        "RelationalConv2d",
        "RelationalLinear",
        "Round",
        "degree_scaled",
        "initialise_by_degree",
        "message_names",
    ),
    "relmp.rounds.messages": (
        "AttentionMessage",
        "ClassSharedMessage",
        "EdgeAttrMessage",
        "FrozenMessage",
        "GatedMessage",
        "LowRankMessage",
        "MLPMessage",
        "ScalarMessage",
        "ScoredMessage",
        "SharedMessage",
    ),
    "relmp.models": (
        "compressed_bytes",
        "count_flops",
        "Folded",
        "load_compressed",
        "ModelConfig",
        "RelationalRNN",
        "count_parameters",
        "create_model",
        "layer_graphs",
        "match_flops",
        "relationalize",
        "save_compressed",
        "summary",
        "to_dense",
        "verify",
    ),
    "relmp.training": (
        "DataConfig",
        "ImageData",
        "LoopOptions",
        "Rewiring",
        "RunConfig",
        "SequenceData",
        "TrainConfig",
        "fit_readout",
        "fit_readouts",
        "load_data",
        "load_run",
        "memory_capacity",
        "train",
    ),
    "relmp.sweep": ("collect", "grid", "over_graphs", "run_plan", "run_sweep"),
    "relmp.analysis": (
        "analyse",
        "best_over",
        "plot_topology",
        "compare_graphs",
        "compare_nulls",
        "find_sweet_spot",
        "learning_measures",
        "plot_places",
        "plot_sweet_spot",
        "write_states",
    ),
}
_EXPORTS = {name: home for home, names in _HOMES.items() for name in names}

__version__ = "0.1.0"
__all__ = sorted(_EXPORTS)  # pyright: ignore


def __getattr__(name: str) -> Any:
    if name == "testing":
        return import_module("relmp.testing")
    if name not in _EXPORTS:
        raise AttributeError(f"module 'relmp' has no attribute '{name}'")
    value = getattr(import_module(_EXPORTS[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *_EXPORTS]
