"""Channels are dealt out evenly, all of them, the same way in every layer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import relmp
from relmp.rounds import ChannelPartition
from relmp.rounds.execution import possible_executions


@given(st.integers(1, 40), st.integers(0, 100))
def test_every_channel_has_one_place(nodes: int, extra: int) -> None:
    partition = ChannelPartition(nodes, nodes + extra)
    assert partition.sizes.sum() == nodes + extra
    assert partition.sizes.max() - partition.sizes.min() <= 1
    assert partition.sizes.max() == partition.max_size
    assert partition.is_even == (partition.sizes.min() == partition.sizes.max())
    assert partition.slots[partition.mask].tolist() == list(range(nodes + extra))
    assert (partition.slots[~partition.mask] == nodes + extra).all()


@pytest.mark.parametrize(("channels", "sizes"), [(5, [1, 1, 1, 2]), (9, [2, 2, 2, 3])])
def test_remainder_is_permuted_as_published(channels: int, sizes: list[int]) -> None:
    found = ChannelPartition(4, channels).sizes
    # The first c mod n nodes get one more, then RandomState(1) permutes; written out here.
    first = np.array(sorted(sizes, reverse=True))
    assert found.tolist() == first[np.random.RandomState(1).permutation(4)].tolist()
    assert sorted(found) == sizes


def test_global_random_state_is_left_alone() -> None:
    np.random.seed(7)  # noqa: NPY002
    expected = np.random.RandomState(7).rand()
    _ = ChannelPartition(4, 9).sizes
    assert np.random.rand() == expected  # noqa: NPY002


def test_too_few_channels() -> None:
    with pytest.raises(ValueError, match="32 channels cannot be shared by 64 nodes"):
        ChannelPartition(64, 32)


def test_sizes_as_given() -> None:
    partition = ChannelPartition.from_sizes([3, 1, 2])
    assert (partition.num_nodes, partition.channels, partition.max_size) == (3, 6, 3)
    assert partition.slots.tolist() == [[0, 1, 2], [3, 6, 6], [4, 5, 6]]
    assert not partition.is_even
    assert ChannelPartition.from_sizes([2, 2]).is_even
    for wrong in ([], [2, 0], [1.5]):
        with pytest.raises(ValueError, match="sizes must be whole numbers of at least 1"):
            ChannelPartition.from_sizes(wrong)  # type: ignore[arg-type]


@settings(deadline=None)  # the first round compiles
@given(st.data(), st.integers(2, 6), st.booleans())
def test_a_round_of_given_sizes_is_the_masked_dense_layer(
    data: st.DataObject, nodes: int, image: bool
) -> None:
    sizes = [data.draw(st.lists(st.integers(1, 4), min_size=nodes, max_size=nodes)) for _ in "io"]
    into, out = (ChannelPartition.from_sizes(side) for side in sizes)
    links = data.draw(st.lists(st.tuples(*[st.integers(0, nodes - 1)] * 2), unique=True))
    graph = relmp.RelationalGraph.from_edges(links, nodes, directed=True)
    torch.manual_seed(0)
    layer: relmp.Round
    if image:
        layer = relmp.RelationalConv2d(graph, into, out, 3, padding=1).double()
    else:
        layer = relmp.RelationalLinear(graph, into, out).double()
    x = torch.randn(2, into.channels, *([4, 5] if image else []), dtype=torch.float64)
    owner_in, owner_out = (np.repeat(np.arange(nodes), side) for side in sizes)
    hears = np.zeros((nodes, nodes), dtype=bool)
    hears[graph.edges[1], graph.edges[0]] = True
    mask = torch.from_numpy(hears[owner_out][:, owner_in])
    dense = layer.to_dense()
    assert isinstance(dense, torch.nn.Linear | torch.nn.Conv2d)
    assert torch.equal(
        dense.weight.flatten(2).abs().sum(-1) > 0 if image else dense.weight != 0, mask
    )
    expected = dense(x)
    for execution in possible_executions(layer):
        layer.set_execution(execution)
        assert torch.allclose(layer(x), expected, rtol=0, atol=1e-12), execution


def test_sizes_for_other_nodes() -> None:
    with pytest.raises(ValueError, match="dealt out to 2 nodes, but the graph has 3"):
        relmp.Round(relmp.create_graph("complete", n=3), ChannelPartition.from_sizes([1, 2]), 3)
