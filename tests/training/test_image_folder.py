"""Folders of images: found, read by workers, trained on, saved, loaded and labelled."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import relmp
from relmp.cli import main
from relmp.training import FolderData, load_data
from relmp.training.data import plan_epoch
from relmp.training.data.image_files import fit_image, open_image
from tests.training.pictures import COLOURS, write_pictures


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    write_pictures(folder / "train", 20)
    write_pictures(folder / "test", 8, seed=1)
    return folder


def small(folder: Path, **changes: Any) -> FolderData:
    """Images of 16 x 16 pixels, read in this process."""
    data = load_data("folder", folder=folder, image_size=16)
    assert isinstance(data, FolderData)
    return replace(data, **{"workers": 0, **changes})


def batches(data: FolderData, **options: Any) -> list[tuple[torch.Tensor, torch.Tensor]]:
    steps = plan_epoch(data.size("train"), 20, seed=3, epoch=1)
    return list(data.training_batches(steps, **options))


def test_a_folder_is_found_and_measured(pictures: Path) -> None:
    data = small(pictures)
    assert data.class_names == tuple(COLOURS)
    assert (data.size("train"), data.size("validation"), data.size("test")) == (60, 0, 24)
    assert data.input_shape == (3, 16, 16)
    ((images, labels),) = data.batches("test")
    assert images.shape == (24, 3, 16, 16)
    assert labels.tolist() == [0] * 8 + [1] * 8 + [2] * 8
    # Mean and deviation are those of the training images, so these are nearly normalised.
    pixels = torch.stack([fit_image(open_image(path, 3), 224) for path, _ in data.train]).double()
    torch.testing.assert_close(
        torch.tensor(data.mean).double(), pixels.mean((0, 2, 3)), rtol=1e-5, atol=0
    )
    std = pixels.std((0, 2, 3), correction=0)
    torch.testing.assert_close(torch.tensor(data.std).double(), std, rtol=1e-5, atol=0)
    assert (data.mean, data.std) == (small(pictures).mean, small(pictures).std)


def test_batches_do_not_depend_on_the_workers_nor_on_what_ran_before(pictures: Path) -> None:
    here, workers = small(pictures), small(pictures, workers=2)
    state = torch.random.get_rng_state()
    first = batches(here)
    assert torch.equal(torch.random.get_rng_state(), state), "the global generator was used"
    torch.rand(5)
    for (images, labels), (others, their_labels) in zip(first, batches(workers), strict=True):
        assert torch.equal(images, others)
        assert torch.equal(labels, their_labels)
    # Another part, an epoch that is left early, and the same workers go on.
    assert torch.equal(next(workers.batches("test"))[0], next(here.batches("test"))[0])
    again = batches(workers)
    assert torch.equal(again[2][0], first[2][0])
    later = list(here.training_batches(plan_epoch(60, 20, seed=3, epoch=2)))
    assert not torch.equal(later[0][0], first[0][0])


def test_processes_share_a_batch_and_what_is_drawn_for_it(pictures: Path) -> None:
    data = small(pictures)
    whole = batches(data)
    for rank in range(2):
        share = slice(rank, None, 2)
        for (images, labels), (mine, my_labels) in zip(
            whole, batches(data, share=share), strict=True
        ):
            assert torch.equal(images[share], mine)
            assert torch.equal(labels[share], my_labels)
    tests = [batch for rank in range(2) for batch in data.batches("test", slice(rank, None, 2))]
    assert sum(len(labels) for _, labels in tests) == 24


def test_training_images_are_cropped_and_flipped(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(0, 240, 4, dtype=np.uint8)[None, :, None], (60, 1, 3))
    for part in ("train", "test"):
        (tmp_path / part / "a").mkdir(parents=True)
        Image.fromarray(ramp).save(tmp_path / part / "a" / "ramp.png")
    data = small(tmp_path)
    seen = []
    for epoch in range(30):
        ((images, _),) = data.training_batches(plan_epoch(1, 1, seed=0, epoch=epoch))
        row = images[0, 0, 8]
        seen.append((float(row[-1] - row[0]), float(row.mean())))
    rising = [slope > 0 for slope, _ in seen]
    assert 5 < sum(rising) < 25, "a share of the images is flipped"
    assert len({round(abs(slope), 3) for slope, _ in seen}) > 10, "crops differ in size"
    assert np.std([mean for _, mean in seen]) > 0.05, "and in place"
    ((images, _),) = data.batches("test")
    assert float(images[0, 0, 8].mean()) == pytest.approx(0, abs=0.1)


def test_a_flat_folder_is_split_alike_every_time(tmp_path: Path) -> None:
    write_pictures(tmp_path, 10)
    data, again = small(tmp_path), small(tmp_path)
    assert (data.size("train"), data.size("test")) == (24, 6)
    assert data.test == again.test
    assert not set(data.train) & set(data.test)
    assert [label for _, label in data.test] == [0, 0, 1, 1, 2, 2]


def test_validation_comes_from_its_folder_or_from_a_share(pictures: Path, tmp_path: Path) -> None:
    shutil.copytree(pictures, tmp_path / "all")
    write_pictures(tmp_path / "all" / "val", 3, seed=2)
    data = small(tmp_path / "all")
    assert (data.size("validation"), data.size("test")) == (9, 24)
    with pytest.raises(ValueError, match="has 9 validation images of its own"):
        load_data(data, validation=0.1)
    held = load_data(small(pictures), validation=0.25, train_size=0.8, subset_seed=1)
    assert (held.size("train"), held.size("validation")) == (36, 12)
    assert not set(held.train) & set(held.validation)
    shutil.move(tmp_path / "all" / "test", tmp_path / "gone")
    data = small(tmp_path / "all")
    assert (data.size("validation"), data.size("test")) == (0, 9), "val alone is the test set"


def test_imagenet_is_a_folder_with_known_statistics(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"'train' and 'val' in '{tmp_path}'.*cannot be"):
        load_data("imagenet", folder=tmp_path, download=True)
    shutil.copytree(pictures / "train", tmp_path / "train")
    shutil.copytree(pictures / "test", tmp_path / "val")
    data = load_data("imagenet", folder=tmp_path)
    assert data.input_shape == (3, 224, 224)
    assert data.mean == (123.675, 116.28, 103.53)
    assert data.size("test") == 24


def test_trained_saved_loaded_and_labelled(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = small(pictures)
    graph = relmp.create_graph("ws_flex", n=16, k=4, p=0.3, seed=1)
    model = relmp.create_model("mlp", graph=graph, num_classes=3, in_features=3 * 16 * 16, width=32)
    history = relmp.train(model, data, epochs=8, batch_size=20, lr=0.05, out=tmp_path / "run")
    assert history["test_error"].iloc[-1] == 0
    run = relmp.load_run(tmp_path / "run")
    assert run.class_names == tuple(COLOURS)
    table = run.predict_files([path for path, _ in data.test])
    assert table["label"].tolist() == [Path(path).parent.name for path, _ in data.test]
    assert table["probability"].between(1 / 3, 1).all()
    # The command gives the same; a folder stands for the images in it.
    file = next((pictures / "test" / "red").iterdir())
    main(["predict", str(tmp_path / "run"), str(file), str(pictures / "test" / "blue")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[0] == "red"
    assert lines[0].endswith(str(file))
    assert [line.split()[0] for line in lines[1:]] == ["blue"] * 8
    csv = tmp_path / "labels.csv"
    main(["predict", str(tmp_path / "run"), str(file), "--csv", str(csv)])
    assert csv.read_text().splitlines()[0] == "file,label,probability"
    for arguments, message in (
        ([str(file), "--csv", str(csv)], "labels.csv' is already there"),
        ([str(tmp_path / "none.png")], "cannot use .*none.png': no such file"),
        ([str(csv)], "labels.csv' is no image that can be read"),
        ([str(tmp_path / "run")], "There are no images in"),
        ([], "No images were named"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(["predict", str(tmp_path / "run"), *arguments])
        assert stopped.value.code == 2
        assert re.search(message, capsys.readouterr().err)


def test_the_same_images_elsewhere_are_the_same_data_other_labels_are_not(
    pictures: Path, tmp_path: Path
) -> None:
    def described(folder: Path) -> str:
        return str(small(folder).describe()["fingerprint"])

    moved = shutil.copytree(pictures, tmp_path / "moved")
    assert described(moved) == described(pictures)
    first, second = sorted(folder for folder in (moved / "train").iterdir())[:2]
    picture = next(first.iterdir())
    picture.rename(second / f"other{picture.suffix}")
    assert described(moved) != described(pictures)


def test_images_for_a_model_of_fixed_size_must_have_it(tmp_path: Path) -> None:
    model = relmp.create_model("mlp", in_features=64, width=16)
    relmp.train(model, "digits", epochs=1, out=tmp_path / "run")
    run = relmp.load_run(tmp_path / "run")
    Image.new("RGB", (8, 8)).save(tmp_path / "fits.png")
    Image.new("L", (9, 8)).save(tmp_path / "wide.png")
    assert len(run.predict_files([tmp_path / "fits.png"])) == 1
    with pytest.raises(ValueError, match="wide.png' has 8 x 9 pixels, but this model takes 8 x 8"):
        run.predict_files([tmp_path / "wide.png"])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_corrupt_image_is_named(pictures: Path, tmp_path: Path, workers: int) -> None:
    shutil.copytree(pictures, tmp_path / "some")
    data = small(tmp_path / "some", workers=workers)
    broken = tmp_path / "some" / "train" / "red" / "003.png"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(ValueError, match="red/003.png' is no image that can be read"):
        batches(data)
    broken.write_text("no image")
    with pytest.raises(ValueError, match="red/003.png' is no image that can be read"):
        load_data("folder", folder=tmp_path / "some")


def test_mistakes_are_named(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="'.*none' is no folder of images with one"):
        load_data("folder", folder=tmp_path / "none")
    (tmp_path / "empty" / "a").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="is no folder of images"):
        load_data("folder", folder=tmp_path / "empty")
    shutil.copytree(pictures / "train", tmp_path / "half" / "train")
    with pytest.raises(FileNotFoundError, match="a folder 'train', but neither 'test' nor 'val'"):
        load_data("folder", folder=tmp_path / "half")
    shutil.copytree(pictures / "test" / "red", tmp_path / "half" / "test" / "rot")
    with pytest.raises(ValueError, match="not in both: "):
        load_data("folder", folder=tmp_path / "half")
    write_pictures(tmp_path / "few", 2)
    with pytest.raises(ValueError, match="no class has 5 images"):
        load_data("folder", folder=tmp_path / "few")
    with pytest.raises(ValueError, match="image_size is for folders of images; those of digits"):
        load_data("digits", image_size=16)
    for name, value in (("image_size", 0), ("workers", -1)):
        with pytest.raises(ValueError, match=f"{name} must be at least"):
            small(pictures, **{name: value})
