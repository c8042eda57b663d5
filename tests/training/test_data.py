"""Data sets: what is in them, how they are augmented, and what happens when files are missing."""

from __future__ import annotations

import gzip
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from relmp.training import ImageData, load_data
from relmp.training.data import augmented, channel_statistics, plan_epoch


def write_idx(path: Path, values: np.ndarray) -> None:
    header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(header + values.astype(np.uint8).tobytes()))


def write_fashion(folder: Path, train: int = 60, test: int = 20) -> None:
    rng = np.random.default_rng(0)
    for prefix, count in (("train", train), ("t10k", test)):
        labels = np.arange(count) % 10
        images = rng.integers(0, 60, (count, 28, 28)) + 15 * labels[:, None, None]
        write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", images)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", labels)


def test_digits_are_embedded_and_split_evenly() -> None:
    data = load_data("digits")
    assert data.train_images.shape == (1437, 1, 8, 8)
    assert data.test_images.shape == (360, 1, 8, 8)
    assert data.test_labels.bincount().min() >= 34
    normal = data.normalise(data.train_images)
    assert normal.mean() == pytest.approx(0, abs=1e-5)
    assert normal.std() == pytest.approx(1, abs=1e-5)
    again = load_data("digits")
    assert torch.equal(data.train_images, again.train_images)


def test_plain_idx_files(tmp_path: Path) -> None:
    write_fashion(tmp_path)
    data = load_data("fashion_mnist", folder=tmp_path)
    assert data.train_images.shape == (60, 1, 28, 28)
    assert data.train_images.dtype == torch.uint8
    assert data.test_labels.tolist() == [i % 10 for i in range(20)]


def test_torchvision_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # torchvision finds its files where its own download puts them.
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    write_fashion(raw)
    for path in raw.glob("*.gz"):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
    data = load_data("fashion_mnist", folder=tmp_path)
    assert data.train_images.shape == (60, 1, 28, 28)


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"files of FashionMNIST are not in '{tmp_path}'"):
        load_data("fashion_mnist", folder=tmp_path)
    with pytest.raises(FileNotFoundError, match="files of CIFAR10 are not in"):
        load_data("cifar10", folder=tmp_path)
    write_fashion(tmp_path)
    labels = tmp_path / "train-labels-idx1-ubyte.gz"
    whole = labels.read_bytes()
    labels.write_bytes(whole[:30])
    with pytest.raises(ValueError, match=r"train-labels-idx1-ubyte.gz' is damaged"):
        load_data("fashion_mnist", folder=tmp_path)
    labels.unlink()
    with pytest.raises(FileNotFoundError, match="'train-labels-idx1-ubyte.gz' is missing"):
        load_data("fashion_mnist", folder=tmp_path)


def test_subset_is_fixed_and_checked() -> None:
    whole, part = load_data("digits"), load_data("digits", train_size=100)
    assert len(part.train_images) == 100
    assert torch.equal(part.train_images, load_data("digits", train_size=100).train_images)
    assert len(part.test_images) == len(whole.test_images)
    for wrong in (0, 1438):
        with pytest.raises(ValueError, match=f"between 1 and 1437.*is {wrong}"):
            load_data("digits", train_size=wrong)
    with pytest.raises(ValueError, match=r"Unknown data set 'digit'.*Did you mean 'digits'"):
        load_data("digit")


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000))
def test_augmentation_flips_and_shifts(seed: int) -> None:
    """Every result is one of the 2 x 81 flips and shifts, written out with slices."""
    images = torch.rand(3, 2, 6, 5)
    found = augmented(images, torch.Generator().manual_seed(seed))
    padded = torch.nn.functional.pad(images, (4, 4, 4, 4))
    for i in range(3):
        candidates = [
            window.flip(-1) if flip else window
            for flip in (False, True)
            for top in range(9)
            for left in range(9)
            for window in [padded[i, :, top : top + 6, left : left + 5]]
        ]
        assert any(torch.equal(found[i], candidate) for candidate in candidates)
    same = augmented(images, torch.Generator().manual_seed(seed))
    assert torch.equal(found, same)


def test_mnist_is_read_like_fashion_mnist(tmp_path: Path) -> None:
    write_fashion(tmp_path)
    data = load_data("mnist", folder=tmp_path)
    assert data.train_images.shape == (60, 1, 28, 28)
    assert data.mean == (33.32,)
    with pytest.raises(FileNotFoundError, match="files of MNIST are not in"):
        load_data("mnist", folder=tmp_path / "elsewhere")


def test_cifar_and_svhn_from_what_torchvision_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)

    class Cifar:
        classes: ClassVar = [f"class {i}" for i in range(100)]

        def __init__(self, folder: str, download: bool, train: bool) -> None:
            count = 30 if train else 10
            self.data = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
            self.targets = list(range(count))

    class Svhn:
        def __init__(self, folder: str, download: bool, split: str) -> None:
            count = {"train": 30, "test": 10}[split]
            self.data = rng.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
            self.labels = np.arange(count) % 10

    monkeypatch.setattr("torchvision.datasets.CIFAR100", Cifar)
    monkeypatch.setattr("torchvision.datasets.SVHN", Svhn)
    data = load_data("cifar100", folder=tmp_path)
    assert (data.num_classes, data.class_names[99]) == (100, "class 99")
    assert data.train_images.shape == (30, 3, 32, 32)
    assert (data.flip, data.shift) == (True, 4)
    data = load_data("svhn", folder=tmp_path)
    assert data.train_images.shape == (30, 3, 32, 32)
    assert data.test_labels.tolist() == list(range(10))
    assert (data.flip, data.shift) == (False, 4)


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("cifar10", ["cifar-10-batches-py/data_batch_1"]),
        ("cifar100", ["cifar-100-python/train", "cifar-100-python/test"]),
        ("svhn", ["train_32x32.mat", "test_32x32.mat"]),
    ],
)
def test_files_with_a_wrong_checksum_are_refused(
    tmp_path: Path, name: str, files: list[str]
) -> None:
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(b"not the data")
    with pytest.raises(FileNotFoundError, match=f"(?i)files of {name} are not in .*or not whole"):
        load_data(name, folder=tmp_path)


def test_flips_alone_and_shares_of_a_batch() -> None:
    images = torch.rand(40, 1, 3, 4)
    found = augmented(images, torch.Generator().manual_seed(0), 0)
    flipped = [torch.equal(f, i.flip(-1)) for f, i in zip(found, images, strict=True)]
    kept = [torch.equal(f, i) for f, i in zip(found, images, strict=True)]
    assert all(a != b for a, b in zip(flipped, kept, strict=True))
    assert 8 < sum(flipped) < 32
    shifted = augmented(images, torch.Generator().manual_seed(0), 2, flip=False)
    rows = [
        augmented(
            images[share], torch.Generator().manual_seed(0), 2, flip=False, batch_size=40,
            share=share,
        )
        for share in (slice(0, None, 2), slice(1, None, 2))
    ]  # fmt: skip
    assert torch.equal(torch.stack(rows, 1).flatten(0, 1), shifted)


def test_subset_by_fraction_seed_and_validation() -> None:
    digits = load_data("digits")
    part = load_data("digits", train_size=0.1)
    assert len(part.train_images) == 144
    other = load_data("digits", train_size=0.1, subset_seed=1)
    assert not torch.equal(part.train_images, other.train_images)
    whole = load_data("digits", train_size=1.0)
    assert torch.equal(whole.train_images, digits.train_images)
    split = load_data("digits", train_size=200, validation=0.25)
    assert (split.size("train"), split.size("validation")) == (150, 50)
    together = torch.cat([split.train_images, split.val_images]).flatten(1)
    kept = load_data("digits", train_size=200).train_images.flatten(1)
    assert sorted(together.tolist()) == sorted(kept.tolist())
    assert torch.equal(split.test_images, digits.test_images)
    with pytest.raises(ValueError, match="validation images of its own"):
        load_data(split, validation=0.1)
    for train_size in (0.0, 1.5, -0.1):
        with pytest.raises(ValueError, match=f"between 1 and 1437.*is {train_size}"):
            load_data("digits", train_size=train_size)
    with pytest.raises(ValueError, match=r"share of 0.01 of 20 training images is 0 images"):
        load_data("digits", train_size=20, validation=0.01)


def test_statistics_are_measured() -> None:
    images = torch.randint(0, 256, (50, 2, 4, 4), dtype=torch.uint8)
    images[:, 1] = 7
    mean, std = channel_statistics(images)
    assert mean == pytest.approx((float(images[:, 0].double().mean()), 7))
    assert std == pytest.approx((float(images[:, 0].double().std()), 1))


def test_data_that_do_not_fit_together_are_named() -> None:
    images, labels = torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1, 2, 1])
    make = partial(ImageData, "mine", num_classes=3, mean=(0.0,), std=(1.0,))
    make(images, labels, images, labels)
    for change, message in (
        ((images, labels + 1, images, labels), "train labels of mine hold 3, but its 3 classes"),
        ((images, labels, images, labels - 1), "test labels of mine hold -1"),
        ((images, labels[:3], images, labels), r"4 train images.*must be int64 \[4\]"),
        ((images, labels.int(), images, labels), "labels must be int64.*are int32"),
        ((images.double(), labels, images, labels), r"must be uint8.*are float64 \[4, 1, 2, 2\]"),
        (
            (images, labels, images.float(), labels),
            "test images of mine .*all of one type.*float32",
        ),
        ((images / 0.0, labels, images / 0.0, labels), "train images of mine must be finite"),
        ((images, labels, images[:, :, :1], labels), "test images of mine must.*all of one size"),
        ((images[:0], labels[:0], images, labels), "mine has no train images"),
    ):
        with pytest.raises(ValueError, match=message):
            make(*change)
    with pytest.raises(ValueError, match="3 classes, but 2 class_names"):
        make(images, labels, images, labels, class_names=("a", "b"))


@given(st.integers(1, 50), st.integers(1, 60), st.integers(0, 5), st.integers(0, 5))
def test_an_epoch_visits_whole_batches_of_different_images(
    images: int, batch_size: int, seed: int, epoch: int
) -> None:
    steps = plan_epoch(images, batch_size, seed=seed, epoch=epoch)
    size = min(images, batch_size)
    visited = torch.cat([step.indices for step in steps]).tolist()
    assert all(len(step.indices) == size for step in steps)
    assert len(steps) == images // size
    assert len(set(visited)) == len(visited)
    assert set(visited) <= set(range(images))
    assert len({step.seed for step in steps}) == len(steps)
    again = plan_epoch(images, batch_size, seed=seed, epoch=epoch)
    assert [(s.indices.tolist(), s.seed) for s in steps] == [
        (s.indices.tolist(), s.seed) for s in again
    ]
