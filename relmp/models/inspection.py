"""What a model is made of, layer by layer, and whether its executions agree."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from relmp.models.budget import Classifier, layer_flops, run_one_image
from relmp.models.own.widths import as_shape
from relmp.models.recurrent.layer import RelationalRNN
from relmp.rounds import Round
from relmp.rounds.execution import MESSAGE_PASSING, possible_executions
from relmp.rounds.geometry import Images
from relmp.rounds.scored.selection import scored_parts

COLUMNS = (
    "layer", "kind", "nodes", "sizes", "edges", "density", "parameters", "stored_bytes",
    "effective", "flops", "activation_bytes", "message_bytes", "execution", "note",
)  # fmt: skip


@dataclass(frozen=True)
class Summary:
    """The layers of a model, one row each; prints as a table.

    Args:
        frame: Columns ``layer``, ``kind``, ``nodes``, ``sizes`` (channels a node, input to
            output), ``edges``, ``density``, ``parameters`` (stored ones: a layer that is used
            again has none the second time), ``stored_bytes`` (what these take in a file of
            :func:`relmp.save_compressed`: a bit for a score, 4 bytes for any other),
            ``effective`` (those that act in this use: of scored weights the chosen ones),
            ``flops``, ``activation_bytes`` (of the output, for one image), ``message_bytes``
            (what literal messages of one image take, whether or not the round is executed so),
            ``execution`` and ``note`` (why a layer stays dense, where that is known, or which
            parts a fused layer is relational across). Layers that are no rounds have
            empty places.
        dense_flops: Multiply-adds of one image as if every round were dense (f_D); None where a
            message does not say what it costs.
    """

    frame: pd.DataFrame
    dense_flops: int | None = None

    def training(self, every: int = 100) -> dict[str, float]:
        r"""Multiply-adds of training an image: ``"sparse"`` in an ordinary step,
        :math:`3 f_S`; ``"dense"`` in one that looks at absent edges, :math:`2 f_S + f_D`; and the
        mean of RigL, :math:`(3 f_S \Delta T + 2 f_S + f_D) / (\Delta T + 1)`.

        Args:
            every: Steps from one rewiring to the next, :math:`\Delta T`.

        Raises:
            ValueError: If a message does not say what it costs.

        Reference:
            Evci et al., *Rigging the Lottery*, ICML 2020, appendix H.
        """
        if self.dense_flops is None:
            raise ValueError("A message does not say what it costs, so training has no FLOPs.")
        sparse, dense = 3 * int(self.frame["flops"].sum()), self.dense_flops
        watched = sparse * 2 // 3 + dense
        mean = (sparse * every + watched) / (every + 1)
        return {"sparse": sparse, "dense": watched, "rigl": mean}

    def __str__(self) -> str:
        shown = self.frame.astype(object).where(self.frame.notna(), "")
        if not self._differ:
            shown = shown.drop(columns=["stored_bytes", "effective"])
        counts = shown.columns.intersection(
            [
                "parameters",
                "stored_bytes",
                "effective",
                "flops",
                "activation_bytes",
                "message_bytes",
            ]
        )
        for name in counts:
            shown[name] = [f"{int(value):,}" if value != "" else "" for value in shown[name]]
        shown["density"] = [f"{value:.3f}" if value != "" else "" for value in shown["density"]]
        total = (
            f"{len(self.frame)} layers, {int(self.frame['parameters'].sum()):,} parameters in "
            f"them, {int(self.frame['flops'].sum()):,} FLOPs an image"
        )
        if unknown := int(self.frame["flops"].isna().sum()):
            total += f", not counting {unknown} whose message does not say what it costs"
        if self._differ:
            stored, effective = (int(self.frame[c].sum()) for c in ("stored_bytes", "effective"))
            total += (
                f"\nStored: {stored:,} bytes compressed; effective: {effective:,} parameters act "
                f"on an image, {4 * effective:,} bytes as float32"
            )
        if self.dense_flops is not None:
            costs = {name: f"{round(value):,}" for name, value in self.training().items()}
            total += (
                f"\nTraining: {costs['sparse']} FLOPs an image (3 f_S); {costs['dense']} where "
                f"absent edges are looked at (2 f_S + f_D); with one such step in 101, "
                f"{costs['rigl']}"
            )
        return f"{shown.to_string(index=False)}\n{total}"

    @property
    def _differ(self) -> bool:
        """Whether stored parameters are not just those that act."""
        return not self.frame["parameters"].equals(self.frame["effective"])

    def _repr_html_(self) -> str:
        return str(self.frame.to_html(index=False, na_rep=""))


def summary(model: nn.Module, input_shape: Sequence[int] | None = None) -> Summary:
    """Nodes, sizes, edges, parameters, FLOPs, memory and execution of every layer.

    One image of zeros is run through the model. Rounds, linear and convolutional layers are
    listed, a layer that is used several times once for every use.

    Args:
        model: Any module.
        input_shape: Shape of one image, ``(C, H, W)`` or ``(C,)``; the usual one of a
            registered model by default.

    Raises:
        ValueError: If the shape is needed and not given, or the model does not take it.
    """
    if input_shape is None:
        if not isinstance(model, Classifier):
            raise ValueError(
                f"{type(model).__name__} does not say which images it takes; pass the shape of "
                f"one, such as summary(model, (3, 224, 224))."
            )
        input_shape = model.input_shape
    names = {module: name for name, module in model.named_modules()}
    notes: dict[str, str] = {**getattr(model, "kept_dense", {}), **getattr(model, "fused", {})}
    rows: list[dict[str, Any]] = []
    seen: set[nn.Module] = set()

    def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        name = names[module]
        row = {"layer": name, "note": notes.get(name)} | _row(module, inputs[0], output)
        if module in seen:
            row |= {"parameters": 0, "stored_bytes": 0, "note": "used again"}
        seen.add(module)
        rows.append(row)

    run_one_image(model, input_shape, record)
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    counts = ["nodes", "edges", "flops", "message_bytes"]
    known = bool(frame["flops"].notna().all())
    dense = training_flops(model, input_shape)[1] if known else None
    return Summary(frame.astype(dict.fromkeys(counts, "Int64")), dense)


def training_flops(model: nn.Module, input_shape: Sequence[int]) -> tuple[int, int]:
    """Multiply-adds of one image forward: over the edges that there are (f_S), and as if every
    round were dense (f_D).

    Args:
        model: Any module.
        input_shape: Shape of one image, ``(C, H, W)`` or ``(C,)``.
    """
    sparse = dense = 0

    def count(module: nn.Module, _: Any, output: Tensor) -> None:
        nonlocal sparse, dense
        cost = layer_flops(module, output)
        sparse += cost
        dense += max(cost, _dense_flops(module, output)) if isinstance(module, Round) else cost

    run_one_image(model, as_shape(input_shape), count)
    return sparse, dense


def rewired_flops(sparse: int, dense: int, images: int, watched: int) -> int:
    r"""Multiply-adds of training: :math:`3 f_S` an image, :math:`2 f_S + f_D` where the gradient of
    absent edges was looked at.

    Args:
        sparse, dense: f_S and f_D, of :func:`training_flops`.
        images: How many images were learned from as usual.
        watched: How many were looked at beyond the edges that there are.

    Reference:
        Evci et al., *Rigging the Lottery*, ICML 2020, appendix H.
    """
    return 3 * sparse * images + (2 * sparse + dense) * watched


def _dense_flops(layer: Round, output: Tensor) -> int:
    geometry = getattr(layer.message_module, "geometry", None)
    taps = math.prod(geometry.kernel) if geometry is not None else 1
    return layer.in_channels * taps * output[0].numel()


def _row(module: nn.Module, x: Tensor, output: Tensor) -> dict[str, Any]:
    row: dict[str, Any] = {
        "kind": type(module).__name__,
        "parameters": sum(p.numel() for p in module.parameters()),
        "activation_bytes": output[0].numel() * output.element_size(),
    }
    try:
        row["flops"] = layer_flops(module, output)
    except NotImplementedError:
        row["flops"] = None  # a message that does not say what it costs
    if isinstance(module, RelationalRNN):
        row |= {"parameters": module.num_parameters(), "execution": module.execution}
    if not isinstance(module, Round):
        return row | _stored(module, row["parameters"])
    graph, ins, outs = module.graph, module.in_partition, module.out_partition
    positions = x[0].numel() // module.in_channels, output[0].numel() // module.out_channels
    numbers = ins.max_size * positions[0] + outs.max_size * positions[1]
    return (
        row
        | {
            "nodes": graph.num_nodes,
            "sizes": f"{_span(ins.sizes)} -> {_span(outs.sizes)}",
            "edges": graph.num_edges,
            "density": graph.density,
            "parameters": module.num_parameters(),
            "message_bytes": graph.num_edges * numbers * output.element_size(),
            "execution": module.execution,
        }
        | _stored(module, module.num_parameters())
    )


def _stored(module: nn.Module, parameters: int) -> dict[str, int]:
    """What so many parameters take where scores are bits, and how many act."""
    parts = list(scored_parts(module))
    scores = sum(part.selection.entries for part in parts)
    act = sum(int(part.selection(part.scores).count_nonzero()) for part in parts)
    others = parameters - scores
    return {"stored_bytes": -(-scores // 8) + 4 * others, "effective": act + others}


def _span(sizes: Any) -> str:
    low, high = int(sizes.min()), int(sizes.max())
    return str(low) if low == high else f"{low}-{high}"


def verify(model: nn.Module, *, seed: int = 0) -> float:
    """Run every round along every execution that it has, and print how far they differ.

    Outputs and gradients (of the input and of all parameters) are compared with those of
    message passing, in float64 and for random input. Differences are absolute, at inputs and
    gradients of size one.

    Args:
        model: Any module, or one round; it is left as it is.
        seed: Decides the inputs.

    Returns:
        The largest difference; about 1e-13 or less where all is well.

    Raises:
        ValueError: If the model has no rounds.
    """
    rows = []
    for name, layer in model.named_modules():
        if isinstance(layer, Round):
            for execution, difference in _differences(layer, seed):
                rows.append({"round": name or type(layer).__name__, "execution": execution,
                             "difference": difference})  # fmt: skip
    if not rows:
        raise ValueError(
            f"{type(model).__name__} has no rounds to verify; build it with a graph, or use "
            f"relmp.relationalize."
        )
    table = pd.DataFrame(rows)
    largest = float(table["difference"].max())
    print(table.to_string(index=False, float_format=lambda value: f"{value:.1e}"))
    print(f"Largest difference from message passing: {largest:.1e}")
    return largest


def _differences(layer: Round, seed: int) -> Iterator[tuple[str, float]]:
    """Every execution that a round has, and its largest difference from message passing."""
    twin = copy.deepcopy(layer).double().eval().requires_grad_()
    twin.update_module = None  # the same along all executions
    executions = possible_executions(twin)
    if executions == [MESSAGE_PASSING]:
        yield MESSAGE_PASSING, 0.0  # nothing to compare it with
        return
    x = _random_input(twin, seed)
    expected: list[Tensor] = []
    for execution in executions:  # message passing is the first of them
        twin.set_execution(execution)
        twin.to(x.device)
        out = twin(x)
        generator = torch.Generator().manual_seed(seed)
        direction = torch.randn(out.shape, generator=generator, dtype=out.dtype).to(out.device)
        gradients = torch.autograd.grad(
            out, [x, *twin.parameters()], direction, materialize_grads=True
        )
        found = [out.detach(), *gradients]
        expected = expected or found
        yield execution, max(_distance(a, b) for a, b in zip(found, expected, strict=True))


def _random_input(layer: Round, seed: int) -> Tensor:
    shape: tuple[int, ...] = (3, layer.in_channels)
    geometry = layer.message_module.geometry
    if isinstance(geometry, Images):
        reach = zip(geometry.kernel, geometry.dilation, strict=True)
        shape += tuple(dilation * (size - 1) + 4 for size, dilation in reach)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    return x.to(layer.edge_index.device).requires_grad_()


def _distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max()) if a.numel() else 0.0
