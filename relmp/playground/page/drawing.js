// The drawing of the graph: nodes, edges with their weights, messages on their way.

const DRAWING_MARGIN = 24;
const newEdge = { from: null, to: null }; // an edge being drawn: a node, and a point or a node

function drawingPlace(i, width, height) {
  const [x, y] = state.places[i], { left, top, side } = drawingSquare(width, height);
  return [left + x * side, top + y * side];
}

// Nodes lie in a square in the middle, so that a ring is round.
function drawingSquare(width, height) {
  const side = Math.min(width, height) - 2 * DRAWING_MARGIN;
  return { side, left: (width - side) / 2, top: (height - side) / 2 };
}

const nodeRadius = (n) => Math.max(4.5, Math.min(13, 230 / n));

painters.drawing = (now) => {
  const { context, width, height } = sharpContext(at("drawing"));
  const { graph } = state, places = state.places.map((_, i) => drawingPlace(i, width, height));
  const radius = nodeRadius(graph.n);
  drawEdges(context, places, radius);
  if (newEdge.from !== null) drawNewEdge(context, places);
  const states = roundStates();
  drawMessages(context, places, now, false);
  places.forEach(([x, y], i) => drawNode(context, x, y, i, radius, states));
  drawMessages(context, places, now, true);
};

function drawEdges(context, places, radius) {
  const { graph } = state, pairs = graph.pairs();
  const strengths = trainer.steps ? edgeStrengths() : null;
  const plain = Math.max(0.14, Math.min(0.6, 26 / Math.sqrt(pairs.length * graph.n)));
  context.lineCap = "round";
  for (const [u, v, way] of pairs) {
    const near = u === state.node || v === state.node;
    if (strengths) {
      const forward = strengths[v * graph.n + u], backward = strengths[u * graph.n + v];
      const both = way === 3 ? (forward + backward) / 2 : forward + backward;
      const size = Math.min(Math.abs(both), 1);
      context.strokeStyle = css(signed(Math.sign(both), colours.edge), Math.min(1, plain * 0.5 + size));
      context.lineWidth = 0.6 + 3.2 * size;
    } else {
      context.strokeStyle = css(near ? colours.accent : colours.edge, near ? Math.max(plain, 0.65) : plain);
      context.lineWidth = near ? 1.6 : 1.1;
    }
    context.beginPath();
    context.moveTo(...places[u]);
    context.lineTo(...places[v]);
    context.stroke();
    if (way !== 3) drawArrow(context, ...(way === 1 ? [places[u], places[v]] : [places[v], places[u]]), radius);
  }
}

function drawArrow(context, [x0, y0], [x1, y1], radius) {
  const angle = Math.atan2(y1 - y0, x1 - x0), size = Math.max(5, radius * 0.7);
  const x = x1 - (radius + 2) * Math.cos(angle), y = y1 - (radius + 2) * Math.sin(angle);
  context.fillStyle = context.strokeStyle;
  context.beginPath();
  context.moveTo(x, y);
  for (const turn of [-0.45, 0.45]) {
    context.lineTo(x - size * Math.cos(angle + turn), y - size * Math.sin(angle + turn));
  }
  context.fill();
}

function drawNewEdge(context, places) {
  const end = Array.isArray(newEdge.to) ? newEdge.to : places[newEdge.to ?? newEdge.from];
  context.strokeStyle = css(colours.accent);
  context.lineWidth = 2;
  context.setLineDash([5, 5]);
  context.beginPath();
  context.moveTo(...places[newEdge.from]);
  context.lineTo(...end);
  context.stroke();
  context.setLineDash([]);
}

// A node is filled with its state where a round is played: white is zero.
function drawNode(context, x, y, i, radius, states) {
  const chosen = i === state.node, end = i === newEdge.to || i === newEdge.from;
  const fill = states ? signed(states[i], colours.panel) : chosen ? colours.accent : colours.panel;
  context.beginPath();
  context.arc(x, y, radius + (chosen ? 1.5 : 0), 0, 2 * Math.PI);
  context.fillStyle = css(fill);
  context.fill();
  context.lineWidth = chosen || end ? 2.5 : 1.4;
  context.strokeStyle = css(chosen || end ? colours.accent : colours.node);
  context.stroke();
  if (radius < 8) return;
  const light = fill.reduce((sum, value) => sum + value, 0) > 380;
  context.fillStyle = light ? "#1d2126" : "#ffffff";
  context.font = `600 ${Math.round(radius * 0.85)}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(i, x, y + 0.5);
}

// Weights on edges -----------------------------------------------------------------------------

let strengthsKnown = { at: -1 };

// [n * n], row the target: the mean weight of each block over the largest; the sign is its own.
function edgeStrengths() {
  const map = trainer.yours.rounds[state.round];
  if (strengthsKnown.at === trainer.steps && strengthsKnown.map === map) return strengthsKnown.values;
  const { n } = state.graph, sums = new Float64Array(n * n), counts = new Float64Array(n * n);
  const sourceOf = nodesOf(map.inSizes), targetOf = nodesOf(map.outSizes);
  for (let c = 0; c < map.outChannels; c++) {
    for (let e = map.rows[c]; e < map.rows[c + 1]; e++) {
      const block = targetOf[c] * n + sourceOf[map.columns[e]];
      sums[block] += map.weight.value[e];
      counts[block] += 1;
    }
  }
  let largest = 1e-12;
  for (let b = 0; b < sums.length; b++) {
    if (counts[b]) sums[b] /= counts[b];
    if (b % (n + 1)) largest = Math.max(largest, Math.abs(sums[b]));
  }
  for (let b = 0; b < sums.length; b++) sums[b] /= largest;
  strengthsKnown = { at: trainer.steps, map, values: sums };
  return sums;
}

const nodesOf = (sizes) => sizes.flatMap((size, i) => new Array(size).fill(i));
