"""An aggregation of your own: copy this file, change what a node makes of what it hears.

    python experiments/extensions/own_aggregation.py

A node leaves out the loudest message. One CPU core, a few seconds.
"""

import torch
from torch_geometric.nn.aggr import Aggregation

import relmp
from relmp.testing import check_aggregation


class WithoutLoudest(Aggregation):
    """The sum of the messages but for the largest one, channel by channel."""

    def forward(self, x, index=None, ptr=None, dim_size=None, dim=-2):  # [E, M, c] -> [n, M, c]
        total = self.reduce(x, index, ptr, dim_size, dim, reduce="sum")
        return total - self.reduce(x, index, ptr, dim_size, dim, reduce="max")


def main(epochs=5):
    check_aggregation(WithoutLoudest())
    graph = relmp.create_graph("ws_flex", n=16, k=6, p=0.2, seed=0)
    # Names and objects mix; several at once are added up.
    for aggr in (WithoutLoudest(), [WithoutLoudest(), "max"], "sum"):
        model = relmp.match_flops("mlp", graph=graph, width=64, input_shape=(1, 8, 8), aggr=aggr)
        history = relmp.train(model, "digits", epochs=epochs)
        print(f"{aggr}: test error {history['test_error'].iloc[-1]:.2f} %")
    return history


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
