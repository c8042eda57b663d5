"""An update of your own: copy this file, change what follows the aggregation.

    python experiments/extensions/own_update.py

The update of a round is any module that takes its flat output. Here it normalises the channels of
each node by themselves, and a residual connection goes around the round. One CPU core, seconds.
"""

import torch
from torch import nn

import relmp


class Residual(nn.Module):
    """A round and what went into it: x + round(x)."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return x + self.layer(x)


def make_model(graph, width=64, rounds=3):
    layers = [nn.Flatten(), nn.Linear(64, width), nn.ReLU()]
    for _ in range(rounds):
        update = nn.Sequential(
            nn.GroupNorm(graph.num_nodes, width),  # a group is a node
            nn.GELU(),
            nn.Dropout(0.1),
        )
        layers.append(Residual(relmp.Round(graph, width, width, update=update)))
    return nn.Sequential(*layers, nn.Linear(width, 10))


def main(epochs=5):
    graph = relmp.create_graph("ws_flex", n=16, k=6, p=0.2, seed=0)
    model = make_model(graph)
    history = relmp.train(model, "digits", epochs=epochs, lr=0.02)
    print(history[["epoch", "train_error", "test_error"]].to_string(index=False))
    return history


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
