"""Data sets: what is in them, how they are augmented, and what happens when files are missing."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from relmp.training import load_data
from relmp.training.data import augmented


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
