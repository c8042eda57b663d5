"""The choice of an execution is deterministic, visible and explained."""

from __future__ import annotations

import pytest
import torch

from relmp.graphs import create_graph
from relmp.rounds import Message, Round
from relmp.rounds.execution import possible_executions


def test_a_pinned_execution_that_cannot_run_says_why() -> None:
    graph = create_graph("complete", n=4)
    with pytest.raises(ValueError, match="aggregation 'max' is not linear"):
        Round(graph, 8, 8, aggr="max", execution="dense")
    with pytest.raises(ValueError, match=r"Message is not one linear map.*'message_passing'"):
        Round(graph, 8, 8, message=lambda *_: Message(), execution="dense")
    with pytest.raises(ValueError, match="Unknown execution 'fast'; choose one of auto"):
        Round(graph, 8, 8, execution="fast")


@pytest.mark.parametrize("aggr", ["sum", "mean"])
def test_mean_and_sum_agree_along_all_executions(aggr: str) -> None:
    graph = create_graph("ws_flex", n=6, k=3, p=0.5, seed=1)
    layer = Round(graph, 13, 9, aggr=aggr).double()
    x = torch.randn(5, 13, dtype=torch.float64, requires_grad=True)
    outputs, gradients = [], []
    for execution in possible_executions(layer):
        layer.set_execution(execution)
        assert layer.execution == execution
        layer.double()
        outputs.append(layer(x))
        gradients.append(torch.autograd.grad(outputs[-1].square().sum(), [x, *layer.parameters()]))
    assert len(outputs) == 4
    for output, gradient in zip(outputs[1:], gradients[1:], strict=True):
        torch.testing.assert_close(output, outputs[0], rtol=0, atol=1e-12)
        torch.testing.assert_close(gradient, gradients[0], rtol=0, atol=1e-12)
