"""Channels are dealt out evenly, all of them, the same way in every layer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relmp.rounds import ChannelPartition


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
