// The relational graph: who hears whom, and where the graph lies.

class RelationalGraph {
  // edges: pairs [source, target], self-loops left out; `both` adds the opposite of each.
  constructor(n, edges = [], both = false) {
    this.n = n;
    this.matrix = new Uint8Array(n * n); // row i, column j: whether node i hears node j
    for (let i = 0; i < n; i++) this.matrix[i * n + i] = 1;
    for (const [source, target] of edges) {
      this.matrix[target * n + source] = 1;
      if (both) this.matrix[source * n + target] = 1;
    }
  }

  hears(target, source) {
    return this.matrix[target * this.n + source] === 1;
  }

  set(source, target, there) {
    if (source !== target) this.matrix[target * this.n + source] = there ? 1 : 0;
    this.known = undefined;
  }

  copy() {
    const copy = new RelationalGraph(this.n);
    copy.matrix.set(this.matrix);
    return copy;
  }

  // The nodes that a node hears, itself included, in ascending order.
  heardBy(target) {
    const found = [];
    for (let j = 0; j < this.n; j++) if (this.hears(target, j)) found.push(j);
    return found;
  }

  // Directed edges [source, target], self-loops left out, sorted by target then source.
  edges() {
    const found = [];
    for (let i = 0; i < this.n; i++) {
      for (let j = 0; j < this.n; j++) if (i !== j && this.hears(i, j)) found.push([j, i]);
    }
    return found;
  }

  // Pairs of nodes u < v, and which directions are there: 3 both, 1 u -> v, 2 v -> u.
  pairs() {
    const found = [];
    for (let u = 0; u < this.n; u++) {
      for (let v = u + 1; v < this.n; v++) {
        const way = (this.hears(v, u) ? 1 : 0) + (this.hears(u, v) ? 2 : 0);
        if (way) found.push([u, v, way]);
      }
    }
    return found;
  }

  get isDirected() {
    return this.pairs().some(([, , way]) => way !== 3);
  }

  withNode() {
    const larger = new RelationalGraph(this.n + 1);
    for (const [source, target] of this.edges()) larger.set(source, target, true);
    return larger;
  }

  withoutNode(node) {
    const smaller = new RelationalGraph(this.n - 1);
    const renamed = (i) => (i > node ? i - 1 : i);
    for (const [source, target] of this.edges()) {
      if (source !== node && target !== node) smaller.set(renamed(source), renamed(target), true);
    }
    return smaller;
  }

  get measures() {
    this.known ??= measure(this);
    return this.known;
  }
}

// C and L look at the undirected graph without self-loops; density counts directed edges with them.
function measure(graph) {
  const { n } = graph;
  const neighbours = Array.from({ length: n }, () => []);
  for (const [u, v] of graph.pairs()) {
    neighbours[u].push(v);
    neighbours[v].push(u);
  }
  const numEdges = graph.matrix.reduce((sum, there) => sum + there, 0);
  return {
    numEdges,
    density: numEdges / n ** 2,
    clustering: meanClustering(neighbours),
    pathLength: meanDistance(neighbours),
    degree: neighbours.reduce((sum, list) => sum + list.length, 0) / n,
  };
}

// Shares are summed in ascending order, as relmp does, so that the last bit agrees.
function meanClustering(neighbours) {
  const sets = neighbours.map((list) => new Set(list));
  const shares = neighbours.map((list) => {
    let joined = 0;
    for (const a of list) for (const b of list) if (a !== b && sets[a].has(b)) joined++;
    return joined ? joined / (list.length * (list.length - 1)) : 0;
  });
  return shares.sort((a, b) => a - b).reduce((sum, share) => sum + share, 0) / neighbours.length;
}

function meanDistance(neighbours) {
  const n = neighbours.length;
  let total = 0;
  for (let source = 0; source < n; source++) {
    const distance = new Int32Array(n).fill(-1), queue = [source];
    distance[source] = 0;
    for (let at = 0; at < queue.length; at++) {
      for (const next of neighbours[queue[at]]) {
        if (distance[next] >= 0) continue;
        distance[next] = distance[queue[at]] + 1;
        total += distance[next];
        queue.push(next);
      }
    }
    if (queue.length < n) return Infinity;
  }
  return total / Math.max(n * (n - 1), 1);
}
