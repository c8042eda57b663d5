"""MNIST-1D: the published signals, from a seed, without global state."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import relmp
from relmp.training.data.mnist1d import draw_signals, mnist1d


@pytest.mark.parametrize(
    ("name", "train", "test"),
    [("mnist1d", 4000, 8000), ("mnist1d_published", 4000, 1000)],
)
def test_sizes_and_classes(name: str, train: int, test: int) -> None:
    data = relmp.load_data(name)
    assert (data.size("train"), data.size("test")) == (train, test)
    assert data.input_shape == (1, 1, 40)
    labels = torch.cat([data.train_labels, data.test_labels])
    assert torch.equal(labels.bincount(), torch.full((10,), (train + test) // 10))
    images = data.normalise(data.train_images)
    assert abs(float(images.mean())) < 1e-5
    assert abs(float(images.std()) - 1) < 1e-5


def test_a_seed_decides_and_nothing_else_does() -> None:
    state = np.random.get_state(legacy=False)  # noqa: NPY002
    one, two, other = mnist1d(60, 40, seed=3), mnist1d(60, 40, seed=3), mnist1d(60, 40, seed=4)
    assert str(np.random.get_state(legacy=False)) == str(state)  # noqa: NPY002
    assert torch.equal(one.train_images, two.train_images)
    assert not torch.equal(one.train_images, other.train_images)


@pytest.mark.parametrize(("count", "seed"), [(200, 42), (5000, 42), (70, 7)])
def test_signals_are_those_of_the_published_program(count: int, seed: int) -> None:
    package = pytest.importorskip("mnist1d.data", reason="mnist1d is not installed")
    args = package.get_dataset_args()
    args.num_samples, args.seed, args.train_split = count, seed, 1.0
    before = np.random.get_state()  # noqa: NPY002
    try:
        found = package.make_dataset(args)
    finally:
        np.random.set_state(before)  # noqa: NPY002
    signals, labels = draw_signals(count, seed)
    np.testing.assert_allclose(signals, found["x"], rtol=0, atol=1e-12)
    np.testing.assert_array_equal(labels, found["y"])


@pytest.mark.parametrize(
    ("train", "test", "sentence"),
    [
        (0, 10, "train must be a whole number of at least 1"),
        (10, 0, "test must be a whole number"),
        (11, 10, r"a multiple of 10, but are 11 \+ 10"),
    ],
)
def test_bad_sizes(train: int, test: int, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        mnist1d(train, test)


def test_what_convolutions_say_of_signals() -> None:
    with pytest.raises(ValueError, match=r"halves its input, which is 1 x \d+ already"):
        relmp.match_flops("resnet20", graph=None, input_shape=(1, 1, 40), width=16)
    graph = relmp.create_graph("complete", n=4)
    layer = relmp.RelationalConv2d(graph, 4, 4, (1, 5), padding=(0, 2))
    assert layer(torch.zeros(2, 4, 1, 40)).shape == (2, 4, 1, 40)


@pytest.mark.parametrize("execution", ["message_passing", "dense", "cpu_kernel"])
def test_a_kernel_wider_than_the_signal(execution: str) -> None:
    graph = relmp.create_graph("complete", n=4)
    layer = relmp.RelationalConv2d(graph, 4, 4, (1, 41), execution=execution)
    with pytest.raises(ValueError, match=r"images, 1 x 40, are smaller than the kernel"):
        layer(torch.zeros(2, 4, 1, 40))
