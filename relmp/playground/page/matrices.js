// The adjacency matrix, which can be edited cell by cell, and the weights in their blocks.

const WEIGHTS_EVERY = 200; // milliseconds between pictures of the weights

const cell = { row: 0, column: 1 };
let weightsPainted = 0;

function startMatrices() {
  const canvas = at("adjacency");
  painters.adjacency = paintAdjacency;
  painters.weights = paintWeights;
  canvas.addEventListener("click", (event) => {
    const box = canvas.getBoundingClientRect(), { n } = state.graph;
    const index = (value) => Math.min(n - 1, Math.max(0, Math.floor(value * n)));
    cell.row = index((event.clientY - box.top) / box.height);
    cell.column = index((event.clientX - box.left) / box.width);
    toggleEdge(cell.column, cell.row);
  });
  canvas.addEventListener("keydown", pressedInMatrix);
  for (const change of ["focus", "blur"]) canvas.addEventListener(change, () => repaint("adjacency"));
  for (const change of ["graph", "node", "theme", "size"]) on(change, () => repaint("adjacency"));
  for (const change of ["network", "round", "theme", "size", "running"]) on(change, () => {
    weightsPainted = 0;
    repaint("weights");
  });
  on("trained", () => {
    if (!trainer.running) weightsPainted = 0; // a single step is shown at once
    repaint("weights");
  });
}

function pressedInMatrix(event) {
  const { n } = state.graph, arrow = ARROWS[event.key];
  if (arrow) {
    cell.column = Math.min(n - 1, Math.max(0, cell.column + arrow[0]));
    cell.row = Math.min(n - 1, Math.max(0, cell.row + arrow[1]));
    const there = state.graph.hears(cell.row, cell.column);
    say(`Node ${cell.row} ${there ? "hears" : "does not hear"} node ${cell.column}.`);
    repaint("adjacency");
  } else if (event.key === "Enter" || event.key === " ") toggleEdge(cell.column, cell.row);
  else return;
  event.preventDefault();
}

function paintAdjacency() {
  const canvas = at("adjacency"), { graph } = state, { n } = graph;
  const { context, width, height } = sharpContext(canvas);
  cell.row = Math.min(cell.row, n - 1);
  cell.column = Math.min(cell.column, n - 1);
  const side = width / n, gap = side > 6 ? 1 : 0;
  context.fillStyle = css(colours.empty);
  context.fillRect(0, 0, width, height);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      if (!graph.hears(i, j)) continue;
      context.fillStyle = css(i === j ? colours.faint : i === state.node ? colours.accent : colours.edge);
      context.fillRect(j * side, i * side, side - gap, side - gap);
    }
  }
  if (document.activeElement === canvas) {
    context.strokeStyle = css(colours.accent);
    context.lineWidth = 2;
    context.strokeRect(cell.column * side, cell.row * side, Math.max(side, 3), Math.max(side, 3));
  }
  at("adjacency-size").textContent = `${n} × ${n}`;
}

const weightPicture = document.createElement("canvas");

function paintWeights(now) {
  if (now - weightsPainted < WEIGHTS_EVERY) return;
  weightsPainted = now;
  const map = trainer.yours.rounds[state.round], { rows, columns } = map, weight = map.weight.value;
  const high = map.outChannels, wide = map.inChannels;
  Object.assign(weightPicture, { width: wide, height: high });
  const picture = weightPicture.getContext("2d"), image = picture.createImageData(wide, high);
  for (let p = 0; p < high * wide; p++) image.data.set([...colours.empty, 255], 4 * p);
  let square = 0;
  for (const value of weight) square += value * value;
  const full = 2.2 * Math.sqrt(square / Math.max(weight.length, 1)) || 1;
  for (let c = 0; c < high; c++) {
    for (let e = rows[c]; e < rows[c + 1]; e++) {
      image.data.set(signed(weight[e] / full, colours.panel), 4 * (c * wide + columns[e]));
    }
  }
  picture.putImageData(image, 0, 0);
  const { context, width, height } = sharpContext(at("weights"));
  context.imageSmoothingEnabled = false;
  context.drawImage(weightPicture, 0, 0, width, height);
  drawBlocks(context, width, height, map);
  at("weights-round").textContent = state.round + 1;
  at("weights-size").textContent = `${high} × ${wide}`;
  at("weights").setAttribute("aria-label", `Weights of round ${state.round + 1}: ${high} by ${wide} channels, ${weight.length} weights in ${state.graph.measures.numEdges} blocks`);
}

// Lines between the nodes, where blocks are large enough to show.
function drawBlocks(context, width, height, map) {
  if (width / state.graph.n < 5) return;
  context.strokeStyle = css(colours.panel);
  context.lineWidth = 1;
  context.beginPath();
  for (const start of startsOf(map.outSizes).slice(1)) {
    const y = Math.round((start / map.outChannels) * height) + 0.5;
    context.moveTo(0, y);
    context.lineTo(width, y);
  }
  for (const start of startsOf(map.inSizes).slice(1)) {
    const x = Math.round((start / map.inChannels) * width) + 0.5;
    context.moveTo(x, 0);
    context.lineTo(x, height);
  }
  context.stroke();
}
