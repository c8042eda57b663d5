"""A linear round laid out once for all steps of a sequence: its product and both gradients."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from relmp.rounds.form import RoundForm
from relmp.rounds.layout import EdgeLayout, divided, mean_degrees


class Product(Protocol):
    """A matrix of a round, in the form in which it is multiplied again and again."""

    def multiply(self, state: Tensor, plus: Tensor, out: Tensor) -> None:
        """``out = plus + W state``."""

    def pull_back(self, gradient: Tensor, plus: Tensor, out: Tensor) -> None:
        """``out = plus + W^T gradient``."""

    def to_weight(self, gradients: Tensor, states: Tensor, first: Tensor) -> Tensor:
        """The gradient of the weight: gradients ``[T, ...]`` with the states before each step,
        which are ``first`` and then ``states [T, ...]`` but the last."""


class Laying(nn.Module):
    """How a form of product is made of the weights of a round.

    ``name`` is that of the execution.

    Shapes:
        - a sequence ``[T, B, H]`` <-> the states of the product ``[T, *state]``
        - **weight** ``[E, out_dim, in_dim]`` -> what is differentiated
    """

    name: str

    def weight(self, weight: Tensor) -> Tensor:
        """What the product multiplies by, laid out differentiably."""
        raise NotImplementedError

    def product(self, weight: Tensor) -> Product:
        """The product with what :meth:`weight` gave."""
        raise NotImplementedError

    def states(self, sequence: Tensor) -> Tensor:
        """``[T, B, H]`` as states of the product."""
        raise NotImplementedError

    def sequence(self, states: Tensor) -> Tensor:
        """The inverse of :meth:`states`."""
        raise NotImplementedError


class DenseLaying(Laying):
    """One matrix with zeros where there is no edge; states are ``[B, H]``."""

    name = "dense"

    def __init__(self, form: RoundForm) -> None:
        super().__init__()
        self.layout = EdgeLayout(form)

    def weight(self, weight: Tensor) -> Tensor:
        return self.layout(weight)

    def product(self, weight: Tensor) -> Product:
        return _DenseProduct(weight)

    def states(self, sequence: Tensor) -> Tensor:
        return sequence

    def sequence(self, states: Tensor) -> Tensor:
        return states


class _DenseProduct:
    def __init__(self, weight: Tensor) -> None:
        self.matrix = weight

    def multiply(self, state: Tensor, plus: Tensor, out: Tensor) -> None:
        torch.addmm(plus, state, self.matrix.t(), out=out)

    def pull_back(self, gradient: Tensor, plus: Tensor, out: Tensor) -> None:
        torch.addmm(plus, gradient, self.matrix, out=out)

    def to_weight(self, gradients: Tensor, states: Tensor, first: Tensor) -> Tensor:
        # One product over all steps instead of one a step.
        later = torch.mm(gradients[1:].flatten(0, 1).t(), states[:-1].flatten(0, 1))
        return later.addmm_(gradients[0].t(), first)


class GatheredLaying(Laying):
    """For every node one product with all it hears; states are ``[n, q, B]``, nodes padded to q."""

    name = "gathered"

    def __init__(self, form: RoundForm) -> None:
        super().__init__()
        partition = form.in_partition
        self.nodes, self.size = partition.num_nodes, partition.max_size
        self.hidden = partition.channels
        source, target = form.graph.edges
        order = np.lexsort((target, source))
        tables: dict[str, Any] = {"heard": source, "told": target[order], "order": order}
        tables["into"] = form.graph.ptr
        tables["out_of"] = np.searchsorted(source[order], np.arange(self.nodes + 1))
        if not partition.is_even:
            tables["slots"] = partition.slots.reshape(-1)
            tables["real"] = np.flatnonzero(partition.mask)
        for name, table in tables.items():
            held = torch.from_numpy(np.array(table, dtype=np.int64))
            self.register_buffer(name, held, persistent=False)
        self.is_even = partition.is_even
        self.register_buffer("degrees", mean_degrees(form), persistent=False)
        self.degrees: Tensor | None

    def weight(self, weight: Tensor) -> Tensor:
        return divided(weight, self.degrees)

    def product(self, weight: Tensor) -> Product:
        return _GatheredProduct(weight, self)

    def states(self, sequence: Tensor) -> Tensor:
        steps, batch = sequence.shape[:2]
        if not self.is_even:
            padding = sequence.new_zeros(steps, batch, 1)
            slots = self.get_buffer("slots")
            sequence = torch.cat([sequence, padding], dim=2).index_select(2, slots)
        states = sequence.transpose(1, 2)
        return states.reshape(steps, self.nodes, self.size, batch).contiguous()

    def sequence(self, states: Tensor) -> Tensor:
        flat = states.flatten(1, 2)
        if not self.is_even:
            flat = flat.index_select(1, self.get_buffer("real"))
        return flat.transpose(1, 2)


class _GatheredProduct:
    def __init__(self, weight: Tensor, laying: GatheredLaying) -> None:
        heard, told, order, into, out_of = (
            laying.get_buffer(name) for name in ("heard", "told", "order", "into", "out_of")
        )
        self.shape = weight.shape
        self.heard = heard.tensor_split(into[1:-1].cpu())
        self.told = told.tensor_split(out_of[1:-1].cpu())
        inward = weight.tensor_split(into[1:-1].cpu())
        self.inward = [w.permute(1, 0, 2).flatten(1) for w in inward]
        outward = weight.index_select(0, order).tensor_split(out_of[1:-1].cpu())
        self.outward = [w.permute(2, 0, 1).flatten(1) for w in outward]

    def multiply(self, state: Tensor, plus: Tensor, out: Tensor) -> None:
        for i, (heard, weight) in enumerate(zip(self.heard, self.inward, strict=True)):
            torch.addmm(plus[i], weight, _rows(state, heard), out=out[i])

    def pull_back(self, gradient: Tensor, plus: Tensor, out: Tensor) -> None:
        for j, (told, weight) in enumerate(zip(self.told, self.outward, strict=True)):
            torch.addmm(plus[j], weight, _rows(gradient, told), out=out[j])

    def to_weight(self, gradients: Tensor, states: Tensor, first: Tensor) -> Tensor:
        sums = [torch.zeros_like(weight) for weight in self.inward]
        for t in range(gradients.size(0)):
            before = states[t - 1] if t else first
            for i, heard in enumerate(self.heard):
                sums[i].addmm_(gradients[t, i], _rows(before, heard).t())
        rows, columns = self.shape[1:]
        return torch.cat([s.view(rows, -1, columns).transpose(0, 1) for s in sums])


def _rows(state: Tensor, nodes: Tensor) -> Tensor:
    """``[n, q, B]`` -> ``[k q, B]``: the channels of these nodes."""
    return state.index_select(0, nodes).flatten(0, 1)


LAYINGS: dict[str, type[DenseLaying] | type[GatheredLaying]] = {
    cls.name: cls for cls in (DenseLaying, GatheredLaying)
}
"""Executions that are laid out once a sequence, by name."""
