// Graphs by name. Each is the graph that relmp.create_graph makes of the same call.

const TRIES = 100;

function wsFlexGraph({ n, k, p, seed }) {
  const rng = new PythonRandom(seed);
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const graph = wsFlexOnce(n, k, p, rng);
    if (Number.isFinite(graph.measures.pathLength)) return graph;
  }
  throw new RangeError(
    `ws_flex drew no connected graph in ${TRIES} tries; ask for more edges (a larger k) or take another seed.`,
  );
}

function wsFlexOnce(n, k, p, rng) {
  const links = roundHalfEven((k * n) / 2);
  const each = Math.floor(links / n), more = links % n;
  const nodes = Array.from({ length: n }, (_, i) => i), ring = [];
  for (const i of nodes) {
    for (let step = 1; step <= each + (i < more ? 1 : 0); step++) ring.push([i, (i + step) % n]);
  }
  const graph = new RelationalGraph(n, ring, true);
  const join = (u, v, there) => {
    graph.set(u, v, there);
    graph.set(v, u, there);
  };
  for (const [i, old] of ring) {
    if (rng.random() >= p) continue;
    const others = () => graph.heardBy(i).length - 1;
    let chosen = rng.choice(nodes), full = false;
    while (graph.hears(i, chosen)) { // itself, or a neighbour
      chosen = rng.choice(nodes);
      if (others() >= n - 1) {
        full = true; // nobody is left to link to
        break;
      }
    }
    if (full) continue;
    join(i, old, false);
    join(i, chosen, true);
  }
  return graph;
}

// Python's round().
function roundHalfEven(value) {
  const below = Math.floor(value), part = value - below;
  if (part !== 0.5) return Math.round(value);
  return below % 2 ? below + 1 : below;
}

const everyPair = (n, keep) => {
  const pairs = [];
  for (let u = 0; u < n; u++) for (let v = u + 1; v < n; v++) if (keep(u, v)) pairs.push([u, v]);
  return new RelationalGraph(n, pairs, true);
};

const GENERATORS = {
  ws_flex: wsFlexGraph,
  complete: ({ n }) => everyPair(n, () => true),
  star: ({ n }) => everyPair(n, (u) => u === 0),
};

// Python that makes the graph, ready to run.
function pythonLines(source, graph) {
  const line = pythonLine(source, graph);
  return `${line.includes("networkx.") ? "import networkx\n" : ""}import relmp\n${line}`;
}

// Its generator's call, or all of its edges.
function pythonLine(source, graph) {
  if (source.name === "ws_flex") {
    const { n, k, p, seed } = source;
    return `graph = relmp.create_graph("ws_flex", n=${n}, k=${k}, p=${p}, seed=${seed})`;
  }
  if (source.name in GENERATORS) return `graph = relmp.create_graph("${source.name}", n=${source.n})`;
  if (source.python) return `graph = ${source.python}`;
  const directed = graph.isDirected;
  const edges = directed ? graph.edges() : graph.pairs();
  const list = edges.map(([u, v]) => `(${u}, ${v})`).join(", ");
  return `graph = relmp.RelationalGraph.from_edges([${list}], ${graph.n}${directed ? ", directed=True" : ""})`;
}

// The graph in a few words, as the list of runs calls it.
function graphTitle(source, graph) {
  if (source.name === "ws_flex") return `n ${graph.n}, k ${round2(source.k)}, p ${round2(source.p)}, seed ${source.seed}`;
  if (source.name in GENERATORS) return `${source.name}, n ${graph.n}`;
  return source.title ?? `drawn, n ${graph.n}`;
}

const round2 = (value) => String(Number(value.toFixed(2)));
