"""Three operators of a round, each the derivative of the others.

A round is linear in its input and in its weights. So the gradients are of the same kind: the
input gradient is a round over the reversed graph, the weight gradient joins both sides, and
each of the three is differentiated by the other two, to any order.
"""

from __future__ import annotations

from typing import Any


def register_derivatives(forward: Any, input_gradient: Any, weight_gradient: Any) -> None:
    """Tell PyTorch how three operators differentiate each other.

    Args:
        forward: ``(x, w, graph, *numbers) -> y``.
        input_gradient: ``(y, w, graph, *numbers) -> x``.
        weight_gradient: ``(y, x, graph, *numbers) -> w``.
    """
    forward.register_autograd(  # of x and w, by a gradient in the place of y
        _derivative(
            lambda g, x, w, *rest: input_gradient(g, w, *rest),
            lambda g, x, w, *rest: weight_gradient(g, x, *rest),
        ),
        setup_context=_keep,
    )
    input_gradient.register_autograd(  # of y and w, by a gradient in the place of x
        _derivative(
            lambda g, y, w, *rest: forward(g, w, *rest),
            lambda g, y, w, *rest: weight_gradient(y, g, *rest),
        ),
        setup_context=_keep,
    )
    weight_gradient.register_autograd(  # of y and x, by a gradient in the place of w
        _derivative(
            lambda g, y, x, *rest: forward(x, g, *rest),
            lambda g, y, x, *rest: input_gradient(y, g, *rest),
        ),
        setup_context=_keep,
    )


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.numbers = inputs[3:]
    ctx.save_for_backward(*inputs[:3])


def _derivative(of_first: Any, of_second: Any) -> Any:
    """The derivative of ``f(a, b)`` by ``of_first(g, a, b)`` and ``of_second(g, a, b)``."""

    def backward(ctx: Any, gradient: Any) -> tuple[Any, ...]:
        a, b, graph = ctx.saved_tensors
        rest = (graph, *ctx.numbers)
        return (
            of_first(gradient, a, b, *rest) if ctx.needs_input_grad[0] else None,
            of_second(gradient, a, b, *rest) if ctx.needs_input_grad[1] else None,
            *[None] * len(rest),
        )

    return backward
