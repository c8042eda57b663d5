"""A graph of your own: copy this file, change who talks to whom.

    python experiments/extensions/own_graph.py

Any networkx graph will do, directed or not, with attributes on its edges. Here nodes lie on a
plane, talk to those nearby, and messages depend on the distance. One CPU core, a few seconds.
"""

import networkx as nx
import torch

import relmp
from relmp.testing import check_graph


def plane_graph(n, radius, seed):
    """Nodes at random places of the unit square, linked up to a distance of ``radius``."""
    graph = nx.random_geometric_graph(n, radius, seed=seed)
    place = nx.get_node_attributes(graph, "pos")
    for u, v in graph.edges:
        graph.edges[u, v]["distance"] = torch.dist(*map(torch.tensor, (place[u], place[v]))).item()
    return graph


def main(epochs=5):
    for note in check_graph(plane_graph, n=16, radius=0.5, seed=0):
        print(note)
    graph = relmp.RelationalGraph.from_networkx(
        plane_graph(16, 0.5, seed=0), edge_attrs=["distance"], name="plane"
    )
    print(graph)
    for message in ("linear", "edge_attr"):  # weights of their own, or a function of distance
        model = relmp.match_flops(
            "mlp", graph=graph, width=64, input_shape=(1, 8, 8), message=message
        )
        history = relmp.train(model, "digits", epochs=epochs)
        error, size = history["test_error"].iloc[-1], relmp.count_parameters(model)
        print(f"{message}: {size:,} parameters, test error {error:.2f} %")
    return history


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
