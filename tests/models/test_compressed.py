"""Small files: the same outputs, sizes by the paper's rule, and nothing in them is executed."""

from __future__ import annotations

import copy
import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import relmp
from relmp.models import create_model
from relmp.models.compressed.file import MAGIC
from relmp.rounds.scored.selection import scored_parts

GRAPH = relmp.create_graph("ws_flex", n=8, k=4, p=0.3, seed=0)
WEIGHT, EDGE = "scored(keep=0.3)", "scored(keep=0.4, granularity='edge')"
CASES: dict[str, tuple[str, Any, dict[str, Any], tuple[int, ...]]] = {
    "mlp": ("mlp", GRAPH, {"width": 21, "in_features": 12, "message": WEIGHT}, (12,)),
    "edges": (
        "mlp", GRAPH, {"width": 21, "in_features": 12, "message": EDGE, "init": "degree"}, (12,),
    ),
    "all edges": (
        "mlp", GRAPH, {"width": 16, "in_features": 12, "message": EDGE, "scored": "all"}, (12,),
    ),
    "folded": (
        "residual_mlp", None,
        {"width": 21, "in_features": 12, "message": WEIGHT, "scored": "all", "fold": (1,)}, (12,),
    ),
    "resnet": (
        "resnet20", GRAPH, {"width": 9, "message": WEIGHT, "scored": "all", "fold": (2, 3)},
        (3, 12, 12),
    ),
}  # fmt: skip


def trained(name: str, seed: int = 5) -> tuple[nn.Module, torch.Tensor]:
    """After some steps, so that nothing is as it was drawn."""
    kind, graph, options, shape = CASES[name]
    model = create_model(kind, graph, num_classes=3, seed=seed, **options)
    torch.manual_seed(0)
    x = torch.randn(16, *shape)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(4):
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()
    return model.eval(), x


@pytest.mark.parametrize("name", CASES)
def test_outputs_are_the_same(name: str, tmp_path: Path) -> None:
    model, x = trained(name)
    path = relmp.save_compressed(model, tmp_path / "small.relmp")
    again = relmp.load_compressed(path)
    assert torch.equal(again(x), model(x))
    assert not again.training
    for part, other in zip(scored_parts(model), scored_parts(again), strict=True):
        assert torch.equal(part.selection.select(part.scores), other.selection.select(other.scores))
        assert torch.equal(part.selection.frozen, other.selection.frozen)
    # What was loaded can be saved, and trained.
    assert relmp.save_compressed(again, tmp_path / "twice.relmp").read_bytes() == path.read_bytes()
    again.train()(x).square().mean().backward()
    assert all(part.scores.grad is not None for part in scored_parts(again))


@pytest.mark.parametrize("name", CASES)
def test_payload_follows_the_rule_and_is_in_the_file(name: str, tmp_path: Path) -> None:
    model, _ = trained(name)
    parts = list(scored_parts(model))
    scores = {id(part.scores) for part in parts}
    bits = sum(
        int(part.selection.frozen.count_nonzero()) if part.scores.dim() > 1 else part.scores.numel()
        for part in parts
    )
    others = sum(p.numel() for p in model.parameters() if id(p) not in scores)
    payload = 4 + -(-bits // 8) + 4 * others
    assert relmp.compressed_bytes(model) == payload
    content = relmp.save_compressed(model, tmp_path / "small.relmp").read_bytes()
    _, length = struct.unpack("<HI", content[len(MAGIC) : len(MAGIC) + 6])
    kept = sum(b.numel() * b.element_size() for n, b in model.named_buffers()
               if "running" in n or "tracked" in n or n.endswith(".size"))  # fmt: skip
    assert len(content) == len(MAGIC) + 6 + length + payload + kept + 32


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_models_of_other_types_come_back_as_they_were(dtype: torch.dtype, tmp_path: Path) -> None:
    model, x = trained("mlp")
    path = relmp.save_compressed(model.to(dtype), tmp_path / "small.relmp")
    assert torch.equal(relmp.load_compressed(path)(x.to(dtype)), model(x.to(dtype)))


def test_scores_that_are_no_numbers_are_not_written(tmp_path: Path) -> None:
    model, _ = trained("mlp")
    with torch.no_grad():
        next(scored_parts(model)).scores.fill_(torch.nan)
    with pytest.raises(ValueError, match=r"choose 0 weights where .* are to be kept: some are no"):
        relmp.save_compressed(model, tmp_path / "small.relmp")


def test_models_without_scores_are_counted_too() -> None:
    plain = create_model("mlp", GRAPH, in_features=12, width=16)
    assert relmp.compressed_bytes(plain) == 4 * relmp.count_parameters(plain)


def test_a_model_built_by_hand_is_given(tmp_path: Path) -> None:
    def build(width: int = 16) -> nn.Module:
        return nn.Sequential(
            relmp.RelationalLinear(GRAPH, 12, width, message=WEIGHT), nn.BatchNorm1d(width),
            relmp.Folded(nn.Sequential(relmp.RelationalLinear(GRAPH, width, width, message=EDGE),
                                       nn.BatchNorm1d(width), nn.ReLU()), 3),
        )  # fmt: skip

    model, x = build(), torch.randn(9, 12)
    model(x)
    path = relmp.save_compressed(model.eval(), tmp_path / "hand.relmp")
    assert torch.equal(relmp.load_compressed(path, model=build())(x), model(x))
    assert relmp.compressed_bytes(model) >= 8, "every layer has a seed of its own"
    with pytest.raises(ValueError, match="a Sequential that was built by hand; build it again and"):
        relmp.load_compressed(path)
    with pytest.raises(ValueError, match="has other layers, shapes or graphs than the Sequential"):
        relmp.load_compressed(path, model=build(24))


def test_code_of_others_is_not_imported(tmp_path: Path) -> None:
    model = create_model(Own, GRAPH, num_classes=8)
    path = relmp.save_compressed(model.eval(), tmp_path / "own.relmp")
    with pytest.raises(ValueError, match=r"names '.*:Own', which would be imported and called"):
        relmp.load_compressed(path)
    x = torch.randn(4, 8)
    assert torch.equal(relmp.load_compressed(path, model=Own)(x), model(x))


class Own(nn.Module):
    """A model of the user's."""

    def __init__(self, graph: relmp.RelationalGraph, num_classes: int) -> None:
        super().__init__()
        self.layer = relmp.RelationalLinear(graph, 8, num_classes, message=WEIGHT)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


def signed(content: bytes) -> bytes:
    return content + hashlib.sha256(content).digest()


def with_header(content: bytes, change: Callable[[dict[str, Any]], Any]) -> bytes:
    """The same file with another header, and a right checksum."""
    start = len(MAGIC) + 6
    _, length = struct.unpack("<HI", content[len(MAGIC) : start])
    header = json.loads(content[start : start + length])
    text = json.dumps(change(header)).encode()
    return signed(MAGIC + struct.pack("<HI", 1, len(text)) + text + content[start + length : -32])


def without(key: str) -> Callable[[dict[str, Any]], Any]:
    return lambda header: {name: value for name, value in header.items() if name != key}


def nested(header: dict[str, Any], value: Any, *path: Any) -> dict[str, Any]:
    found = copy.deepcopy(header)
    place: Any = found
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return found


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda c: b"", "is no compressed model, or was cut off; give a file of"),
        (lambda c: c[:20], "is no compressed model, or was cut off"),
        (lambda c: c[:-1], "is damaged: it was cut off, or changed"),
        (lambda c: c[: len(c) // 2], "is damaged: it was cut off, or changed"),
        (lambda c: c[:200] + bytes([c[200] ^ 1]) + c[201:], "is damaged: it was cut off, or chang"),
        (lambda c: b"PK\x03\x04" + c, "is no compressed model"),
        (lambda c: MAGIC + struct.pack("<H", 2) + c[len(MAGIC) + 2 :], "has version 2, and this"),
        (
            lambda c: signed(MAGIC + struct.pack("<HI", 1, 9) + b"not json!"),
            "is damaged: Expecting",
        ),
        (lambda c: signed(MAGIC + struct.pack("<HI", 1, 2) + b"[]"), "its header is no object"),
        (lambda c: signed(MAGIC + struct.pack("<HI", 1, 99999) + b"[" * 99999), "is damaged"),
        (lambda c: with_header(c, without("config")), "does not describe a model"),
        (lambda c: with_header(c, without("scored")), "is of another model"),
        (lambda c: with_header(c, lambda h: nested(h, [], "config")), "does not describe a model"),
        (
            lambda c: with_header(c, lambda h: nested(h, "os:system", "config", "name")),
            "names 'os:system', which would be imported and called",
        ),
        (
            lambda c: with_header(
                c, lambda h: nested(h, "os:system", "config", "options", "message")
            ),
            "names 'os:system', which would be imported and called",
        ),
        (
            lambda c: with_header(c, lambda h: nested(h, 24, "config", "options", "width")),
            "is of another model: it has other scored weights than this MLP",
        ),
        (
            lambda c: with_header(c, lambda h: nested(h, "x", "graphs", "rounds.0")),
            "is of another model: it has other graphs than this MLP",
        ),
        (
            lambda c: with_header(c, lambda h: nested(h, "object", "values", 0, "dtype")),
            "numbers of a type that is not known",
        ),
        (lambda c: with_header(c, lambda h: nested(h, 10**12, "seeds")), "bytes where .* are need"),
        (lambda c: with_header(c, lambda h: nested(h, 0, "seeds")), "is of another model"),
        (lambda c: with_header(c, lambda h: nested(h, -1, "scored", 0, "stream")), "it chooses"),
        (lambda c: signed(c[:-32] + b"more"), "it holds 4 bytes too many"),
    ],
)
def test_other_files_get_one_sentence(
    damage: Callable[[bytes], bytes], sentence: str, tmp_path: Path
) -> None:
    model, _ = trained("mlp")
    path = relmp.save_compressed(model, tmp_path / "small.relmp")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=sentence) as caught:
        relmp.load_compressed(path)
    assert "\n" not in str(caught.value)


def test_nothing_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = trained("mlp")
    path = relmp.save_compressed(model, tmp_path / "small.relmp")

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a file was unpickled")

    for name in ("pickle.loads", "pickle.load", "pickle.Unpickler", "torch.load"):
        monkeypatch.setattr(name, refuse)
    assert torch.equal(relmp.load_compressed(path)(x), model(x))


def test_what_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"MLP has no scored weights, .* message='scored\(keep"):
        relmp.save_compressed(create_model("mlp", GRAPH, in_features=9, width=16), tmp_path / "x")
    with pytest.raises(FileNotFoundError):
        relmp.load_compressed(tmp_path / "none")
