"""How much is tried, from which seed, and what counts as a clean refusal.

``RELMP_FUZZ=20`` tries twenty times as much; ``RELMP_FUZZ_SEED=7`` tries other examples than those
that are always tried.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

TIMES = float(os.environ.get("RELMP_FUZZ") or 1)
SEED = os.environ.get("RELMP_FUZZ_SEED")
REFUSALS = (ValueError, OSError, NotImplementedError, FloatingPointError)
"""What the command line turns into one sentence."""


def fuzzed(examples: int, *strategies: Any, **named: Any) -> Callable[[Any], Any]:
    """A test of so many examples, in the suite of `make fuzz`."""

    def decorate(test: Any) -> Any:
        tried = given(*strategies, **named)(test)
        if SEED is not None:
            tried = seed(int(SEED))(tried)
        tried = settings(
            max_examples=max(1, round(TIMES * examples)), deadline=None, database=None,
            derandomize=SEED is None, suppress_health_check=list(HealthCheck),
            phases=(Phase.explicit, Phase.generate, Phase.shrink), print_blob=False,
        )(tried)  # fmt: skip
        return pytest.mark.timeout(0)(pytest.mark.fuzz(tried))

    return decorate


@contextmanager
def refused_in_a_sentence() -> Iterator[list[str]]:
    """Lets work be refused, in one sentence, which the list then holds."""
    said: list[str] = []
    try:
        yield said
    except REFUSALS as error:
        said.append(sentence_of(error))


def sentence_of(error: BaseException) -> str:
    """The sentence of a refusal, if it is one."""
    if isinstance(error, OSError) and error.strerror:
        return f"cannot use: {error.strerror}."
    text = str(error)  # which may hold line ends that were given; the command line escapes them
    said = " ".join(text.split())
    assert is_sentence(said), f"{type(error).__name__} says no sentence: {text!r}"
    return text


def is_sentence(text: str) -> bool:
    """Whether a text is one line that ends as a sentence does."""
    return bool(text.strip()) and len(text.splitlines()) == 1 and text.rstrip()[-1] in ".?"


@st.composite
def damage(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """Bytes flipped, cut off, left out, put in or doubled, once or a few times."""
    places = st.floats(0, 1, exclude_max=True)
    kinds = st.sampled_from(["flip", "byte", "cut", "leave", "put", "double", "zero"])
    steps = draw(
        st.lists(
            st.tuples(kinds, places, st.integers(1, 40), st.integers(0, 255)),
            min_size=1,
            max_size=3,
        )
    )

    def damaged(content: bytes) -> bytes:
        for kind, share, length, value in steps:
            at = int(share * len(content))
            before, after = content[:at], content[at:]
            content = {
                "flip": before + bytes([after[0] ^ (1 << value % 8)]) + after[1:] if after else b"",
                "byte": before + bytes([value]) + after[1:],
                "cut": before,
                "leave": before + after[length:],
                "put": before + bytes([value]) * length + after,
                "double": before + after[:length] + after,
                "zero": before + bytes(len(after[:length])) + after[length:],
            }[kind]
        return content

    damaged.__name__ = re.sub(r"\s", "", repr(steps))
    return damaged


@st.composite
def changed_text(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> str:
    """A text with a few letters left out, put in or exchanged."""
    text = draw(texts)
    letters = st.sampled_from(list("()[]{},.=:@'\"\\/-+*# \n\t0123456789aeknpx_\x00é٣\ud800"))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text)))
        kind = draw(st.sampled_from(["put", "leave", "exchange", "double"]))
        if kind == "put":
            text = text[:at] + draw(letters) + text[at:]
        elif kind == "leave":
            text = text[:at] + text[at + draw(st.integers(1, 4)) :]
        elif kind == "exchange":
            text = text[:at] + draw(letters) + text[at + 1 :]
        else:
            text = text[:at] + text[max(0, at - 6) :]
    return text
