"""Rewiring in training: exact against loops over dense masks, resumed bit for bit."""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

import relmp
from relmp.graphs import RelationalGraph, create_graph
from relmp.rounds import RelationalConv2d, RelationalLinear, Round
from relmp.training import TrainConfig, load_data
from relmp.training.loop import train_epochs
from relmp.training.population import members
from relmp.training.rewiring.places import EdgePlaces
from relmp.training.rewiring.rule import (
    SET,
    Candidates,
    Rewiring,
    RigL,
    Static,
    make_rewiring,
    rewiring_text,
)
from relmp.training.rewiring.topology import read_topology
from relmp.training.rewiring.watch import Watch
from relmp.training.state import TrainState
from tests.training.rewired import ToDouble, dense_layers, reference
from tests.training.test_processes import torchrun
from tests.training.test_resume import assert_same_run

GRAPH = create_graph("ws_flex", n=8, k=3, p=0.5, seed=1)
BARE = RelationalGraph(8, GRAPH.edges[:, GRAPH.edges[0] != GRAPH.edges[1]], self_loops=False)
COMPLETE = create_graph("complete", n=8)

NOTED: dict[tuple[str, int], list[float]] = {}


@dataclass(frozen=True, kw_only=True)
class NotedSET(SET):
    """SET that tells the test what it has drawn."""

    def grow_scores(self, view: Candidates) -> Tensor:
        scores = super().grow_scores(view)
        NOTED[view.layer, view.step] = scores.tolist()
        return scores


def double_model(graph: Any, execution: str = "auto") -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        options: dict[str, Any] = {"execution": execution}
        return nn.Sequential(
            ToDouble(),
            RelationalLinear(graph, 64, 21, bias=False, **options),
            nn.ReLU(),
            RelationalLinear(graph, 21, 18, **options),
            nn.ReLU(),
            nn.Linear(18, 10),
        ).double()


# Drops and grows exactly --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "dropped"),
    [(0, 765_105), (100, 765_075), (6_250, 653_058), (12_500, 382_552), (18_750, 112_047),
     (24_900, 30), (25_000, 0)],
)  # fmt: skip
def test_drop_counts_are_those_of_the_authors(step: int, dropped: int) -> None:
    assert RigL().drop_count(2_550_353, step, 25_000) == dropped


CASES = {
    "rigl, edges": (GRAPH, RigL(every=10, fraction=0.5)),
    "rigl, bare edges": (BARE, RigL(every=7, fraction=0.3, until=0.9)),
    "rigl, complete": (COMPLETE, RigL(every=10, fraction=0.5)),
    "rigl, weights": (COMPLETE, RigL(every=10, granularity="weight", density=0.1)),
    "rigl, erk weights": (
        COMPLETE, RigL(every=30, granularity="weight", density=0.3, allocation="erk")),
    "rigl, weights of a graph": (GRAPH, RigL(every=10, granularity="weight", density=0.3)),
    "set, edges": (BARE, NotedSET(every=10, fraction=0.5)),
    "set, weights": (COMPLETE, NotedSET(every=10, granularity="weight", density=0.1)),
    "static, weights": (COMPLETE, Static(granularity="weight", density=0.1)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_equals_a_loop_over_dense_masks(case: str) -> None:
    graph, rule = CASES[case]
    data = load_data("digits", train_size=1408)
    config = TrainConfig(
        epochs=14, batch_size=64, lr=0.05, weight_decay=1e-3, rewiring=rewiring_text(rule),
        loop=relmp.LoopOptions(evaluate_every=100),
    )  # fmt: skip
    model = double_model(graph)
    state = TrainState(model, config)
    twins = dense_layers(model)
    names = [name for name, layer in model.named_modules() if isinstance(layer, Round)]

    def drawn(number: int, step: int) -> Any:
        return NOTED.get((names[number], step)) if isinstance(rule, SET) else None

    head = nn.Linear(18, 10).double()
    head.load_state_dict(model[5].state_dict())
    NOTED.clear()
    list(train_epochs(state, data))
    if rule.is_static:
        assert state.rewirer.count == 0
        assert reference_without_updates(twins, head, data, config)
    else:
        updates = reference(twins, head, data, config, rule, drawn)
        assert len(updates) == state.rewirer.count > 5
        steps = len(updates) if rule.needs_gradient else 0
        assert state.rewirer.step == 14 * 22 - steps > 265
    rounds = [layer for layer in model.modules() if isinstance(layer, Round)]
    for name, layer, twin, now in zip(names, rounds, twins, dense_layers(model), strict=True):
        assert torch.equal(now.mask, twin.mask)
        torch.testing.assert_close(now.weight, twin.weight, rtol=0, atol=1e-9)
        momenta = state.optimizer.state[layer.weight]["momentum_buffer"]
        with torch.no_grad():
            layer.weight.copy_(momenta)
        laid_out = dense_layers(model)[names.index(name)].weight
        torch.testing.assert_close(laid_out, twin.momentum, rtol=0, atol=1e-9)
        places = twin.blocks(rule.granularity)
        tried = [bool(twin.tried[rows[0], columns[0]]) for rows, columns in places]
        share = float(state.rewirer.tried[name].float().mean())
        assert share == pytest.approx(sum(tried) / len(tried))


def reference_without_updates(twins: Any, head: Any, data: Any, config: Any) -> bool:
    """The loop where nothing is dropped and no batch is spent."""

    @dataclass
    class Never:
        every: int = 10**9
        until: float = 1.0
        fraction: float = 0.0
        granularity: str = "weight"
        needs_gradient: ClassVar[bool] = False

    return len(reference(twins, head, data, config, Never(), lambda *_: None)) == 1


def test_over_the_complete_graph_nothing_happens_but_that_steps_are_skipped(
    tmp_path: Path,
) -> None:
    model = relmp.create_model("mlp", graph=COMPLETE, in_features=64, width=16)
    relmp.train(model, train_size=320, epochs=4, batch_size=32, rewiring="rigl(every=3)",
                out=tmp_path)  # fmt: skip
    assert all(graph == COMPLETE for graph in model.graphs.values())
    records = read_topology(tmp_path)
    assert len(records) > 20
    assert {record["changed"] for record in records} == {0}
    assert {record["overlap"] for record in records} == {1.0}


# The gradient of absent edges -----------------------------------------------------------------


@pytest.mark.parametrize("execution", ["message_passing", "dense", "cpu_kernel"])
@pytest.mark.parametrize("aggr", ["sum", "mean"])
@pytest.mark.parametrize("chunk", [None, 2])
def test_the_gradient_of_absent_edges(execution: str, aggr: str, chunk: int | None) -> None:
    torch.manual_seed(0)
    layer = RelationalConv2d(BARE, 11, 13, 3, stride=2, padding=1, execution=execution,
                             aggr=aggr, chunk_size=chunk).double()  # fmt: skip
    x = torch.randn(5, 11, 7, 6, dtype=torch.float64)
    watch = Watch({"layer": layer})
    with watch():
        out = layer(x).sin()
    (out.square().sum() * 0.5).backward()
    blocks = EdgePlaces("layer", layer, RigL()).gradient(*watch.caught("layer"))
    dense = layer.to_dense()
    (dense(x).sin().square().sum() * 0.5).backward()
    outs, ins = layer.out_partition, layer.in_partition
    starts = [torch.tensor([0, *part.sizes.cumsum()]) for part in (outs, ins)]
    degrees = torch.from_numpy(BARE.in_degrees).clamp(min=1) if aggr == "mean" else torch.ones(8)
    for target in range(8):
        for source in range(8):
            rows = slice(starts[0][target], starts[0][target + 1])
            columns = slice(starts[1][source], starts[1][source + 1])
            wanted = dense.weight.grad[rows, columns] / degrees[target]
            found = blocks[target * 8 + source, : wanted.size(0), : wanted.size(1)]
            torch.testing.assert_close(found, wanted, rtol=0, atol=1e-10)


# Goes on ------------------------------------------------------------------------------------

RULES = {
    "rigl": "rigl(every=3, fraction=0.5)",
    "accumulated": "rigl(every=5, fraction=0.5, accumulate=3, keep_loops=True)",
    "set": "set(every=3)",
    "weights": "rigl(every=4, granularity='weight', density=0.2)",
}
SETTINGS: dict[str, Any] = {
    "epochs": 3, "batch_size": 32, "train_size": 260, "ema_decay": 0.9, "optimizer": "adamw",
    "lr": 1e-2, "device": "cpu",
}  # fmt: skip


class KilledError(Exception):
    pass


@pytest.mark.parametrize("name", RULES)
def test_kill_and_resume_across_rewirings(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def model() -> nn.Module:
        return relmp.create_model("mlp", graph=BARE, in_features=64, width=24)

    options = {**SETTINGS, "rewiring": RULES[name]}
    relmp.train(model(), out=tmp_path / "whole", **options)
    monkeypatch.setattr(members, "SAVE_SECONDS", 0.0)
    for stop in (2, 5, 9, 13):
        calls = 0

        def count(done: int, total: int, stop: int = stop) -> None:
            nonlocal calls
            calls += 1
            if calls == stop:
                raise KilledError

        with contextlib.suppress(KilledError):
            relmp.train(model(), out=tmp_path / "killed", on_step=count, **options)
    relmp.train(model(), out=tmp_path / "killed", **options)
    assert_same_run(tmp_path / "whole", tmp_path / "killed")
    texts = [(tmp_path / which / "topology.jsonl").read_text() for which in ("whole", "killed")]
    assert texts[0] == texts[1]
    loaded = relmp.load_run(tmp_path / "killed")
    state = torch.load(tmp_path / "killed" / "checkpoint.pt", weights_only=True)
    for key, graph in loaded.model.graphs.items():
        assert torch.equal(graph.edge_index, state["average"]["model"][f"{key}.edge_index"])
    if name != "weights":
        assert all(graph != BARE for graph in loaded.model.graphs.values())
    relmp.verify(loaded.model)


def test_another_rewiring_on_resume(tmp_path: Path) -> None:
    def model() -> nn.Module:
        return relmp.create_model("mlp", graph=BARE, in_features=64, width=24)

    relmp.train(model(), out=tmp_path, rewiring="set(every=3)", **SETTINGS)
    with pytest.raises(ValueError, match="another configuration .*rewiring: set.every=3. there"):
        relmp.train(model(), out=tmp_path, rewiring="set(every=4)", **SETTINGS)


def test_runs_without_rewiring_keep_their_keys_and_records(tmp_path: Path) -> None:
    plain = relmp.RunConfig(relmp.ModelConfig("mlp"), relmp.DataConfig(), TrainConfig())
    assert plain.key == "d7fde4d5bf87c8ff"  # as before there was rewiring
    other = plain.with_axis("training.rewiring", "rigl(every=50)")
    assert other.key != plain.key
    same = plain.with_axis("training.rewiring", "rigl( every = 50, fraction=0.3 )")
    assert same.key == other.key
    history = relmp.train(
        relmp.create_model("mlp", graph=BARE, in_features=64, width=24), **SETTINGS
    )
    assert "train_flops" not in history


# What is recorded ----------------------------------------------------------------------------


def test_the_topology_of_a_run(tmp_path: Path) -> None:
    model = relmp.create_model("mlp", graph=BARE, in_features=64, width=24)
    relmp.train(model, out=tmp_path, rewiring="rigl(every=3, fraction=0.5)", **SETTINGS)
    lines = (tmp_path / "topology.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert all(len(record.pop("check")) == 8 for record in records)
    first, last = records[0], records[-3]
    assert (first["layer"], first["rewiring"], first["changed"], first["tried"]) == (
        "rounds.0", 0, 0, BARE.density)  # fmt: skip
    graph = model.graphs["rounds.0"]
    assert last["edges"] == graph.num_edges == BARE.num_edges
    assert last["clustering"] == graph.clustering
    assert last["in_degree"] == [
        int(graph.in_degrees.min()), graph.num_edges / 8, int(graph.in_degrees.max())]  # fmt: skip
    shared = {tuple(e) for e in graph.edges.T} & {tuple(e) for e in BARE.edges.T}
    assert last["overlap"] == len(shared) / BARE.num_edges
    mine = [record for record in records if record["layer"] == "rounds.0"]
    assert [record["rewiring"] for record in mine] == list(range(len(mine)))
    assert all(a["tried"] <= b["tried"] for a, b in itertools.pairwise(mine))
    with (tmp_path / "topology.jsonl").open("a") as file:
        file.write('{"rewiring": 9')
    with pytest.warns(UserWarning, match="torn last line"):
        assert read_topology(tmp_path) == records


def test_flops_of_training() -> None:
    model = relmp.create_model("mlp", graph=BARE, in_features=64, width=24)
    sparse, complete = (
        relmp.count_flops(m, (64,)) for m in (model, relmp.create_model(
            "mlp", graph=COMPLETE, in_features=64, width=24)))  # fmt: skip
    found = relmp.summary(model, (64,)).training(every=10)
    assert found["sparse"] == 3 * sparse
    assert found["dense"] == 2 * sparse + complete
    assert found["rigl"] == (3 * sparse * 10 + 2 * sparse + complete) / 11
    assert f"{3 * sparse:,} FLOPs an image (3 f_S)" in str(relmp.summary(model, (64,)))
    settings = {**SETTINGS, "epochs": 2, "batch_size": 26, "ema_decay": None}
    history = relmp.train(model, rewiring="rigl(every=4, until=0.4)", **settings)
    # 20 batches of 26; until = 8 steps: updates at steps 0, 4 and 8.
    assert history["train_flops"].tolist()[-1] == 26 * (
        3 * sparse * 17 + (2 * sparse + complete) * 3
    )


# Which messages, which models -----------------------------------------------------------------


@pytest.mark.parametrize("message", ["linear", "gated", "attention", "low_rank", "scalar", "mlp"])
def test_set_rewires_any_message_of_single_edges(message: str) -> None:
    model = relmp.create_model("mlp", graph=BARE, in_features=64, width=24, message=message)
    relmp.train(model, rewiring="set(every=3, fraction=0.5)", **SETTINGS)
    assert all(graph != BARE for graph in model.graphs.values())
    assert relmp.verify(model) < 1e-10


@pytest.mark.parametrize(
    ("options", "rewiring", "message"),
    [
        ({"message": "gated"}, "rigl", "Layer 'rounds.0' cannot be rewired by rigl: it wants one "
         "linear map an edge, and GatedMessage is not"),
        ({"aggr": "max"}, "rigl", "aggregation 'max' is not linear"),
        ({"message": "shared"}, "set", "SharedMessage has no trained parameters of single edges"),
        ({"message": "frozen"}, "set", "FrozenMessage has no trained parameters of single edges"),
        ({"message": "low_rank"}, "rigl", "a trained linear map an edge, which LowRankMessage"),
        ({}, "rigl(every=0)", "every"),
        ({}, "rigl(until=1.5)", "until must be a number from 0 to 1, but is 1.5"),
        ({}, "rigl(fraction=-1)", "fraction must be a number from 0 to 1, but is -1"),
        ({}, "rigl(density=0.1)", "density is the share of weights that granularity='weight'"),
        ({}, "rigl(granularity='weight')", "density is the share of weights"),
        ({}, "rigl(granularity='node')", "granularity must be one of edge, weight"),
        ({}, "rigl(evry=3)", "Rewiring 'rigl' has no argument 'evry'"),
        ({}, "rigll", "Unknown rewiring 'rigll'"),
        ({"graph": None}, "rigl", "changes the edges of rounds, but MLP has none"),
        ({"graph": RelationalGraph(8, GRAPH.edges, torch.ones(GRAPH.num_edges))}, "set",
         "its graph has edge attributes, which new edges would not have"),
    ],
)  # fmt: skip
def test_what_cannot_be_rewired(options: dict[str, Any], rewiring: str, message: str) -> None:
    given = {"graph": BARE, "in_features": 64, "width": 24, **options}
    model = relmp.create_model("mlp", **given)
    with pytest.raises(ValueError, match=message.replace("(", r"\(")) as error:
        relmp.train(model, rewiring=rewiring, **SETTINGS)
    assert "\n" not in str(error.value)


def test_self_loops_are_kept_where_asked() -> None:
    for keep, all_there in ((True, True), (False, False)):
        model = relmp.create_model("mlp", graph=GRAPH, in_features=64, width=24)
        relmp.train(model, rewiring=f"set(every=2, fraction=0.9, keep_loops={keep})", **SETTINGS)
        counts = [graph.num_self_loops for graph in model.graphs.values()]
        assert all(count == 8 for count in counts) == all_there


def test_float16_that_overflows_postpones_an_update() -> None:
    model = relmp.create_model("mlp", graph=BARE, in_features=64, width=24)
    config = TrainConfig(epochs=1, batch_size=32, precision="float16", rewiring="rigl(every=4)")
    state = TrainState(model, config)
    state.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**30)
    scales, counts = [], []

    def note() -> None:
        scales.append(state.scaler.get_scale())
        counts.append(state.rewirer.count)

    for _ in train_epochs(state, load_data("digits", train_size=1400), pause=note):
        pass
    assert counts[0] == 0
    assert state.rewirer.step + state.rewirer.count < 43
    first = counts.index(1)
    assert scales[first] < 2.0**25
    assert counts[-1] > 1
    assert all(bool(p.isfinite().all()) for p in model.parameters())


@dataclass(frozen=True, kw_only=True)
class CommonNeighbours(Rewiring):
    """Grows where two nodes have many neighbours in common; a rule of one's own."""

    def drop_scores(self, view: Candidates) -> Tensor:
        return view.weights.flatten(1).abs().mean(1)

    def grow_scores(self, view: Candidates) -> Tensor:
        hears = torch.zeros(view.num_places)
        hears[view.active] = 1
        hears = hears.view(view.num_nodes, view.num_nodes)
        return (hears @ hears).flatten()


def test_a_rule_of_ones_own() -> None:
    rule = CommonNeighbours(every=3)
    assert make_rewiring(rewiring_text(rule)) == rule
    model = relmp.create_model("mlp", graph=BARE, in_features=64, width=24)
    relmp.train(model, rewiring=rule, **SETTINGS)
    assert all(graph != BARE for graph in model.graphs.values())

    @dataclass(frozen=True, kw_only=True)
    class Local(CommonNeighbours):
        pass

    with pytest.raises(ValueError, match="cannot be written to a configuration"):
        relmp.train(model, rewiring=Local(), **SETTINGS)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_compiled_model_is_not_compiled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    torch._dynamo.reset()
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda model: compile_(model, backend="eager"))
    model = relmp.create_model("mlp", graph=BARE, in_features=64, width=24)
    config = TrainConfig(epochs=6, batch_size=32, rewiring="rigl(every=3, until=1)",
                         loop=relmp.LoopOptions(compile=True))  # fmt: skip
    state = TrainState(model, config)
    frames = torch._dynamo.utils.counters["stats"]
    seen: list[int] = []
    data = load_data("digits", train_size=320)
    with warnings.catch_warnings(), torch._dynamo.config.patch(error_on_recompile=True):
        warnings.simplefilter("ignore")
        for _ in train_epochs(state, data, pause=lambda: seen.append(frames["unique_graphs"])):
            pass
    assert state.rewirer.count >= 14
    assert seen[-1] > 0, "nothing was compiled"


DDP = """
import sys, torch, json
import relmp
from relmp.training.processes import join_team
from tests.training.test_rewiring import BARE, double_model

with join_team("cpu") as (team, device):
    assert team.size == 2
    for name, rule in json.loads(sys.argv[2]).items():
        model = double_model(BARE)
        relmp.train(model, "digits", train_size=512, epochs=8, batch_size=64, lr=0.05,
                    evaluate_every=100, rewiring=rule, device="cpu", ema_decay=0.9)
        torch.save(model.state_dict(), f"{sys.argv[1]}/{name}-{team.rank}.pt")
"""
TOGETHER = {
    "rigl": "rigl(every=2, until=1, fraction=0.5)",
    "set": "set(every=3, until=1)",
    "weights": "rigl(every=3, until=1, granularity='weight', density=0.3)",
}


@pytest.mark.slow
def test_two_processes_hold_the_same_edges_as_one(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(DDP)
    process = torchrun(str(script), str(tmp_path), json.dumps(TOGETHER), stderr=subprocess.PIPE)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    for name, rule in TOGETHER.items():
        states = [torch.load(tmp_path / f"{name}-{rank}.pt", weights_only=True) for rank in (0, 1)]
        for key, tensor in states[0].items():
            assert torch.equal(tensor, states[1][key]), key
        alone = double_model(BARE)
        history = relmp.train(
            alone, "digits", train_size=512, epochs=8, batch_size=64, lr=0.05,
            evaluate_every=100, rewiring=rule, device="cpu", ema_decay=0.9,
        )  # fmt: skip
        assert history["train_flops"].iloc[-1] > 0
        for key, tensor in alone.state_dict().items():
            torch.testing.assert_close(states[0][key], tensor, rtol=0, atol=1e-9, msg=key)
        moved = not torch.equal(states[0]["1.edge_index"], BARE.edge_index)
        assert moved == (name != "weights")


def test_the_paths_of_layers_are_drawn(tmp_path: Path) -> None:
    model = relmp.create_model("mlp", graph=BARE, in_features=64, width=24)
    relmp.train(model, out=tmp_path / "run", rewiring="rigl(every=3)", **SETTINGS)
    figure = relmp.plot_topology(tmp_path / "run")
    axes = figure.axes[0]
    records = read_topology(tmp_path / "run")
    for layer, graph in model.graphs.items():
        path = next(line for line in axes.lines if line.get_label() == layer)
        mine = [record for record in records if record["layer"] == layer]
        assert path.get_xdata()[0] == pytest.approx(BARE.clustering)
        assert path.get_xdata()[-1] == pytest.approx(graph.clustering)
        assert path.get_ydata()[-1] == pytest.approx(graph.path_length)
        assert len(path.get_xdata()) == len(mine)
    (rectangle,) = (patch for patch in axes.patches)
    assert (rectangle.get_x(), rectangle.get_y()) == (0.1, 1.82)
    assert len(axes.containers) == 3  # the null models, one a layer
    weights = relmp.create_model("mlp", graph=BARE, in_features=64, width=24)
    rule = "rigl(every=3, granularity='weight', density=0.3)"
    relmp.train(weights, out=tmp_path / "weights", rewiring=rule, **SETTINGS)
    with pytest.raises(ValueError, match="single weights were chosen"):
        relmp.plot_topology(tmp_path / "weights")
    with pytest.raises(FileNotFoundError, match=r"has no topology\.jsonl"):
        relmp.plot_topology(tmp_path)


def test_rewirings_are_an_axis_of_a_plan(tmp_path: Path) -> None:
    base = relmp.RunConfig(
        relmp.ModelConfig("mlp", BARE, options={"width": 24}),
        relmp.DataConfig(name="digits", train_size=200),
        TrainConfig(epochs=2, batch_size=32),
    )
    rules = ["static", "set(every=3)", "rigl(every=3)"]
    plan = relmp.grid(base, **{"training.rewiring": rules})
    table = relmp.run_plan(plan, tmp_path, workers=1)
    assert table["training.rewiring"].tolist() == sorted(rules)
    assert len(list(tmp_path.glob("*/topology.jsonl"))) == 3
