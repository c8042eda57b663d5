"""Figures that touch no global state of matplotlib and show themselves in a notebook."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Place: TypeAlias = Any
"""Axes to draw into, or as many as a plot has panels; None makes a figure."""


class Picture(Figure):
    """A matplotlib figure that a notebook shows without pyplot or a backend of its own."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=110)
        return buffer.getvalue()


def panels(
    ax: Place, size: tuple[float, float], rows: int = 1, columns: int = 1
) -> tuple[Figure, list[Axes]]:
    """The figure of a plot, and the axes of its panels.

    Args:
        ax: Axes to draw into, as many as there are panels; None makes a figure.
        size: Width and height of the figure that is made, in inches.
        rows, columns: How the panels of the figure that is made lie.

    Raises:
        ValueError: If the number of axes is another one.
    """
    count = rows * columns
    if ax is None:
        figure: Figure = Picture(figsize=size, layout="constrained")
        return figure, [figure.add_subplot(rows, columns, i + 1) for i in range(count)]
    several = isinstance(ax, Sequence) or hasattr(ax, "flat")
    given = [*(ax.flat if hasattr(ax, "flat") else ax)] if several else [ax]
    if len(given) != count or not all(hasattr(one, "plot") for one in given):
        raise ValueError(
            f"This plot has {count} panel{'s' if count > 1 else ''}, so ax is "
            f"{f'a sequence of {count} axes' if count > 1 else 'one axes'} of matplotlib, but "
            f"{len(given)} of {type(given[0]).__name__ if given else 'nothing'} was given."
        )
    return given[0].figure, given
