// Drawing a graph by hand: with a pointer or a finger, and with keys.

let tool = "move";
let grabbed = null;

function startEditor() {
  const canvas = at("drawing");
  canvas.addEventListener("pointerdown", grab);
  canvas.addEventListener("pointermove", drag);
  canvas.addEventListener("pointerup", release);
  // A finger on a node moves it, anywhere else it scrolls the page.
  canvas.addEventListener("touchstart", (event) => {
    const { clientX, clientY } = event.touches[0];
    if (nodeAt({ clientX, clientY, pointerType: "touch" }) !== null) event.preventDefault();
  }, { passive: false });
  canvas.addEventListener("pointercancel", letGo);
  canvas.addEventListener("dblclick", (event) => {
    if (nodeAt(event) === null) addNode(placeOf(event));
  });
  canvas.addEventListener("keydown", pressed);
  canvas.addEventListener("blur", letGo);
  for (const input of document.querySelectorAll("input[name=tool]")) {
    input.addEventListener("change", () => {
      tool = input.value;
      canvas.dataset.tool = tool;
      at("one-way-label").hidden = tool !== "connect";
    });
  }
  at("add-node").addEventListener("click", () => addNode());
  at("remove-node").addEventListener("click", removeNode);
  at("arrange").addEventListener("click", () => {
    state.places = onRing() ? springPlaces(state.graph) : ringPlaces(state.graph.n);
    state.moved = true;
    emit("places");
  });
  on("graph", () => {
    endEdge(null);
    at("add-node").disabled = state.graph.n >= MAX_NODES;
    at("remove-node").disabled = state.graph.n <= 1;
    repaint("drawing");
  });
  for (const change of ["places", "node", "theme", "network"]) on(change, () => repaint("drawing"));
  on("trained", () => { if (isEvaluated() || !trainer.running) repaint("drawing"); });
}

function onRing() {
  const ring = ringPlaces(state.graph.n);
  return state.places.every(([x, y], i) => x === ring[i][0] && y === ring[i][1]);
}

// Changes --------------------------------------------------------------------------------------

// The other direction follows unless edges are drawn one way.
function toggleEdge(source, target) {
  if (source === target) return say(`Node ${source} always hears itself.`);
  const graph = state.graph.copy(), there = !graph.hears(target, source);
  const oneWay = at("one-way").checked && tool === "connect";
  graph.set(source, target, there);
  if (!oneWay) graph.set(target, source, there);
  setGraph({ name: "edited" }, graph, state.places);
  say(`Edge from ${source} to ${target} ${there ? "added" : "removed"}.`);
}

function addNode(place = null) {
  const { n } = state.graph;
  if (n >= MAX_NODES) return notify(`This page draws at most ${MAX_NODES} nodes; relmp itself has no such limit.`);
  const places = !place && onRing() ? ringPlaces(n + 1) : [...state.places, place ?? [0.5, 0.5]];
  setGraph({ name: "edited" }, state.graph.withNode(), places);
  choose(n);
  say(`Node ${n} added; it hears only itself.`);
}

function removeNode() {
  const { n } = state.graph, node = state.node;
  if (n <= 1) return notify("A relational graph has at least one node.");
  const places = state.places.filter((_, i) => i !== node);
  setGraph({ name: "edited" }, state.graph.withoutNode(node), places);
  say(`Node ${node} removed; higher numbers moved down by one.`);
}

function choose(node) {
  state.node = node;
  emit("node");
}

function describeNode(node) {
  const others = state.graph.heardBy(node).filter((j) => j !== node);
  if (!others.length) return `Node ${node} hears only itself.`;
  return `Node ${node} hears itself and ${others.length} ${others.length === 1 ? "other" : "others"}: ${others.join(", ")}.`;
}

// Pointer --------------------------------------------------------------------------------------

function placeOf(event) {
  const box = at("drawing").getBoundingClientRect();
  const { left, top, side } = drawingSquare(box.width, box.height);
  const inside = (value) => Math.min(1, Math.max(0, value / side));
  return [inside(event.clientX - box.left - left), inside(event.clientY - box.top - top)];
}

function nodeAt(event) {
  const box = at("drawing").getBoundingClientRect();
  const reach = nodeRadius(state.graph.n) + (event.pointerType === "touch" ? 14 : 6);
  let found = null, least = reach;
  state.places.forEach((_, i) => {
    const [x, y] = drawingPlace(i, box.width, box.height);
    const distance = Math.hypot(event.clientX - box.left - x, event.clientY - box.top - y);
    if (distance < least) [found, least] = [i, distance];
  });
  return found;
}

function grab(event) {
  const node = nodeAt(event);
  if (node === null || event.button !== 0 || !event.isPrimary) return;
  at("drawing").setPointerCapture(event.pointerId);
  choose(node);
  if (tool === "connect") newEdge.from = node;
  else grabbed = node;
}

function drag(event) {
  if (grabbed !== null) {
    state.places[grabbed] = placeOf(event);
    state.moved = true;
    emit("places");
  } else if (newEdge.from !== null) {
    const box = at("drawing").getBoundingClientRect();
    newEdge.to = nodeAt(event) ?? [event.clientX - box.left, event.clientY - box.top];
    repaint("drawing");
  }
}

function release(event) {
  grabbed = null;
  if (newEdge.from !== null) endEdge(nodeAt(event));
}

function letGo() {
  grabbed = null;
  endEdge(null);
}

function endEdge(target) {
  const source = newEdge.from;
  Object.assign(newEdge, { from: null, to: null });
  if (source !== null && target !== null && source !== target) toggleEdge(source, target);
  repaint("drawing");
}

// Keys -----------------------------------------------------------------------------------------

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const { n } = state.graph, arrow = ARROWS[event.key];
  if (arrow && event.shiftKey) moveNode(arrow);
  else if (arrow) {
    const step = arrow[0] + arrow[1];
    if (newEdge.from === null) {
      choose((state.node + step + n) % n);
      say(describeNode(state.node));
    } else {
      newEdge.to = ((Number.isInteger(newEdge.to) ? newEdge.to : newEdge.from) + step + n) % n;
      say(`To node ${newEdge.to}; Enter ${state.graph.hears(newEdge.to, newEdge.from) ? "removes" : "adds"} the edge.`);
      repaint("drawing");
    }
  } else if (event.key === "Enter" && newEdge.from === null) {
    newEdge.from = state.node;
    say(`An edge from node ${state.node}: arrows choose the other end.`);
    repaint("drawing");
  } else if (event.key === "Enter") endEdge(Number.isInteger(newEdge.to) ? newEdge.to : null);
  else if (event.key === "Escape") {
    if (newEdge.from !== null) say("No edge was changed.");
    endEdge(null);
  }
  else if (event.key === "Delete" || event.key === "Backspace") removeNode();
  else if (event.key === "+") addNode();
  else return;
  event.preventDefault();
}

function moveNode([dx, dy]) {
  const clamp = (value) => Math.min(1, Math.max(0, value));
  const [x, y] = state.places[state.node];
  state.places[state.node] = [clamp(x + 0.03 * dx), clamp(y + 0.03 * dy)];
  state.moved = true;
  emit("places");
}
