"""Edges that training changes, against the papers' loop over dense masks; and rules by any text."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from torch import nn

import relmp
from relmp.graphs import RelationalGraph
from relmp.rounds import RelationalLinear, Round
from relmp.rounds.execution import possible_executions
from relmp.training import TrainConfig, load_data
from relmp.training.loop import train_epochs
from relmp.training.rewiring.places import choose
from relmp.training.rewiring.rule import SET, Candidates, RigL, make_rewiring, rewiring_text
from relmp.training.state import TrainState
from tests.fuzz.how import changed_text, fuzzed, refused_in_a_sentence
from tests.fuzz.test_layers import ANY
from tests.strategies import deaf_graphs
from tests.training.rewired import ToDouble, dense_layers, reference
from tests.training.test_rewiring import NOTED, NotedSET

DATA = load_data("digits", train_size=96)


@st.composite
def rules(draw: st.DrawFn) -> Any:
    options: dict[str, Any] = {
        "every": draw(st.integers(1, 6)), "fraction": draw(st.floats(0, 1)),
        "until": draw(st.sampled_from([0.5, 0.75, 1.0])),
    }  # fmt: skip
    if draw(st.booleans()):
        options |= {"granularity": "weight", "density": draw(st.sampled_from([0.1, 0.5, 1.0]))}
    return draw(st.sampled_from([RigL, NotedSET]))(**options)


@fuzzed(25, deaf_graphs(5).filter(lambda graph: graph.num_edges > 0), rules(),
        st.tuples(*[st.integers(5, 12)] * 2), st.integers(0, 9), st.integers(0, 2**31),
        st.booleans())  # fmt: skip
def test_against_dense_masks(
    graph: RelationalGraph, rule: Any, widths: tuple[int, int], way: int, seed: int, bias: bool
) -> None:
    torch.manual_seed(seed)
    model = nn.Sequential(
        ToDouble(), RelationalLinear(graph, 64, widths[0], bias=bias), nn.ReLU(),
        RelationalLinear(graph, *widths), nn.ReLU(), nn.Linear(widths[1], 10),
    ).double()  # fmt: skip
    rounds = {name: part for name, part in model.named_modules() if isinstance(part, Round)}
    for layer in rounds.values():
        known = possible_executions(layer)
        layer.set_execution(known[way % len(known)])
    config = TrainConfig(
        epochs=3, batch_size=16, lr=0.05, weight_decay=1e-3, rewiring=rewiring_text(rule),
        seed=seed % 1000, loop=relmp.LoopOptions(evaluate_every=100),
    )  # fmt: skip
    state = TrainState(model, config)
    twins, head = dense_layers(model), nn.Linear(widths[1], 10).double()
    head.load_state_dict(model[5].state_dict())
    NOTED.clear()
    list(train_epochs(state, DATA))

    def drawn(number: int, step: int) -> Any:
        return NOTED.get((list(rounds)[number], step)) if isinstance(rule, SET) else None

    assert len(reference(twins, head, DATA, config, rule, drawn)) == state.rewirer.count
    for layer, twin, now in zip(rounds.values(), twins, dense_layers(model), strict=True):
        assert torch.equal(now.mask, twin.mask)
        torch.testing.assert_close(now.weight, twin.weight, rtol=0, atol=1e-9)
        momenta = state.optimizer.state[layer.weight]["momentum_buffer"].clone()
        with torch.no_grad():
            layer.weight.copy_(momenta)
    for now, twin in zip(dense_layers(model), twins, strict=True):
        torch.testing.assert_close(now.weight, twin.momentum, rtol=0, atol=1e-9)


NUMBERS = st.lists(st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 1.0, 3.0]), min_size=16, max_size=16)


@fuzzed(300, st.lists(st.integers(0, 15), unique=True), NUMBERS, NUMBERS, st.integers(0, 16),
        st.lists(st.booleans(), min_size=16, max_size=16) | st.none())  # fmt: skip
def test_what_goes_and_comes(
    taken: list[int], worth: list[float], wanted: list[float], dropped: int,
    loops: list[bool] | None,
) -> None:  # fmt: skip
    """Of equal scores the first place counts as higher; places that are protected stay."""

    class Rule(RigL):
        def drop_scores(self, view: Candidates) -> torch.Tensor:
            return view.weights

        def grow_scores(self, view: Candidates) -> torch.Tensor:
            return torch.tensor(wanted)

    taken.sort()
    free = [p for p in taken if not (loops and loops[p])]
    dropped = min(dropped, len(free))
    view = Candidates(
        "", 0, 16, torch.tensor(taken, dtype=torch.int64), torch.tensor([worth[p] for p in taken]),
        None, 4, torch.Generator(),
    )  # fmt: skip
    protected = torch.tensor([loops[p] for p in taken], dtype=torch.bool) if loops else None
    found = choose(Rule(), view, dropped, protected).tolist()
    gone = sorted(free, key=lambda p: (worth[p], -p))[:dropped]
    kept = [p for p in taken if p not in gone]
    come = sorted((p for p in range(16) if p not in kept), key=lambda p: (-wanted[p], p))
    assert found == sorted([*kept, *come[:dropped]])


TEXTS = ["rigl(every=3)", "set(fraction=.5)", "static", "rigl(granularity='weight',density=.5)",
         "set(granularity='weight',density={'a':1})", "a.b:C", "builtins:dict"]  # fmt: skip
NAMES = ["every", "fraction", "until", "granularity", "density", "allocation", "dense",
         "keep_loops", "accumulate", "new"]  # fmt: skip


@fuzzed(400, changed_text(st.sampled_from(TEXTS)) | st.builds(
    lambda name, given: f"{name}({', '.join(f'{k}={v!r}' for k, v in given.items())})",
    st.sampled_from(["rigl", "set", "static"]),
    st.dictionaries(st.sampled_from(NAMES), ANY, max_size=3)))  # fmt: skip
def test_any_rule(text: str) -> None:
    with refused_in_a_sentence():
        rule = make_rewiring(text)
        assert make_rewiring(rewiring_text(rule)) == rule
        assert 0 <= rule.drop_count(100, 3, 10) <= 100
        model = relmp.create_model(
            "mlp", graph=RelationalGraph(2, np.array([[0], [1]])), in_features=4, width=4
        )
        TrainState(model, TrainConfig(rewiring=rule.text))
