"""The read-out of a model, fitted to what the rest of it says, in one step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from relmp.checks import check_number
from relmp.training.data import DataSet, Part, load_data, objective_of
from relmp.training.data.objective import IGNORED

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Readout:
    """What a fitted read-out does on test data.

    Attributes:
        alpha: The penalty.
        test_loss: The loss of the data set.
        test_error: Its error, in percent.
        correlations: ``[K]``: squared correlation of each number asked with its prediction; empty
            where classes are asked.
    """

    alpha: float
    test_loss: float
    test_error: float
    correlations: Array


def fit_readout(
    model: nn.Module, data: str | DataSet, *, alpha: float | Sequence[float] = 1e-6
) -> Readout:
    r"""Fit the last layer of a model by ridge regression, leaving the rest as it is.

    .. math::
        \min_{V, b} \sum_t \lVert V h_t + b - y_t \rVert^2 + \alpha \lVert V \rVert^2

    over all steps of the training part at which something is asked; a class is 1 at its place and 0
    at others. The head holds V and b afterwards.

    Args:
        model: A model with a linear layer ``head``: ``create_model("rnn", frozen=True, ...)``, or
            any other of relmp's.
        data: Name of a data set, or one.
        alpha: The penalty; of several the one is taken whose leave-one-out error on the training
            part is lowest.

    Raises:
        ValueError: If the model has no such head, its size does not fit the data, a penalty is
            negative, or the states are not finite.

    Reference:
        Jaeger, *The "echo state" approach to analysing and training recurrent neural networks*, GMD
        Report 148, 2001.
    """
    from sklearn.linear_model import Ridge, RidgeCV

    head = getattr(model, "head", None)
    if not isinstance(head, nn.Linear):
        raise ValueError(
            f"{type(model).__name__} has no linear layer named head to be fitted; make the model "
            f"by relmp.create_model."
        )
    data = load_data(data) if isinstance(data, str) else data
    if head.out_features != data.num_classes:
        raise ValueError(
            f"The head has {head.out_features} outputs, but {data.name} asks for "
            f"{data.num_classes}; give num_classes={data.num_classes}."
        )
    penalties = [alpha] if isinstance(alpha, int | float) else list(alpha)
    for penalty in penalties:
        check_number("alpha", penalty, 0)
    states, answers = asked_states(model, head, data, "train")
    if not np.isfinite(states).all():
        raise ValueError(
            "States became infinite or NaN, so nothing can be fitted; lower the spectral radius."
        )
    if len(penalties) == 1:
        ridge = Ridge(alpha=penalties[0], solver="svd").fit(states, answers)
        chosen = penalties[0]
    else:
        ridge = RidgeCV(alphas=penalties).fit(states, answers)
        chosen = float(ridge.alpha_)
    with torch.no_grad():
        weight = torch.from_numpy(np.atleast_2d(ridge.coef_))
        head.weight.copy_(weight.to(head.weight))
        if head.bias is not None:
            head.bias.copy_(torch.from_numpy(np.atleast_1d(ridge.intercept_)).to(head.bias))
    return _judged(model, ridge, head, data, chosen)


@torch.no_grad()
def asked_states(
    model: nn.Module, head: nn.Linear, data: DataSet, part: Part
) -> tuple[Array, Array]:
    """What the head hears where something is asked, ``[M, H]``, and the answers ``[M, K]``."""
    heard: list[Tensor] = []
    handle = head.register_forward_pre_hook(lambda _, inputs: heard.append(inputs[0]))
    states, answers = [], []
    training = model.training
    model.eval()
    try:
        for inputs, labels in data.batches(part):
            heard.clear()
            model(inputs.to(head.weight.device))
            asked, wanted = _answers(labels, head.out_features)
            states.append(heard[0].cpu()[asked].double().numpy())
            answers.append(wanted)
    finally:
        handle.remove()
        model.train(training)
    return np.concatenate(states), np.concatenate(answers)


def _answers(labels: Tensor, outputs: int) -> tuple[Tensor, Array]:
    """Where something is asked, and what; a step counts where all its numbers are asked."""
    labels = labels.cpu()
    if labels.dtype == torch.int64:
        asked = labels != IGNORED
        return asked, torch.eye(outputs)[labels[asked]].double().numpy()
    asked = labels.isnan().logical_not().all(-1)
    return asked, labels[asked].double().numpy()


@torch.no_grad()
def _judged(model: nn.Module, ridge: Any, head: nn.Linear, data: DataSet, alpha: float) -> Readout:
    objective = objective_of(data)
    sums = np.zeros(2)
    classes = False
    model.eval()
    for inputs, labels in data.batches("test"):
        classes = labels.dtype == torch.int64
        scores = model(inputs.to(head.weight.device)).float().cpu()
        sums += float(objective.total(scores, labels)), float(objective.error(scores, labels))
    loss, error = sums / data.size("test")
    correlations = np.empty(0)
    if not classes:
        states, answers = asked_states(model, head, data, "test")
        predicted = np.asarray(ridge.predict(states)).reshape(answers.shape)
        correlations = squared_correlations(predicted, answers)
    return Readout(alpha, float(loss), 100 * float(error), correlations)


def squared_correlations(first: Array, second: Array) -> Array:
    """``[K]``: of the columns of two tables ``[M, K]``; 0 where one does not vary."""
    a, b = first - first.mean(0), second - second.mean(0)
    spread = (a**2).sum(0) * (b**2).sum(0)
    return np.where(spread > 0, (a * b).sum(0) ** 2 / np.where(spread > 0, spread, 1), 0.0)
