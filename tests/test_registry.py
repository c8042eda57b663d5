"""Registry: names for things that users choose by a string."""

from __future__ import annotations

import pytest

from relmp.registry import Registry


def make(tag: str):
    def function() -> str:
        return tag

    return function


@pytest.fixture
def registry() -> Registry:
    registry = Registry("fruit")
    registry.register("apple")(make("a"))
    registry.register("pear")("a pear")
    return registry


def test_it_gives_what_was_registered(registry):
    assert registry["apple"]() == "a"
    assert registry["pear"] == "a pear"
    assert "apple" in registry
    assert "plum" not in registry
    assert list(registry) == registry.names() == ["apple", "pear"]


def test_register_returns_the_object(registry):
    @registry.register("plum")
    def plum():
        return "p"

    assert plum() == "p"


def test_an_unknown_name_lists_the_choices_and_the_nearest(registry):
    with pytest.raises(ValueError, match=r"fruit 'aple'.*apple, pear.*Did you mean 'apple'\?"):
        registry["aple"]
    with pytest.raises(ValueError, match="apple, pear"):
        registry["zzz"]


def test_the_same_definition_may_be_registered_again(registry):
    registry.register("apple")(make("b"))  # as a notebook cell that is run twice
    assert registry["apple"]() == "b"


def test_another_definition_under_a_taken_name_is_an_error(registry):
    with pytest.raises(ValueError, match="already defined"):
        registry.register("apple")(len)
