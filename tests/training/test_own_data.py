"""Data that are not relmp's: arrays, PyTorch's data sets and loaders, and what gives them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Subset, TensorDataset, WeightedRandomSampler

import relmp
from relmp.graphs import create_graph
from relmp.training.data import as_data_set, load_data, name_data
from relmp.training.data.dataset import plan_epoch
from relmp.training.data.torch_data import TorchData
from tests.training import own_data
from tests.training.pictures import write_pictures

GRAPH = create_graph("cycle", n=8)
IMAGES, LABELS = own_data.arrays()
TENSORS = TensorDataset(torch.tensor(IMAGES)[:, None].float(), torch.tensor(LABELS))


def model() -> Any:
    return relmp.create_model("mlp", GRAPH, in_features=64, width=16)


def test_arrays_of_any_layout_are_the_same_images() -> None:
    whole = as_data_set((IMAGES, LABELS))
    assert whole.input_shape == (1, 8, 8)
    assert whole.size("train") + whole.size("test") == 200
    for images in (IMAGES[:, None], IMAGES[..., None], torch.tensor(IMAGES)):
        assert as_data_set((images, LABELS)).name == whole.name
    assert as_data_set((IMAGES, LABELS[::-1].copy())).name != whole.name
    assert as_data_set(TENSORS).name == whole.name
    vectors = as_data_set((IMAGES.reshape(200, 64), LABELS))
    assert vectors.input_shape == (1, 1, 64)


def test_parts_are_taken_as_given() -> None:
    first, rest = (IMAGES[:150], LABELS[:150]), (IMAGES[150:], LABELS[150:])
    for data in ((first, rest), (*first, *rest), {"train": first, "test": rest}):
        found = as_data_set(data)
        assert (found.size("train"), found.size("test")) == (150, 50)
    held = as_data_set({"train": first, "test": rest, "validation": rest})
    assert held.size("validation") == 50
    assert load_data((IMAGES, LABELS), held_out=0.5).size("test") == pytest.approx(100, abs=10)


@pytest.mark.parametrize(
    "data",
    [
        (IMAGES, LABELS),
        own_data.Pictures(),
        DataLoader(TENSORS, batch_size=32, shuffle=True),
        (Subset(own_data.Pictures(), range(150)), Subset(own_data.Pictures(), range(150, 200))),
        "tests.training.own_data:arrays",
        "tests.training.own_data:Pictures",
    ],
    ids=lambda data: data if isinstance(data, str) else type(data).__name__,
)
def test_a_run_of_own_data_is_kept_and_goes_on(data: Any, tmp_path: Path) -> None:
    whole = relmp.train(model(), data, epochs=2, seed=1)
    relmp.train(model(), data, epochs=2, seed=1, out=tmp_path)
    again = relmp.train(model(), data, epochs=2, seed=1, out=tmp_path)
    pd_columns = ["train_loss", "test_loss"]
    np.testing.assert_array_equal(whole[pd_columns], again[pd_columns])
    run = relmp.load_run(tmp_path)
    assert run.predict(torch.tensor(IMAGES[:4], dtype=torch.float32)[:, None]).shape == (4,)


def test_transforms_draw_by_the_seed_alone() -> None:
    data = as_data_set(own_data.Pictures())
    assert isinstance(data, TorchData)
    steps = plan_epoch(data.size("train"), 32, seed=0, epoch=0)
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = [images for images, _ in data.training_batches(steps)]
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(6)
    for a, b in zip(first, data.training_batches(steps), strict=True):
        torch.testing.assert_close(a, b[0], rtol=0, atol=0)
    other = plan_epoch(data.size("train"), 32, seed=0, epoch=1)
    assert not torch.equal(first[0], next(iter(data.training_batches(other)))[0])


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ((IMAGES, LABELS + 0.5), "Labels are classes, whole numbers from 0"),
        ((IMAGES, LABELS - 1), "such as -1, 0, 1"),
        ((IMAGES, np.eye(10)[LABELS]), r"float64 \[200, 10\]"),
        ((IMAGES, LABELS[:5]), "200 images, but 5 labels"),
        ((IMAGES[:4], LABELS[:4]), "no class has 5 images"),
        (own_data.Endless(), "Endless has no length"),
        (DataLoader(own_data.Endless()), "Endless has no length"),
        (
            DataLoader(TENSORS, sampler=WeightedRandomSampler([1.0] * 200, 200)),
            "draws by a WeightedRandomSampler",
        ),
        (own_data.Odd(), "several sizes"),
        ({"test": (IMAGES, LABELS)}, "'train' is missing"),
        ([1, 2, 3], "data must be the name of a data set"),
        ("tests.training.own_data:nothing", "Cannot import"),
        ("arrays@12", "given from Python and are not kept"),
    ],
)
def test_data_that_cannot_be_trained_on_say_why(data: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        relmp.train(model(), data, epochs=1)


def test_arrays_are_swept_by_workers_and_other_arrays_are_refused(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "graphs": [GRAPH], "seeds": 1, "width": 16, "epochs": 1, "out": tmp_path,
        "show_progress": False,
    }  # fmt: skip
    table = relmp.run_sweep("mlp", data=(IMAGES, LABELS), workers=2, **options)
    assert table["data"].unique().tolist() == [name_data((IMAGES, LABELS))]
    assert len(table) == 2
    again = relmp.run_sweep("mlp", data=(IMAGES, LABELS), workers=2, **options)
    assert again.equals(table)
    with pytest.raises(ValueError, match="started with other settings .data.name"):
        relmp.run_sweep("mlp", data=(IMAGES + 1, LABELS), workers=2, **options)


def test_crop_and_the_held_out_share_of_a_folder_are_settings(tmp_path: Path) -> None:
    write_pictures(tmp_path, 10)
    usual = load_data("folder", folder=tmp_path, image_size=16)
    assert usual.size("test") == 6
    other = load_data("folder", folder=tmp_path, image_size=16, held_out=0.4, crop=1.0)
    assert other.size("test") == 12
    assert other.describe()["augmentation"]["crop"] == [1.0, 1.0]
    steps = plan_epoch(18, 18, seed=0, epoch=0)
    ((trained, _),) = other.training_batches(steps)
    centre = {tuple(image.flatten().tolist()) for image in whole_of(other)}
    for image in trained:
        both = (image, image.flip(-1))
        assert any(tuple(seen.flatten().tolist()) in centre for seen in both)


def whole_of(data: Any) -> torch.Tensor:
    """The training images as for evaluation."""
    return torch.cat([images for images, _ in data.batches("train")])


def test_small_pictures_are_not_enlarged_without_a_word(tmp_path: Path) -> None:
    write_pictures(tmp_path, 5)
    with pytest.warns(UserWarning, match=r"brought to 224 x 224; image_size=\d+ .* keeps"):
        load_data("folder", folder=tmp_path)
    with pytest.raises(ValueError, match="crop is for folders"):
        load_data("digits", crop=0.5)


def test_data_by_name_take_arguments(tmp_path: Path) -> None:
    data = load_data(f"{own_data.__name__}:Pictures(count=60)")
    assert sum(data.size(part) for part in ("train", "test")) == 60
    with pytest.raises(ValueError, match="has no option 'counts'; its options are count"):
        load_data(f"{own_data.__name__}:Pictures(counts=60)")
    table = relmp.run_sweep(
        "mlp", data=f"{own_data.__name__}:Pictures(count=60)", graphs=[GRAPH], seeds=1, epochs=1,
        width=16, workers=0, out=tmp_path,
    )  # fmt: skip
    assert len(table) == 2


def test_batches_of_loaders_that_are_named_are_not_taken_silently() -> None:
    with pytest.warns(UserWarning, match="have batches of 16, which a run that names its data"):
        load_data(f"{own_data.__name__}:loaders")


@pytest.mark.parametrize(
    ("data", "message"),
    [(own_data.Broken(), r"Item \d of Broken cannot be read \(RuntimeError: disk on fire\)"),
     (own_data.Pictures, r"Pictures is a class; give an object of it"),
     (own_data.Pictures(0), "Pictures holds no images for 'train'"),
     ((np.full((40, 8, 8), np.nan), np.arange(40) % 2), "hold numbers that are not finite")],
)  # fmt: skip
def test_data_that_cannot_be_read(data: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        relmp.train(model(), data=data, epochs=1)
