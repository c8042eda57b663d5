"""A data set of your own: copy this file, change what is classified.

    python experiments/extensions/own_dataset.py

Anything that fits memory as uint8 images. Here: which of two strokes is the longer, on images that
are drawn on the spot. One CPU core, a few seconds.
"""

import torch

import relmp
from relmp.training.data import ImageData


def draw_strokes(count, size=12, seed=0):
    """Images ``[count, 1, size, size]`` of two upright strokes, and which is longer (0 or 1)."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.zeros(count, 1, size, size, dtype=torch.uint8)
    lengths = torch.stack(
        [torch.randperm(size - 2, generator=generator)[:2] + 2 for _ in range(count)]
    )
    for image, (left, right) in zip(images, lengths.tolist(), strict=True):
        image[0, :left, size // 4] = 255
        image[0, :right, 3 * size // 4] = 255
    noise = torch.randint(0, 60, images.shape, generator=generator, dtype=torch.uint8)
    return torch.maximum(images, noise), lengths.argmax(1)


def load_strokes(train=2000, test=500):
    train_images, train_labels = draw_strokes(train, seed=0)
    test_images, test_labels = draw_strokes(test, seed=1)
    pixels = train_images.float()
    return ImageData(
        name="strokes",
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        num_classes=2,
        mean=(float(pixels.mean()),),
        std=(float(pixels.std()),),
    )


def main(epochs=5, train=2000):
    data = load_strokes(train)
    graph = relmp.create_graph("ws_flex", n=16, k=6, p=0.2, seed=0)
    model = relmp.match_flops(
        "mlp", graph=graph, width=64, num_classes=data.num_classes, input_shape=data.input_shape
    )
    history = relmp.train(model, data, epochs=epochs)
    print(history[["epoch", "train_error", "test_error"]].to_string(index=False))
    return history


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
