"""Checks for messages, aggregations, graphs and rewirings of your own, in words.

A check raises ``AssertionError`` with one sentence, or returns notes on what will not work.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import networkx as nx
import numpy as np
import torch
from torch import Tensor, nn

from relmp.graphs import RelationalGraph
from relmp.rounds import Round, message_flops, resolve_message
from relmp.rounds.aggregation import Aggr, resolve_aggregation
from relmp.rounds.execution import MESSAGE_PASSING, possible_executions
from relmp.rounds.message import WeightedMessage
from relmp.rounds.names import MessageFactory
from relmp.training.rewiring.rule import Candidates, Rewiring, make_rewiring

# Directed, with a hub and a leaf; node 4 hears itself alone. Nodes of one and of two channels
# more, so that some slots are padding; with _MORE nodes hold other numbers before and after.
_ARCS = [(0, 1), (1, 2), (3, 0), (4, 2), (0, 2), (2, 3)]
_IN, _OUT, _MORE = 11, 13, 21


def check_message(message: str | MessageFactory, *, images: bool = False) -> list[str]:
    """Check that a message keeps to its contract, in a round with uneven nodes.

    Args:
        message: As of :class:`relmp.Round`.
        images: Whether it speaks in images (a convolution) or in vectors.

    Returns:
        Notes on what the message can do without, one sentence each.

    Raises:
        AssertionError: If shapes, values, gradients, precision, determinism, copies, moves to
            another device, or the influence of other nodes and images are not as they must be.
    """
    factory = resolve_message(message)
    graph = RelationalGraph(5, np.array(_ARCS).T, np.linspace(0, 1, len(_ARCS)), name="check")

    def build(channels: int = _OUT) -> Round:
        torch.manual_seed(0)
        return Round(graph, _IN, channels, message=factory, bias=False, execution=MESSAGE_PASSING)

    with torch.random.fork_rng(devices=[]):
        with _in_words("it cannot be built for 5 nodes"):
            layer = build()
        name = type(layer.message_module).__name__
        _check_drawn(name, layer)
        x = torch.randn(3, _IN, *([6, 5] if images else []), requires_grad=True)
        with _in_words(f"{name} cannot pass messages"):
            out = layer(x)
        assert bool(out.isfinite().all()), f"{name} says NaN or infinity of ordinary numbers."
        with _in_words(f"{name} cannot turn nodes of {-(-_IN // 5)} channels into larger ones"):
            build(_MORE)(x)
        _check_gradients(name, layer, x)
        layer, twin = build().eval(), build().eval()  # the first one may have kept statistics
        _check_state(name, layer, twin, x.detach())
        _check_influence(name, layer, x.detach())
        _check_executions(name, layer, x)
        return _notes(name, factory, layer)


def check_aggregation(aggr: Aggr, *, channels: int = 3) -> None:
    """Check that an aggregation keeps to its contract, for nodes of in-degree 1 to 4.

    Args:
        aggr: As of :class:`relmp.Round`.
        channels: Channels of a message.

    Raises:
        AssertionError: If shapes, values, gradients, precision, determinism, copies, or the
            influence of the order of messages, of other nodes and of other images are not as
            they must be.
    """
    degrees = torch.tensor([3, 1, 4, 2])
    index = torch.arange(4).repeat_interleave(degrees)
    ptr = torch.tensor([0, 3, 4, 8, 10])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        with _in_words("it does not fit a round"):
            module = resolve_aggregation(aggr, channels, degrees)
        name = type(module).__name__
        module.eval()

        def apply(messages: Tensor, aggregate: Any = module) -> Tensor:
            return aggregate(messages, index=index, ptr=ptr, dim_size=4, dim=0)

        messages = torch.rand(10, 2, channels, requires_grad=True)
        out = apply(messages)
        assert out.shape == (4, 2, channels), (
            f"{name} must return [4, 2, {channels}] for 4 nodes, but returned {list(out.shape)}."
        )
        assert bool(out.isfinite().all()), f"{name} returns NaN or infinity of ordinary numbers."
        (gradient,) = torch.autograd.grad(out.square().sum(), messages)
        assert bool(gradient.isfinite().all()), f"The gradient of {name} is NaN or infinite."
        plain = messages.detach()
        assert torch.equal(apply(plain), apply(plain)), f"{name} differs from pass to pass."
        order = torch.tensor([2, 0, 1, 3, 7, 6, 5, 4, 9, 8])
        assert torch.allclose(apply(plain[order]), out, atol=1e-5), (
            f"{name} depends on the order of the messages to a node."
        )
        other = plain.clone()
        other[:3] += 1
        assert torch.allclose(apply(other)[1:], out[1:]), f"{name} mixes the messages of nodes."
        other = plain.clone()
        other[:, 1] += 1
        assert torch.allclose(apply(other)[:, 0], out[:, 0]), f"{name} mixes images."
        assert torch.equal(apply(plain, copy.deepcopy(module)), out), f"A copy of {name} differs."
        _check_moves(name, module)
        with _in_words(f"{name} does not work in float64"):
            assert module.double()(plain.double(), index, ptr=ptr, dim_size=4, dim=0).dtype == (
                torch.float64
            ), f"{name} turns float64 into another type."


def check_graph(
    graph: RelationalGraph | nx.Graph[Any] | Callable[..., Any], **params: Any
) -> list[str]:
    """Check a relational graph, a networkx graph, or a generator called with ``params``.

    Returns:
        Notes on what to know of the graph, one sentence each.

    Raises:
        AssertionError: If it cannot become a relational graph, information flows other than
            along its edges, or the generator does not depend on its seed alone.
    """
    if callable(graph) and not isinstance(graph, (RelationalGraph, nx.Graph)):
        made = _generated(graph, params)
    else:
        made = graph
    with _in_words("it cannot become a relational graph"):
        found = made if isinstance(made, RelationalGraph) else RelationalGraph.from_networkx(made)
    n = found.num_nodes
    source, target = found.edges
    order = np.lexsort((source, target))
    assert (order == np.arange(len(order))).all(), "Edges are not sorted by target, then source."
    layer = Round(found, n, n, bias=False, execution="message_passing")
    for weight in layer.parameters():
        nn.init.ones_(weight)
    heard = layer(torch.eye(n)).T != 0  # row: target, column: source
    expected = torch.zeros(n, n, dtype=torch.bool)
    expected[target.copy(), source.copy()] = True
    assert torch.equal(heard, expected), "Information does not flow along the edges alone."
    notes = []
    if not np.isfinite(found.path_length):
        notes.append("The graph is disconnected: its path length is infinite.")
    alone = int(((found.in_degrees == 1)[target] & (source == target)).sum())
    if alone and n > 1:
        notes.append(f"{alone} of {n} nodes hear themselves alone.")
    if found.num_self_loops < n:
        notes.append(f"{n - found.num_self_loops} of {n} nodes do not hear themselves.")
    return notes


def check_rewiring(rewiring: str | Rewiring | type[Rewiring]) -> None:
    """Check that a rule of rewiring keeps to its contract, on edges and on single weights.

    Args:
        rewiring: A rule, its class, or its text.

    Raises:
        AssertionError: If it cannot be made from its text, its scores are not one finite number a
            place, differ from call to call with one generator, read global random numbers, or
            change what they are given.
    """
    with _in_words("it cannot be made"):
        rule = make_rewiring(rewiring() if isinstance(rewiring, type) else rewiring)
    name = type(rule).__name__
    with _in_words(f"{name} cannot be made again from '{rule.text}'"):
        again = make_rewiring(rule.text) if "<" not in rule.text else rule
    assert again == rule, f"'{rule.text}' makes another rule than {name} was."
    for shape in ((4, 3), ()) if rule.granularity == "edge" else ((), ()):

        def view(rows: tuple[int, ...] = shape) -> Candidates:
            numbers = torch.Generator().manual_seed(1)
            drawn = torch.randn(25, *rows, generator=numbers)
            active = torch.tensor([0, 3, 6, 7, 12, 18, 20, 24])
            gradient = drawn.flip(0) if rule.needs_gradient else None
            generator = torch.Generator().manual_seed(2)
            return Candidates("layer", 100, 25, active, drawn[active], gradient, 5, generator)

        for kind, count in (("drop_scores", 8), ("grow_scores", 25)):
            given = view()
            before, state = given.weights.clone(), torch.get_rng_state()
            with _in_words(f"{kind} of {name} fails"):
                scores = getattr(rule, kind)(given)
                twice = getattr(rule, kind)(view())
            assert isinstance(scores, Tensor), f"{kind} of {name} must return a tensor."
            assert scores.shape == (count,), (
                f"{kind} of {name} must return [{count}], one number a place, but returned "
                f"{list(scores.shape)}."
            )
            assert bool(scores.isfinite().all()), f"{kind} of {name} are NaN or infinite."
            assert torch.equal(state, torch.get_rng_state()), (
                f"{kind} of {name} reads global random numbers, so processes would choose "
                f"differently; draw from view.generator."
            )
            assert torch.equal(scores, twice), f"{kind} of {name} differs from call to call."
            assert torch.equal(given.weights, before), f"{kind} of {name} changes the weights."


# Parts of the checks --------------------------------------------------------------------


def _check_drawn(name: str, layer: Round) -> None:
    for label, part in layer.message_module.named_modules():
        if isinstance(part, WeightedMessage) and not bool(part.weight.any()):
            raise AssertionError(
                f"All weights of '{label or name}' in {name} are zero, so nothing is said; call "
                f"super().reset_parameters(edges) in its reset_parameters, or draw them there."
            )


def _check_executions(name: str, layer: Round, x: Tensor) -> None:
    wanted = [x, *(p for p in layer.parameters() if p.requires_grad)]

    def values() -> list[Tensor]:
        out = layer(x)
        return [out, *torch.autograd.grad(out.square().sum(), wanted, allow_unused=True)]

    expected = values()
    for execution in possible_executions(layer):
        layer.set_execution(execution)
        for found, right in zip(values(), expected, strict=True):
            assert torch.allclose(found, right, rtol=1e-4, atol=1e-5), (
                f"{name} states is_linear_map, but its forward is not its weight times x_j: "
                f"execution='{execution}' gives something else."
            )
    layer.set_execution(MESSAGE_PASSING)


def _check_gradients(name: str, layer: Round, x: Tensor) -> None:
    parameters = dict(layer.named_parameters())
    wanted = [x, *(p for p in parameters.values() if p.requires_grad)]
    gradients = torch.autograd.grad(layer(x).square().sum(), wanted, allow_unused=True)
    for label, gradient in zip(["the input", *parameters], gradients, strict=False):
        assert gradient is not None, f"{label} of {name} has no influence on what is said."
        assert bool(gradient.isfinite().all()), f"The gradient of {label} of {name} is not finite."
    with _in_words(f"{name} does not work in float64"):
        out = copy.deepcopy(layer).double()(x.detach().double())
    assert out.dtype == torch.float64, f"{name} turns float64 into {out.dtype}."


def _check_state(name: str, layer: Round, twin: Round, x: Tensor) -> None:
    state = torch.get_rng_state()
    out = layer(x)
    assert torch.equal(state, torch.get_rng_state()), (
        f"{name} draws random numbers in evaluation mode."
    )
    assert torch.equal(layer(x), out), f"{name} says something else at each pass."
    assert torch.equal(twin(x), out), (
        f"{name} built twice from one seed says different things; it reads global state."
    )
    for parameter in twin.parameters():
        nn.init.zeros_(parameter)
    twin.load_state_dict(layer.state_dict())
    assert torch.equal(twin(x), out), f"The state_dict of {name} does not hold all of its state."
    assert torch.equal(copy.deepcopy(layer)(x), out), f"A copy of {name} says something else."
    _check_moves(name, layer.message_module)


def _check_moves(name: str, module: nn.Module) -> None:
    for part in module.modules():
        for attribute, value in vars(part).items():
            assert not isinstance(value, Tensor), (
                f"{name} holds the tensor '{attribute}' as a plain attribute, so it stays behind "
                f"when the model moves to another device; use register_buffer."
            )
    with _in_words(f"{name} cannot move to another device"):
        copy.deepcopy(module).to("meta")


def _check_influence(name: str, layer: Round, x: Tensor) -> None:
    out = layer(x)
    graph, ins, outs = layer.graph, layer.in_partition, layer.out_partition
    starts = [np.cumsum([0, *part.sizes]) for part in (ins, outs)]
    crossed = False
    for node in range(graph.num_nodes):
        changed = x.clone()
        changed[:, starts[0][node] : starts[0][node + 1]] += 1
        listeners = graph.edges[1][graph.edges[0] == node].tolist()
        moved = layer(changed)
        for other in set(range(graph.num_nodes)) - set(listeners):
            place = slice(starts[1][other], starts[1][other + 1])
            assert torch.allclose(moved[:, place], out[:, place]), (
                f"Node {node} has an influence on node {other}, which does not hear it: {name} "
                f"mixes edges."
            )
        for other in set(listeners) - {node}:
            place = slice(starts[1][other], starts[1][other + 1])
            crossed |= not torch.equal(moved[:, place], out[:, place])
    assert crossed, f"Nothing crosses an edge: {name} does not say anything of x_j."
    changed = x.clone()
    changed[1:] += 1
    assert torch.allclose(layer(changed)[:1], out[:1], atol=1e-5), f"{name} mixes images."


def _notes(name: str, factory: MessageFactory, layer: Round) -> list[str]:
    try:
        with _in_words(f"the flops of {name} cannot be counted by flops(edges, positions)"):
            layer.flops(positions=2)
        cost = message_flops(factory, layer.graph, _IN, _OUT)
    except NotImplementedError:
        return [f"{name} has no method flops(edges, positions): it cannot be matched to a budget."]
    except AssertionError:
        raise
    except Exception as error:
        return [f"{name} cannot be counted before it is built ({error})."]
    assert cost == layer.flops(), f"{name} costs {cost} before and {layer.flops()} once built."
    return []


def _generated(generator: Callable[..., Any], params: dict[str, Any]) -> Any:
    def states() -> tuple[Any, ...]:
        drawn = np.random.get_state(legacy=False)  # noqa: NPY002  (what a generator may change)
        return random.getstate(), str(drawn), torch.get_rng_state().tolist()

    before = states()
    one, two = generator(**params), generator(**params)
    assert states() == before, "The generator changes a global random state; draw from its seed."
    keys = [
        g.key if isinstance(g, RelationalGraph) else RelationalGraph.from_networkx(g).key
        for g in (one, two)
    ]
    assert keys[0] == keys[1], "The generator gives another graph at each call with one seed."
    return one


@contextmanager
def _in_words(what: str) -> Iterator[None]:
    try:
        yield
    except (AssertionError, NotImplementedError):
        raise
    except Exception as error:
        reason = str(error).strip() or type(error).__name__
        raise AssertionError(f"{what[0].upper()}{what[1:]}: {reason}") from error
