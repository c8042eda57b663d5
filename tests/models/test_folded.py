"""One block again and again: against a loop with shared modules, and in the models."""

from __future__ import annotations

import copy
import json
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import relmp
from relmp.models import MODELS, ModelConfig, count_flops, count_parameters, create_model
from relmp.models.parts.folded import FoldNorm, NormOfEach
from relmp.rounds import Round
from relmp.rounds.messages import ScoredMessage
from relmp.rounds.scored.selection import Selection, scored_parts

GRAPH = relmp.create_graph("ws_flex", n=8, k=4, p=0.3, seed=0)


class Block(nn.Module):
    """Residual, with a round and two norms."""

    def __init__(self, message: Any = "linear") -> None:
        super().__init__()
        self.first = Round(GRAPH, 13, 13, message=message, update=nn.BatchNorm1d(13))
        self.second = nn.Linear(13, 13)
        self.norm = nn.LayerNorm(13)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.norm(self.second(F.relu(self.first(x)))))


def block(message: Any = "linear") -> Block:
    torch.manual_seed(0)
    return Block(message).double()


def awake(module: nn.Module) -> nn.Module:
    """With norms that differ from iteration to iteration."""
    torch.manual_seed(2)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.LayerNorm):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias)
    return module


def loop(one: Block, norms: list[tuple[nn.Module, nn.Module]], x: Tensor) -> Tensor:
    """The same, written out: shared weights, and for each iteration the norms given."""
    one.first.update_module = None
    for batch_norm, layer_norm in norms:
        passed = F.relu(batch_norm(one.first(x)))
        x = F.relu(x + layer_norm(one.second(passed)))
    return x


def statistics(module: nn.Module) -> list[Tensor]:
    return [
        buffer for name, buffer in module.named_buffers() if "running" in name or "num_" in name
    ]


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("message", ["linear", "scored(keep=0.4)"])
@pytest.mark.parametrize("norm", ["own", "shared"])
def test_equals_a_loop_with_shared_modules(
    norm: FoldNorm, message: str, training: bool, recompute: bool
) -> None:
    folded = relmp.Folded(block(message), 3, norm, recompute=recompute).double()
    awake(folded)
    one: Any = folded.block
    twin = copy.deepcopy(folded)
    other: Any = twin.block
    if norm == "own":
        assert isinstance(one.norm, NormOfEach)
        pairs = list(zip(other.first.update_module.norms, other.norm.norms, strict=True))
    else:
        pairs = [(other.first.update_module, other.norm)] * 3
    folded.train(training)
    twin.train(training)
    theirs, counted_there = list(twin.parameters()), statistics(twin)
    torch.manual_seed(3)
    x = torch.randn(7, 13, dtype=torch.float64, requires_grad=True)
    out, expected = folded(x), loop(other, pairs, x)
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)
    direction = torch.randn_like(out)
    found = torch.autograd.grad(out, [x, *folded.parameters()], direction)
    wanted = torch.autograd.grad(expected, [x, *theirs], direction)
    assert len(found) == len(wanted)
    for one_gradient, other_gradient in zip(found, wanted, strict=True):
        torch.testing.assert_close(one_gradient, other_gradient, rtol=1e-11, atol=1e-12)
    assert statistics(folded)
    for a, b in zip(statistics(folded), counted_there, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    counted = {int(s) for s in statistics(folded) if s.dim() == 0}
    assert counted == ({0} if not training else {1} if norm == "own" else {3})


def test_parameters_are_one_block_and_the_norms() -> None:
    plain = count_parameters(block())
    norms = 2 * 13 + 2 * 13
    assert count_parameters(relmp.Folded(block(), 5, "own")) == plain + 4 * norms
    assert count_parameters(relmp.Folded(block(), 5, "shared")) == plain


def test_chosen_once_for_all_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    folded, calls = relmp.Folded(block("scored(keep=0.4)"), 4, recompute=True), []
    select = Selection.select

    def counted(self: Selection, scores: Tensor) -> Tensor:
        calls.append(1)
        return select(self, scores)

    monkeypatch.setattr(Selection, "select", counted)
    folded(torch.randn(5, 13, dtype=torch.float64)).sum().backward()
    assert len(calls) == 1, "the backward pass uses what was chosen in the forward pass, too"


def test_a_chunked_round_in_a_recomputed_fold() -> None:
    message = partial(ScoredMessage, keep=0.4)
    inner = Round(GRAPH, 13, 13, message=message, execution="message_passing", chunk_size=2)
    folded = relmp.Folded(inner, 3, recompute=True).double()
    x = torch.randn(5, 13, dtype=torch.float64, requires_grad=True)
    found = torch.autograd.grad(folded(x).square().sum(), [x, *folded.parameters()])
    inner.chunk_size, folded.recompute = None, False
    wanted = torch.autograd.grad(folded(x).square().sum(), [x, *folded.parameters()])
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: relmp.Folded(nn.Linear(4, 4), 0), "times must be a whole number of at least 1"),
        (lambda: relmp.Folded(nn.Linear(4, 4), 2, "each"), "are 'own' or 'shared', but 'each'"),
        (
            lambda: relmp.Folded(nn.Linear(4, 3), 2)(torch.zeros(2, 4)),
            r"Linear made \[2, 3\] of \[2, 4\]; leave a block that changes shapes in front",
        ),
        (lambda: create_model("resnet20", fold=(4,)), "fold must be .* between 1 and 3"),
        (lambda: create_model("resnet20", fold=("all",)), "fold must be a whole number"),
        (lambda: create_model("residual_mlp", fold=(2,)), "fold must be .* between 1 and 1"),
        (lambda: create_model("residual_mlp", depth=0), "depth must be a whole number between 1"),
        (lambda: create_model("resnet20", fold_norm="mine", fold=(1,)), "'own' or 'shared'"),
        (lambda: create_model("resnet20", stem="small"), "stem must be 'imagenet' or 'cifar'"),
        (lambda: create_model("mlp", scored="all"), r"the message has none; give message='scored"),
        (
            lambda: create_model("mlp", message="scored(keep=0.3)", scored="stem"),
            "scored must be 'rounds' or 'all', but is 'stem'",
        ),
        (
            lambda: create_model("mlp", message="scored(granularity='edge')"),
            r"Layer 'rounds.0' has no graph of whose edges",
        ),
        (lambda: create_model("cnn", fold=(1,)), "Model 'cnn' has no option 'fold'"),
    ],
)  # fmt: skip
def test_mistakes_are_named(call: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        call()


# Models ----------------------------------------------------------------------------------


SMALL: dict[str, dict[str, Any]] = {
    "resnet18": {"width": 16, "stem_width": 8, "fold": (2, 4), "stem": "cifar"},
    "resnet34": {"width": 16, "stem_width": 8, "fold": (1, 3)},
    "resnet50": {"width": (34, 40, 50, 38), "stem_width": 9, "fold": (3, 4), "stem": "cifar"},
    "resnet20": {"width": 9, "stem_width": 9, "fold": (1, 2, 3)},
    "residual_mlp": {"in_features": 3 * 36 * 36, "width": 21, "depth": 3, "fold": (1,)},
}


@pytest.mark.parametrize("graph", [GRAPH, None], ids=["graph", "dense"])
@pytest.mark.parametrize("name", SMALL)
def test_folded_models_cost_what_unfolded_ones_do(name: str, graph: Any) -> None:
    options = SMALL[name]
    folded = create_model(name, graph, num_classes=5, **options)
    plain = create_model(name, graph, num_classes=5, **{**options, "fold": ()})
    shape = (3, 36, 36)
    assert count_flops(folded, shape) == count_flops(plain, shape)
    known = {key: value for key, value in options.items() if key != "width"} | {"num_classes": 5}
    known |= {} if name == "residual_mlp" else {"input_shape": shape}
    cls: Any = type(folded)
    assert cls.flops(graph, folded.widths, **known) == count_flops(plain, shape)
    layers = list(cls.plan(folded.widths, **known))
    assert set(layers) <= {key for key, _ in folded.named_modules()}
    saved = count_parameters(plain) - count_parameters(folded)
    assert saved > 0 or (name == "resnet18" and saved == 0), "one block is left there"
    x = torch.randn(3, *shape)
    folded(x).square().sum().backward()
    assert all(p.grad is not None for p in folded.parameters())
    config = ModelConfig.from_dict(json.loads(json.dumps(folded.config.to_dict())))
    twin = config.create()
    assert twin.state_dict().keys() == folded.state_dict().keys()


def test_resnet_50_folds_what_the_paper_folds() -> None:
    model = create_model("resnet50", width=64, fold=(4, 3), stem="cifar")
    folds = {n: m.times for n, m in model.named_modules() if isinstance(m, relmp.Folded)}
    assert folds == {"stages.2.1": 5, "stages.3.1": 2}
    assert model.input_shape == (3, 32, 32)
    assert len(model.stages[1]) == 4
    stem: Any = model.stem
    assert len(stem) == 3, "a CIFAR stem does not pool"
    assert stem[0].stride == (1, 1)


GOLDEN = {
    "resnet50": (1.9530, 2.1843), "resnet101": (2.1619, 2.3932), "resnet152": (2.4609, 2.6923),
    "resnet200": (3.0179, 3.2493), "wide_resnet50": (5.1100, 5.3413),
}  # fmt: skip


def hidden(name: str, classes: int, stem: str) -> nn.Module:
    """As HFN has it, without storage."""
    message = relmp.rounds.resolve_message("scored(keep=0.3)")
    with torch.device("meta"):
        return MODELS[name](None, classes, message=message, scored="all", fold=(3, 4), stem=stem)


@pytest.mark.parametrize("name", GOLDEN)
def test_sizes_are_those_of_the_paper(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without storage there is no key to read, but there is one seed.
    monkeypatch.setattr("relmp.models.compressed.content.seeds_of", lambda parts: [0])
    cifar, imagenet = GOLDEN[name]
    assert round(relmp.compressed_bytes(hidden(name, 100, "cifar")) / 1e6, 4) == cifar
    assert round(relmp.compressed_bytes(hidden(name, 1000, "imagenet")) / 1e6, 4) == imagenet


def test_weights_of_resnet_50_on_cifar_100() -> None:
    parts = list(scored_parts(hidden("resnet50", 100, "cifar")))
    assert sum(part.selection.entries for part in parts) == 14_739_136
    assert sum(part.selection.kept for part in parts) == 4_421_759


@pytest.mark.parametrize("name", ["mlp", "small_cnn", "resnet20", "efficientnet_b0"])
@pytest.mark.parametrize("graph", [GRAPH, None], ids=["graph", "dense"])
def test_models_learn_scores_alone(name: str, graph: Any) -> None:
    options = {"in_features": 3 * 36 * 36} if name == "mlp" else {}
    model = create_model(
        name, graph, num_classes=5, width=16, message="scored(keep=0.3)", scored="all", **options
    )
    parts = list(scored_parts(model))
    scored = {id(part.scores) for part in parts}
    others = [n for n, p in model.named_parameters() if id(p) not in scored]
    assert all(".scale." in n and n.endswith("bias") for n in others), "biases of the squeeze"
    assert bool(others) == (name == "efficientnet_b0")
    layers = [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d | Round)]
    assert len(parts) == len(layers)
    model(torch.randn(3, 3, 36, 36)).square().sum().backward()
    gradients = [part.scores.grad for part in parts]
    assert all(g is not None and g.abs().max() > 0 for g in gradients)


def test_rounds_alone_are_scored_by_default() -> None:
    for graph in (GRAPH, None):
        model = create_model("mlp", graph, in_features=9, width=16, message="scored(keep=0.3)")
        names = [part.name.split(".message_module")[0] for part in scored_parts(model)]
        ends = "" if graph is not None else ".0"
        assert names == [f"rounds.{number}{ends}" for number in range(3)]
        head: Any = model.head
        assert head.bias is not None


def test_configurations_go_both_ways_and_old_keys_stay() -> None:
    def run(**options: Any) -> relmp.RunConfig:
        return relmp.RunConfig(
            ModelConfig("resnet50", None, options=options), relmp.DataConfig(), relmp.TrainConfig()
        )

    chosen = run(message="scored(keep=0.3)", scored="all", fold=(3, 4), stem="cifar")
    again = relmp.RunConfig.from_dict(json.loads(json.dumps(chosen.to_dict())))
    assert again.key == chosen.key
    assert again.model.plain_options() == chosen.model.plain_options()
    assert run().key == run(fold=(), scored="rounds", stem=None, fold_norm="own").key
    assert run().key == "9049ea78e1f6e555"


def test_summary_tells_stored_from_effective() -> None:
    model = create_model(
        "residual_mlp", in_features=64, width=20, depth=3, fold=(1,), message="scored(keep=0.3)",
        scored="all",
    )  # fmt: skip
    summary = relmp.summary(model)
    frame = summary.frame
    assert list(frame["parameters"]) == [1280, 400, 0, 0, 200]
    assert list(frame["stored_bytes"]) == [160, 50, 0, 0, 25]
    kept = [n - int(0.7 * n) for n in (1280, 400, 400, 400, 200)]
    assert list(frame["effective"]) == kept
    assert f"effective: {sum(kept):,} parameters act on an image" in str(summary)
    assert "Stored: 235 bytes compressed" in str(summary)
    edges = create_model(
        "mlp", GRAPH, in_features=9, width=16, message="scored(granularity='edge')"
    )
    row = relmp.summary(edges).frame.iloc[1]
    layer: Any = edges.rounds[0]
    norm = 2 * 16
    assert row["parameters"] == GRAPH.num_edges + norm
    assert row["stored_bytes"] == -(-GRAPH.num_edges // 8) + 4 * norm
    assert row["effective"] == layer.selected().num_edges * 4 + norm
    plain = create_model("mlp", GRAPH, in_features=9, width=16)
    assert "effective" not in str(relmp.summary(plain))


def test_to_dense_of_a_scored_and_folded_model() -> None:
    model = create_model(
        "resnet20", GRAPH, num_classes=3, width=9, fold=(1, 2, 3), message="scored(keep=0.3)",
        scored="all",
    ).eval()  # fmt: skip
    dense = relmp.to_dense(model)
    assert not list(scored_parts(dense))
    x = torch.randn(2, 3, 12, 12)
    torch.testing.assert_close(dense(x), model(x), rtol=1e-4, atol=1e-5)
