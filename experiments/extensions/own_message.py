"""A message of your own: copy this file, change what nodes say.

    python experiments/extensions/own_message.py

Nodes say how they differ from the listener. The class is checked, matched to a budget, and swept
over three graphs on digits. Two CPU cores, about half a minute. Writes `runs/own_message/`.
"""

import torch

import relmp
from relmp.testing import check_message


class Difference(relmp.Message):
    """m_ij = W_ij (x_j - x_i): nodes say how they differ from the one that listens."""

    def __init__(self, num_edges, in_dim, out_dim):
        super().__init__()
        self.value = relmp.LinearMessage(num_edges, in_dim, out_dim)
        self.own = relmp.LinearMessage(num_edges, in_dim, out_dim)  # what a self-loop says

    def forward(self, x_i, x_j, edges):  # [E, B, in_dim] -> [E, B, out_dim]
        loops = (edges.source == edges.target).view(-1, 1, 1)
        return self.value(None, x_j - x_i) + loops * self.own(None, x_j)

    def flops(self, edges, positions=1):  # so that widths can be matched to a budget
        return 2 * self.value.flops(edges, positions)


def main(out="runs/own_message", epochs=5, seeds=2):
    for note in check_message(Difference):
        print(note)
    graphs = [relmp.create_graph("ws_flex", n=16, k=k, p=0.2, seed=0) for k in (4, 6, 8)]
    table = relmp.run_sweep(
        "mlp",
        graphs=graphs,
        message=Difference,
        data="digits",
        width=64,
        epochs=epochs,
        seeds=range(seeds),
        out=out,
    )
    print(table.groupby("graph")["test_error"].agg(["mean", "std", "count"]))
    return table


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
