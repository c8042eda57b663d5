"""Read-outs that are fitted, and memory capacity."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import relmp
from relmp.graphs import RelationalGraph, create_graph
from relmp.models import RelationalRNN, create_model
from relmp.training.data import load_data
from relmp.training.echo import fit_readout, fit_readouts, memory_capacity
from relmp.training.echo.readout import squared_correlations


def reservoir(n=30, radius=0.9, seed=0, scale=0.1, **options):
    torch.manual_seed(seed)
    return RelationalRNN(
        create_graph("complete", n=n), 1, bias=False, input_scale=scale, frozen=True,
        init=f"spectral(radius={radius})", **options,
    )  # fmt: skip


def test_a_readout_solves_the_normal_equations():
    torch.manual_seed(0)
    data = load_data("sequence_recall(length=3, trials=60)")
    graph = create_graph("complete", n=8)
    model = create_model("rnn", graph=graph, num_classes=1, in_features=2, frozen=True)
    recurrent = model.rnn.weight_hh.clone()
    found = fit_readout(model, data, alpha=0.1)
    with torch.no_grad():
        states = model.rnn(data.train_inputs)[0][:, 3:].reshape(-1, 8).double().numpy()
    answers = data.train_labels[:, 3:, 0].reshape(-1).double().numpy()
    centred = states - states.mean(0)
    weight = np.linalg.solve(
        centred.T @ centred + 0.1 * np.eye(8), centred.T @ (answers - answers.mean())
    )
    assert np.allclose(model.head.weight.detach()[0], weight, atol=1e-4)
    bias = answers.mean() - states.mean(0) @ weight
    assert float(model.head.bias.detach()) == pytest.approx(bias, abs=1e-4)
    assert torch.equal(model.rnn.weight_hh, recurrent)
    with torch.no_grad():
        scores = model(data.test_inputs)
    expected = float(((scores - data.test_labels)[:, 3:] ** 2).mean())
    assert found.test_loss == pytest.approx(expected, rel=1e-5)
    variance = float(data.test_labels[:, 3:].var(correction=0))
    assert found.test_error == pytest.approx(100 * expected / variance, rel=1e-4)


def test_classes_and_images():
    model = create_model("rnn", graph=create_graph("complete", n=20), in_features=2, num_classes=2)
    found = fit_readout(model, "nback(n=1)", alpha=[1e-6, 1e-3, 1.0])
    assert found.alpha in (1e-6, 1e-3, 1.0)
    assert found.test_error < 50
    assert len(found.correlations) == 0
    graph = create_graph("complete", n=8)
    mlp = create_model("mlp", graph=graph, in_features=64, width=64, init="degree")
    assert fit_readout(mlp, "digits").test_error < 30


def test_capacity_is_below_its_bound_and_falls_with_the_lag():
    found = memory_capacity(reservoir(), lags=60, steps=3000)
    # The number of units bounds it, up to the chance of a finite stream.
    assert 10 < found.total < found.units + 60 / 3000 * 2
    assert found.units == 30
    assert found.by_lag[:3].min() > 0.99
    assert found.by_lag[45:].max() < 0.5
    small = memory_capacity(reservoir(6, scale=0.01), lags=60, steps=3000)
    assert 3 < small.total < 6 + 60 / 3000 * 2


def test_a_line_remembers_as_long_as_it_is():
    """0 -> 1 -> ... -> 9 holds the last inputs: nine lags are told, and no tenth."""
    line = RelationalGraph(10, [list(range(9)), list(range(1, 10))], self_loops=False)
    layer = RelationalRNN(line, 1, nonlinearity="identity", bias=False)
    layer.set_weight(torch.ones(10, 10))
    layer.weight_ih.data = torch.eye(10)[:, :1]
    found = memory_capacity(layer, lags=12, steps=1000)
    assert found.by_lag[:9].min() > 0.999
    assert found.by_lag[9:].max() < 0.05
    assert found.total == pytest.approx(9, abs=0.1)


def test_beside_reservoirpy():
    nodes = pytest.importorskip("reservoirpy.nodes", exc_type=ImportError)
    layer = reservoir(40, 0.95, scale=0.5, leak=0.7)
    node = nodes.Reservoir(
        40,
        lr=0.7,
        W=layer.weight_hh.detach().double().numpy(),
        Win=layer.weight_ih.detach().double().numpy(),
        bias=np.zeros(40),
        input_scaling=1.0,
        sr=None,
    )
    data = load_data("memory_capacity(lags=60, steps=2000)")
    theirs = []
    for stream in [*data.train_inputs, *data.test_inputs]:
        theirs.append(np.asarray(node.run(stream.double().numpy())))
        node.reset()
        ours = layer(stream)[0].detach().numpy()
        assert np.allclose(ours, theirs[-1], atol=1e-4)
    # The capacity of their states, by least squares.
    labels = torch.cat([data.train_labels, data.test_labels]).double().numpy()[:, 100:]
    x, y = np.concatenate([s[100:] for s in theirs[:2]]), np.concatenate(labels[:2])
    with_one = np.column_stack([x, np.ones(len(x))])
    weight, *_ = np.linalg.lstsq(with_one, y, rcond=None)
    told = np.column_stack([theirs[2][100:], np.ones(1900)]) @ weight
    expected = squared_correlations(told, labels[2]).sum()
    found = memory_capacity(layer, lags=60, steps=2000)
    assert found.total == pytest.approx(expected, rel=0.02)
    assert 10 < found.total < 40


def test_a_plan_over_radius_scale_and_leak():
    base = relmp.RunConfig(
        relmp.ModelConfig("rnn", graph=create_graph("complete", n=15), options={"frozen": True}),
        relmp.DataConfig(name="memory_capacity(lags=10, steps=400, transient=20)"),
        relmp.TrainConfig(),
    )
    plan = relmp.grid(
        base,
        **{
            "model.init": ["spectral(radius=0.5)", "spectral(radius=0.95)"],
            "model.input_scale": [0.01, 1.0],
            "model.leak": [0.6, 1.0],
        },
    )
    table = fit_readouts(plan)
    assert len(table) == 8
    assert {"model.init", "model.input_scale", "model.leak", "capacity"} <= set(table.columns)
    assert table["capacity"].between(0, 10).all()
    again = fit_readouts(plan[:1])
    assert again["capacity"].iloc[0] == table["capacity"].iloc[0]
    with pytest.raises(ValueError, match="plan has no runs"):
        fit_readouts([])


def test_squared_correlations():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(50, 3)), rng.normal(size=(50, 3))
    b[:, 1] = -2 * a[:, 1] + 3
    b[:, 2] = 1
    expected = [np.corrcoef(a[:, 0], b[:, 0])[0, 1] ** 2, 1, 0]
    assert np.allclose(squared_correlations(a, b), expected)


def test_bad_input():
    layer = reservoir(5)
    with pytest.raises(ValueError, match="must be below the number of steps"):
        memory_capacity(layer, lags=100, steps=50)
    two = RelationalRNN(create_graph("complete", n=4), 2)
    with pytest.raises(ValueError, match="one input, but 2 inputs"):
        memory_capacity(two)
    with pytest.raises(ValueError, match="no linear layer named head"):
        fit_readout(layer, "nback")
    model = create_model("rnn", width=4, num_classes=3)
    with pytest.raises(ValueError, match="give num_classes=2"):
        fit_readout(model, "nback")
    model = create_model("rnn", width=4, num_classes=2)
    with pytest.raises(ValueError, match="alpha must be a number"):
        fit_readout(model, "nback", alpha=-1.0)
    wild = create_model(
        "rnn", width=8, num_classes=1, nonlinearity="identity", init="spectral(radius=1e9)"
    )
    with pytest.raises(ValueError, match="lower the spectral radius"):
        fit_readout(wild, "sequence_memory(length=10)")
