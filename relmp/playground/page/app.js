// What the page holds, how its parts hear of a change, and one loop that paints.

const data = JSON.parse(document.getElementById("data").textContent);
const MAX_NODES = data.max_nodes;
const RATES = [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1];
const SCALES = [0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5];
const DEFAULTS = {
  source: { name: "ws_flex", n: 16, k: 4, p: 0, seed: 1 },
  task: "circles", width: 32, rate: 0.01, scale: 1, seed: 1, node: 0,
};

const at = (id) => document.getElementById(id);
const state = { ...DEFAULTS, graph: null, places: [], moved: false, round: 0 };

function make(tag, attributes = {}, parent = null, text = undefined) {
  const space = ["circle", "rect", "line", "text", "path", "g"].includes(tag);
  const element = space
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  if (parent) parent.append(element);
  return element;
}

// Changes --------------------------------------------------------------------------------------

const listeners = {};
const on = (change, listener) => (listeners[change] ??= []).push(listener);
const emit = (change) => (listeners[change] ?? []).forEach((listener) => listener());

// Take a graph over. `places` are kept where the nodes stay who they are.
function setGraph(source, graph, places = null) {
  state.source = source;
  state.graph = graph;
  state.moved = places !== null && state.moved;
  state.places = places ?? arrange(source, graph);
  state.node = Math.min(state.node, graph.n - 1);
  notify("");
  emit("graph");
}

function generate(source) {
  try {
    setGraph(source, graphOf(source));
  } catch (problem) {
    if (!(problem instanceof RangeError)) throw problem;
    notify(problem.message);
  }
}

function graphOf(source) {
  const preset = data.presets.find(({ key }) => key === source.name);
  return preset ? new RelationalGraph(preset.n, preset.edges) : GENERATORS[source.name](source);
}

function presetSource(preset) {
  return { name: preset.key, title: preset.title, n: preset.n, python: preset.python, note: preset.note };
}

// Speaking -------------------------------------------------------------------------------------

// A problem, or what was ignored; an empty text takes the last one away.
function notify(text) {
  at("notice").textContent = text;
  at("notice").hidden = !text;
}

// For those who listen to the page instead of looking at it.
const say = (text) => (at("said").textContent = text);

// Painting -------------------------------------------------------------------------------------

const painters = {};
const dirty = new Set();
const running = new Set(); // called every frame, before anything is painted
const pace = { last: 0, interval: 16 }; // milliseconds from frame to frame, smoothed
let scheduled = false;

function repaint(...names) {
  names.forEach((name) => dirty.add(name));
  if (!scheduled) requestAnimationFrame(frame);
  scheduled = true;
}

function frame(now) {
  scheduled = false;
  pace.interval += 0.2 * (Math.min(now - pace.last, 100) - pace.interval);
  pace.last = now;
  // First of all the networks fit the graph again: everything else looks at both.
  if (dirty.delete("networks")) painters.networks(now);
  for (const advance of [...running]) advance(now);
  const names = [...dirty];
  dirty.clear();
  for (const name of names) painters[name](now);
  if (running.size) repaint();
}

// Where frames grow long, work is dealt out in smaller slices.
const slow = () => pace.interval > 24;

const calm = () => window.matchMedia("(prefers-reduced-motion: reduce)").matches;

// A canvas as sharp as the screen: its context, scaled to CSS pixels, and its size.
function sharpContext(canvas) {
  const ratio = Math.min(window.devicePixelRatio || 1, 2);
  const width = canvas.clientWidth, height = canvas.clientHeight;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}
