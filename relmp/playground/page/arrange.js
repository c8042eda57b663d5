// Where nodes are drawn: on a ring, or pulled together by their edges.

const RING = 0.46;

const ringPlaces = (n) => Array.from({ length: n }, (_, i) => {
  const angle = (2 * Math.PI * i) / n;
  return [0.5 + RING * Math.sin(angle), 0.5 - RING * Math.cos(angle)];
});

function arrange(source, graph) {
  if (source.name === "star" && graph.n > 2) return [[0.5, 0.5], ...ringPlaces(graph.n - 1)];
  return source.name === "ws_flex" || source.name === "complete" || source.name === "edited"
    ? ringPlaces(graph.n)
    : springPlaces(graph);
}

// Fruchterman and Reingold, 1991: edges pull, nodes push, and moves grow smaller.
function springPlaces(graph, steps = 300) {
  const { n } = graph, pairs = graph.pairs(), ideal = 0.9 / Math.sqrt(n);
  const places = ringPlaces(n);
  for (let step = 0; step < steps; step++) {
    const force = places.map(([x, y]) => [(0.5 - x) * 0.05, (0.5 - y) * 0.05]);
    const add = (u, v, size) => {
      const dx = places[v][0] - places[u][0], dy = places[v][1] - places[u][1];
      const distance = Math.max(Math.hypot(dx, dy), 1e-3), pull = size(distance) / distance;
      force[u][0] += dx * pull;
      force[u][1] += dy * pull;
      force[v][0] -= dx * pull;
      force[v][1] -= dy * pull;
    };
    for (let u = 0; u < n; u++) for (let v = 0; v < u; v++) add(u, v, (d) => -(ideal ** 2) / d);
    for (const [u, v] of pairs) add(u, v, (d) => d ** 2 / ideal);
    const limit = 0.08 * (1 - step / steps);
    places.forEach((place, i) => {
      const size = Math.hypot(...force[i]) || 1, move = Math.min(size, limit) / size;
      place[0] += force[i][0] * move;
      place[1] += force[i][1] * move;
    });
  }
  return fitted(places);
}

// Into the middle of the unit square, as large as it allows.
function fitted(places) {
  const xs = places.map(([x]) => x), ys = places.map(([, y]) => y);
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const spread = (value, low, high) => (high > low ? 0.04 + (0.92 * (value - low)) / (high - low) : 0.5);
  return places.map(([x, y]) => [spread(x, left, right), spread(y, top, bottom)]);
}
