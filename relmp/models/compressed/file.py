"""Compressed models on disk: written whole, read without executing anything.

A file is, in order: :data:`MAGIC`; two numbers (version, length of the header; 2 and 4 bytes, the
lowest first); the header, JSON; seeds of 4 bytes; the bits of all scores, the first in the lowest;
trained numbers; what else is kept; the SHA-256 of all before.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from relmp.files import atomic_write
from relmp.models.compressed.content import Places, chosen_bits, scores_of, seeds_of
from relmp.models.factory import ModelConfig
from relmp.models.own.build import Builder
from relmp.models.own.described import described, rebuilt
from relmp.rounds import Round
from relmp.rounds.scored.bits import SEEDS

MAGIC = b"relmp compressed\n"
VERSION = 1
_NUMBERS = struct.Struct("<HI")
_DIGEST = hashlib.sha256().digest_size
_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.int32,
        torch.uint8, torch.bool,
    )
}  # fmt: skip
_BROKEN = (
    ValueError, KeyError, IndexError, TypeError, AttributeError, RuntimeError, OverflowError,
    struct.error,
)  # fmt: skip
"""What comes of a header that somebody wrote by hand. (RecursionError is a RuntimeError.)"""


def save_compressed(model: nn.Module, path: str | Path) -> Path:
    """Write a model of frozen weights as a small file: seed, bits, and what else was trained.

    ``relmp.save_compressed(model, "small.relmp")``

    The payload, :func:`relmp.compressed_bytes`, is 4 bytes for the seed, a bit for every score, 4
    bytes for every parameter that is no score. The file also holds the statistics of batch norm,
    and what it takes to build the model again.

    Args:
        model: A model with scored weights; of :func:`relmp.create_model`, or built by hand, which
            is then to be given to :func:`load_compressed`.
        path: Where to.

    Returns:
        The path.

    Raises:
        ValueError: If nothing in it is scored, scores are NaN, or it cannot be described.
    """
    places = Places.of(model)
    if not places.parts:
        raise ValueError(
            f"{type(model).__name__} has no scored weights, so there is nothing to compress; build "
            f"it with message='scored(keep=0.3)', or keep its state_dict."
        )
    bits = [chosen_bits(part) for part in places.parts]
    for part, chosen in zip(places.parts, bits, strict=True):
        if int(chosen.sum()) != part.selection.kept:
            raise ValueError(
                f"The scores of '{part.name}' choose {int(chosen.sum())} weights where "
                f"{part.selection.kept} are to be kept: some are no numbers (NaN), so that the "
                f"training has failed; take a checkpoint from before."
            )
    state, seeds = model.state_dict(), seeds_of(places.parts)
    keys = [part.selection.key.tolist() for part in places.parts]
    header = {
        "config": described(model).to_dict(),
        "graphs": _graphs(model),
        "seeds": len(seeds),
        "scored": [
            {"name": name, "entries": part.selection.entries, "seed": seeds.index(seed),
             "stream": stream}
            for name, part, (seed, stream) in zip(places.scores, places.parts, keys, strict=True)
        ],
        "values": [_described(name, state[name]) for name in (*places.trained, *places.kept)],
    }  # fmt: skip
    text = json.dumps(header, separators=(",", ":")).encode()
    content = b"".join(
        [
            MAGIC,
            _NUMBERS.pack(VERSION, len(text)),
            text,
            np.array(seeds, dtype="<u4").tobytes(),
            np.packbits(torch.cat(bits).numpy(), bitorder="little").tobytes(),
            *(_bytes_of(state[name]) for name in (*places.trained, *places.kept)),
        ]
    )
    target = Path(path)
    whole = content + hashlib.sha256(content).digest()
    atomic_write(target, lambda part: part.write_bytes(whole))
    return target


def load_compressed(
    path: str | Path, *, model: nn.Module | Builder | None = None, trust: bool = False
) -> nn.Module:
    """The model in a file of :func:`save_compressed`, in evaluation mode, with the same outputs.

    Nothing in the file is executed, and nothing that it names is imported unless it is registered
    or installed. Which weights are chosen is known again, not how high their scores were: they are
    1 and 0.5.

    Args:
        path: The file.
        model: The class or function that builds the model, where it is of your own; or the model
            itself, built again, where it was built by hand.
        trust: Whether what the file names as ``package.module:Name`` is imported and called.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is torn, changed, of another kind, version or model, or names code that is
            not trusted.
    """
    header, body = _read(Path(path))
    try:
        config = ModelConfig.from_dict(header["config"])
    except _BROKEN as error:
        raise ValueError(f"'{path}' does not describe a model: {_reason(error)}.") from error
    named = [] if isinstance(model, nn.Module) else config.foreign
    untrusted = [name for name in named if model is None or name != config.name]
    if untrusted and not trust:
        raise ValueError(
            f"'{path}' names '{untrusted[0]}', which would be imported and called; give the model "
            f"(model=...), or trust the file (trust=True)."
        )
    if config.is_given and not isinstance(model, nn.Module):
        raise ValueError(
            f"'{path}' holds a {config.name.partition(':')[2]} that was built by hand; build it "
            f"again and give it (model=...)."
        )
    made = rebuilt(config, model)
    try:
        made.to(_dtype_of(header))
        made.load_state_dict(_state(made, header, body), strict=False)
    except _BROKEN as error:
        raise ValueError(f"'{path}' is of another model: {_reason(error)}.") from error
    return made.eval()


def _reason(error: Exception) -> str:
    """What is wrong with a file that has a checksum."""
    text = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, ValueError):
        return text
    return f"its header is none of relmp.save_compressed ({type(error).__name__}: {text})"


def _dtype_of(header: dict[str, Any]) -> torch.dtype | None:
    """The type of all real numbers of a file; None where they have several."""
    dtypes = {_DTYPES.get(row["dtype"]) for row in header["values"]}
    real = [dtype for dtype in dtypes if dtype is not None and dtype.is_floating_point]
    return real[0] if len(real) == 1 else None


def _read(path: Path) -> tuple[dict[str, Any], bytes]:
    """The header of a file, and what follows it."""
    content = path.read_bytes()
    start = len(MAGIC) + _NUMBERS.size
    if not content.startswith(MAGIC) or len(content) < start + _DIGEST:
        raise ValueError(
            f"'{path}' is no compressed model, or was cut off; give a file of "
            f"relmp.save_compressed."
        )
    version, length = _NUMBERS.unpack(content[len(MAGIC) : start])
    if version != VERSION:
        raise ValueError(
            f"'{path}' has version {version}, and this version of relmp reads {VERSION}; use the "
            f"one that wrote it."
        )
    if hashlib.sha256(content[:-_DIGEST]).digest() != content[-_DIGEST:]:
        raise ValueError(f"'{path}' is damaged: it was cut off, or changed; write it again.")
    try:
        header = json.loads(content[start : start + length])
    except (ValueError, RecursionError) as error:
        raise ValueError(f"'{path}' is damaged: {error}.") from error
    if not isinstance(header, dict):
        raise ValueError(f"'{path}' is damaged: its header is no object.")
    return header, content[start + length : -_DIGEST]


def _state(model: nn.Module, header: dict[str, Any], body: bytes) -> dict[str, Tensor]:
    """What the model is to hold.

    Raises:
        ValueError: If the file lists other numbers than the model has.
    """
    places = Places.of(model)
    own = model.state_dict()
    listed = [(row["name"], row["entries"]) for row in header["scored"]]
    wanted = [(name, part.selection.entries) for name, part in zip(
        places.scores, places.parts, strict=True)]  # fmt: skip
    values = [{**_described(name, own[name])} for name in (*places.trained, *places.kept)]
    dtypes = [row["dtype"] for row in header["values"]]
    for here, there, what in (
        (wanted, listed, "scored weights"),
        (_graphs(model), header["graphs"], "graphs"),
        ([(row["name"], row["shape"]) for row in values],
         [(row["name"], row["shape"]) for row in header["values"]], "parameters"),
    ):  # fmt: skip
        if here != there:
            raise ValueError(f"it has other {what} than this {type(model).__name__}")
    if not set(dtypes) <= _DTYPES.keys():
        raise ValueError("it holds numbers of a type that is not known")
    count = sum(entries for _, entries in listed)
    places_in = _Bytes(body)
    seeds = np.frombuffer(places_in.take(4 * header["seeds"]), dtype="<u4").tolist()
    packed = np.frombuffer(places_in.take(-(-count // 8)), dtype=np.uint8)
    bits = torch.from_numpy(np.unpackbits(packed, count=count, bitorder="little")).bool()
    state: dict[str, Tensor] = {}
    chosen = iter(bits.split([entries for _, entries in listed]))
    for row, part, selection in zip(header["scored"], places.parts, places.selections, strict=True):
        found = next(chosen)
        if int(found.sum()) != part.selection.kept or not 0 <= row["stream"] < SEEDS:
            raise ValueError(f"it chooses {int(found.sum())} weights of '{row['name']}'")
        state[row["name"]] = scores_of(part, found)
        state[f"{selection}key"] = torch.tensor([seeds[row["seed"]], row["stream"]])
    for row in header["values"]:
        dtype = _DTYPES[row["dtype"]]
        data = places_in.take(math.prod(row["shape"]) * dtype.itemsize)
        found = torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.empty(0)
        state[row["name"]] = found.view(row["shape"])
    if places_in.left:
        raise ValueError(f"it holds {places_in.left} bytes too many")
    return state


class _Bytes:
    """Bytes that are taken from the front."""

    def __init__(self, content: bytes) -> None:
        self.content, self.place = content, 0

    @property
    def left(self) -> int:
        return len(self.content) - self.place

    def take(self, count: int) -> bytes:
        if not 0 <= count <= self.left:
            raise ValueError(f"it holds {self.left} bytes where {count} are needed")
        self.place += count
        return self.content[self.place - count : self.place]


def _graphs(model: nn.Module) -> dict[str, str]:
    return dict(_keys(model))


def _keys(model: nn.Module) -> Iterator[tuple[str, str]]:
    for name, layer in model.named_modules():
        if isinstance(layer, Round):
            yield name, layer.graph.key


def _described(name: str, tensor: Tensor) -> dict[str, Any]:
    return {
        "name": name, "dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape)
    }  # fmt: skip


def _bytes_of(tensor: Tensor) -> bytes:
    # NumPy does not know bfloat16: the bytes as they lie.
    flat = tensor.detach().cpu().contiguous().flatten()
    return bytes(flat.view(torch.uint8).numpy().tobytes()) if flat.numel() else b""
