"""Widths at which a model costs a budget, also of models whose cost is found by building them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from relmp.checks import check_whole
from relmp.models.architecture import Widths
from relmp.models.own.build import Builder
from relmp.rounds.channels import MAX_CHANNELS

WHOLE, MULTIPLIERS = ("width", "width_per_group"), ("width_mult", "channel_multiplier")
"""Options that are taken for a model's width: channels, or a factor of them."""


class NoWidthError(ValueError):
    """A model has no width that could be matched."""


def width_option(name: str, builder: Builder, options: Mapping[str, Any]) -> str:
    """The option that is the width of a model.

    Raises:
        NoWidthError: If it has none.
    """
    known = {**inspect.signature(builder).parameters, **options}
    for option in (*WHOLE, *MULTIPLIERS):
        if option in known:
            return option
    raise NoWidthError(
        f"Model '{name}' has no width to be matched to a budget: it costs what it costs over each "
        f"graph. Give it an option width, or where its library has one, a factor (width_mult=1.0)."
    )


def start_widths(
    name: str, builder: Builder, options: Mapping[str, Any], width: int | Sequence[int] | None
) -> Widths:
    """Widths of the complete-graph model: as given, else those of the model itself; factors in
    hundredths.

    Raises:
        ValueError: If none is given and the model has no default.
    """
    option = width_option(name, builder, options)
    usual = options.get(option)
    if usual is None:
        parameter = inspect.signature(builder).parameters.get(option)
        usual = None if parameter is None else parameter.default
    value = usual if width is None or option in MULTIPLIERS else width
    if option in MULTIPLIERS:
        factor: Any = 1.0 if value in (None, inspect.Parameter.empty) else value
        return (round(100 * float(factor)),)
    if value in (None, inspect.Parameter.empty):
        raise ValueError(f"Model '{name}' has no default width; give the budget's (width=...).")
    return tuple(value) if isinstance(value, Sequence) else (int(value),)


def as_option(option: str, widths: Widths) -> Any:
    """Widths as the model takes them."""
    if option in MULTIPLIERS:
        return widths[0] / 100
    return widths[0] if len(widths) == 1 else list(widths)


def built_costs(
    name: str, cost: Callable[[Any], int], option: str, most: int
) -> Callable[[Widths], int]:
    """The cost of a model at given widths, each found once.

    Args:
        name: The model's name.
        cost: Builds the model at the value of its width, and counts.
        option: The option that is the width.
        most: The largest first width that is tried.
    """
    found: dict[Widths, int] = {}

    def flops(widths: Widths) -> int:
        if widths[0] > most:
            raise ValueError(
                f"Model '{name}' would have to be wider than {as_option(option, (most,))} "
                f"({option}) to cost as much as over the complete graph; choose a smaller width, "
                f"or a message that costs more."
            )
        if widths not in found:
            found[widths] = cost(as_option(option, widths))
        return found[widths]

    return flops


def require_effect(name: str, flops: Callable[[Widths], int], widths: Widths, option: str) -> None:
    """Raise ``ValueError`` if a model costs the same at twice its width."""
    if flops(tuple(2 * width for width in widths)) == flops(widths):
        raise ValueError(
            f"Model '{name}' ignores its width: it costs the same at twice {option}="
            f"{as_option(option, widths)}; let the channels of its rounds follow from {option}."
        )


def match_widths(
    flops: Callable[[Widths], int], widths: Widths, reference: int, *, rescales: int
) -> Widths:
    """Widths of the stages at which ``flops`` reaches ``reference``, by the published rule.

    1. ``rescales`` times: multiply the first width by the square root of the missing factor
       (to two decimals); the other stages follow in proportion.
    2. Step the first width by one, up to the first cost that is not below the reference, or
       down to below it and then up by one.
    3. Each further stage in turn moves channel by channel towards the reference, by no more
       than its share of the first width, and stops before it would cross it.

    Args:
        flops: Cost of the model at given stage widths.
        widths: Widths of the complete-graph model.
        reference: Its cost, the budget.
        rescales: How often step 1 is repeated.

    Reference:
        The code of You, Leskovec, He, Xie, *Graph Structure of Neural Networks*, ICML 2020.
    """
    if flops(widths) == reference:
        return widths
    for _ in range(rescales):
        scale = round(math.sqrt(reference / flops(widths)), 2)
        widths = _scaled(widths, round(widths[0] * scale))
    if flops(widths) < reference:
        while flops(widths) < reference:
            widths = _scaled(widths, widths[0] + 1)
    else:
        while flops(widths) >= reference:
            widths = _scaled(widths, widths[0] - 1)
        widths = _scaled(widths, widths[0] + 1)
    limits = [round(width / widths[0]) for width in widths]
    for stage in range(1, len(widths)):
        widths = _moved(flops, widths, reference, stage, limits[stage])
    return widths


def _scaled(widths: Widths, first: int) -> Widths:
    return (first, *(round(first * width / widths[0]) for width in widths[1:]))


def _moved(
    flops: Callable[[Widths], int], widths: Widths, reference: int, stage: int, limit: int
) -> Widths:
    above = flops(widths) >= reference
    for _ in range(limit):
        width = widths[stage] + (-1 if above else 1)
        moved = (*widths[:stage], width, *widths[stage + 1 :])
        if (flops(moved) >= reference) != above:
            break
        widths = moved
    return widths


def as_shape(value: Any) -> tuple[int, ...]:
    """The shape of an image, also from one number.

    Raises:
        ValueError: If it is none.
    """
    shape = (value,) if isinstance(value, int) else value
    if not isinstance(shape, Sequence) or isinstance(shape, str) or not shape:
        raise ValueError(f"input_shape is (C, H, W) or (C,), but is {value!r}.")
    for size in shape:
        check_whole("input_shape", size, 1, MAX_CHANNELS)
    return tuple(shape)
