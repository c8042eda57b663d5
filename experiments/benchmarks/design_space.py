"""How long the paper's design space takes, beside what networkx would need.

    python experiments/benchmarks/design_space.py            # 2.7 million graphs, minutes
    python experiments/benchmarks/design_space.py --quick    # one seed of thirty

The sweep is timed after the kernels are compiled; compiling, which is cached on disk, is
timed apart. The networkx figure is an estimate: graphs at random places of the grid are drawn
and measured one by one by networkx, and their mean time is multiplied. The same graphs are
compared with the sweep's.
"""

from __future__ import annotations

import argparse
import random
import resource
import time

import networkx as nx

from relmp.graphs.generators.small_worlds import ws_flex_graph
from relmp.graphs.space.design_space import SEEDS, DesignSpace, sweep_design_space


def by_networkx(space: DesignSpace, place: tuple[int, int, int]) -> tuple[float, float]:
    """C, summed in ascending order as in the published tables, and L."""
    i, j, s = place
    graph = ws_flex_graph(space.n, float(space.k[i]), float(space.p[j]), int(space.seeds[s]))
    C = sum(sorted(nx.clustering(graph).values())) / space.n
    return C, nx.average_shortest_path_length(graph)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the design space.")
    parser.add_argument("--n", type=int, default=64, help="number of nodes")
    parser.add_argument("--sample", type=int, default=300, help="graphs given to networkx")
    parser.add_argument("--workers", type=int, default=None, help="threads; one a core")
    parser.add_argument("--quick", action="store_true", help="one seed instead of thirty")
    options = parser.parse_args()

    start = time.perf_counter()
    sweep_design_space(options.n, k=[options.n / 2], p=[0.5], seeds=1, cache=False)
    print(f"compiling or loading the kernels: {time.perf_counter() - start:.1f} s")

    seeds = 1 if options.quick else SEEDS
    wall, processor = time.perf_counter(), time.process_time()
    space = sweep_design_space(options.n, seeds=seeds, cache=False, workers=options.workers)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{len(space):,} graphs: {wall:.1f} s, {processor:.1f} s of processor time")
    print(f"{processor / len(space) * 1e6:.1f} microseconds a graph; peak memory {memory:.2f} GiB")

    rng = random.Random(0)
    places = [tuple(rng.randrange(size) for size in space.C.shape) for _ in range(options.sample)]
    start = time.process_time()
    found = [by_networkx(space, place) for place in places]
    each = (time.process_time() - start) / len(places)
    equal = sum(
        pair == (space.C[place], space.L[place]) for pair, place in zip(found, places, strict=True)
    )
    print(
        f"networkx: {each * 1e3:.1f} ms a graph, {each * len(space) / 3600:.1f} core-hours in all"
    )
    print(f"equal to networkx to the last bit: {equal} of {len(places)}")


if __name__ == "__main__":
    main()
