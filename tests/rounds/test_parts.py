"""Few images are cut into parts, which see one another."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from relmp.rounds import ChannelPartition
from relmp.rounds.execution.convolution import Convolution
from relmp.rounds.execution.cpu.lanes import Batch
from relmp.rounds.execution.cpu.packed import as_seen, pack, unpack
from relmp.rounds.execution.cpu.pixels import WHOLE, Grid, grid_of, of_part


def test_how_few_images_are_cut() -> None:
    assert grid_of((28, 28), 1, 16) == Grid(4, 4)
    assert grid_of((28, 28), 4, 16) == Grid(1, 4)
    assert grid_of((7, 7), 1, 16).parts == 49
    assert grid_of((28, 28), 16, 16) == grid_of((28, 28), 0, 16) == WHOLE
    assert grid_of((1, 1), 1, 16) == grid_of((0, 4), 1, 16) == WHOLE


@settings(deadline=None)
@given(
    sizes=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    padding=st.integers(0, 3),
    dilation=st.integers(1, 2),
    images=st.integers(1, 20),
    cuts=st.tuples(*[st.integers(0, 9)] * 4),
)
def test_what_parts_see_is_what_whole_images_hold(
    sizes: tuple[int, int],
    kernel: int,
    stride: int,
    padding: int,
    dilation: int,
    images: int,
    cuts: tuple[int, int, int, int],
) -> None:
    output = [(n + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1 for n in sizes]
    assume(min(output) > 0)
    ends = (sizes, (output[0], output[1]))
    pairs = [(kernel, kernel), (stride, stride), (padding, padding), (dilation, dilation)]
    convolution = Convolution(*pairs, *ends)

    def divided(size: int, cut: int) -> int:
        fitting = [part for part in range(1, size + 1) if size % part == 0]
        return fitting[cut % len(fitting)]

    before, behind = (
        Grid(divided(size[0], cut[0]), divided(size[1], cut[1]))
        for size, cut in zip(ends, (cuts[:2], cuts[2:]), strict=True)
    )
    partition = ChannelPartition(3, 4)
    x = torch.randn(images, 4, *sizes, dtype=torch.float64, requires_grad=True)
    batch = Batch.of(x, before)
    flat = x.view(images, 4, before.rows, -1, before.columns, batch.size[1])
    parts = flat.permute(0, 2, 4, 1, 3, 5).reshape(batch.shape)
    lanes = pack(parts, partition, WHOLE)._replace(grid=before)
    assert lanes.shape == x.shape
    found = unpack(as_seen(lanes, convolution, behind)._replace(grid=WHOLE))

    part = of_part(convolution, behind)
    weight = torch.randn(2, 4, kernel, kernel, dtype=torch.float64)
    top, left = part.padding
    room = F.pad(found, (left, 9, top, 9))
    made = F.conv2d(room, weight, None, stride, 0, dilation)[
        :, :, : part.output[0], : part.output[1]
    ]
    whole = F.conv2d(x, weight, None, stride, padding, dilation)
    flat = whole.view(images, 2, behind.rows, part.output[0], behind.columns, part.output[1])
    expected = flat.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)
    torch.testing.assert_close(made, expected)
    direction = torch.randn_like(made)
    one, other = (torch.autograd.grad(y, x, direction)[0] for y in (made, expected))
    torch.testing.assert_close(one, other)
