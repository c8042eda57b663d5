// The page's state as a link, and what can be trusted of a link that somebody gave us.

const LINK_NUMBERS = {
  n: { low: 1, high: MAX_NODES, whole: true, what: "the number of nodes n" },
  k: { low: 2, high: MAX_NODES, what: "the mean degree k" },
  p: { low: 0, high: 1, what: "the rewiring p" },
  start: { low: 0, high: 9999, whole: true, what: "the graph seed" },
  width: { low: 8, high: 128, whole: true, what: "the width" },
  rate: { low: RATES[0], high: RATES.at(-1), what: "the learning rate" },
  scale: { low: SCALES[0], high: SCALES.at(-1), what: "the scale of the initial weights" },
  seed: { low: 0, high: 9999, whole: true, what: "the training seed" },
  node: { low: 0, high: MAX_NODES - 1, whole: true, what: "the chosen node" },
};
const LEAST_NODES = 3; // of a graph that is named; one that was drawn may have fewer
const LINK_TEXTS = ["graph", "edges", "at", "task"];

function writeLink(now) {
  const { source, graph } = now, link = new URLSearchParams();
  link.set("graph", source.name === "edited" ? "edges" : source.name);
  if (source.name in GENERATORS || source.name === "edited") link.set("n", graph.n);
  if (source.name === "ws_flex") {
    link.set("k", source.k);
    link.set("p", source.p);
    link.set("start", source.seed);
  }
  if (source.name === "edited") link.set("edges", packEdges(graph));
  if (now.moved || source.name === "edited") link.set("at", packPlaces(now.places));
  for (const name of ["task", "width", "rate", "scale", "seed", "node"]) {
    if (now[name] !== DEFAULTS[name]) link.set(name, now[name]);
  }
  return `#${link}`;
}

// {settings, ignored}: what a link says, within bounds, and in words what was not believed.
function readLink(hash) {
  const ignored = [], link = new URLSearchParams(hash.replace(/^#/, "")), said = Object.create(null);
  for (const [name, text] of link) {
    if (name in said) ignored.push(`a second ${quoted(name)}`);
    else if (Object.hasOwn(LINK_NUMBERS, name)) said[name] = numberOf(text, boundsOf(name, link), ignored);
    else if (LINK_TEXTS.includes(name)) said[name] = text;
    else ignored.push(`${quoted(name)}, which is unknown`);
  }
  const settings = { ...DEFAULTS };
  for (const name of ["width", "seed", "node"]) settings[name] = said[name] ?? settings[name];
  settings.rate = offered(RATES, "rate", said, ignored);
  settings.scale = offered(SCALES, "scale", said, ignored);
  if (Object.hasOwn(TASKS, said.task ?? "")) settings.task = said.task;
  else if (said.task !== undefined) ignored.push(`the task ${quoted(said.task)}, which is unknown`);
  Object.assign(settings, linkedGraph(said, ignored));
  if (settings.node >= settings.graph.n) {
    ignored.push(`the chosen node, ${settings.node}, which the graph does not have`);
    settings.node = 0;
  }
  settings.moved = false;
  if (said.at !== undefined) {
    const places = unpackPlaces(said.at, settings.graph.n);
    if (places) Object.assign(settings, { places, moved: true });
    else ignored.push("the places of the nodes, which are damaged");
  }
  settings.places ??= arrange(settings.source, settings.graph);
  return { settings, ignored };
}

function boundsOf(name, link) {
  const low = name === "n" && link.get("graph") !== "edges" ? LEAST_NODES : LINK_NUMBERS[name].low;
  return { ...LINK_NUMBERS[name], low };
}

function linkedGraph(said, ignored) {
  const name = said.graph ?? DEFAULTS.source.name;
  try {
    if (name === "edges") {
      const graph = unpackEdges(said.edges ?? "", said.n ?? 0);
      if (graph) return { source: { name: "edited" }, graph };
      ignored.push("the edges, which are damaged");
    } else if (Object.hasOwn(GENERATORS, name)) {
      const source = { name, n: said.n ?? DEFAULTS.source.n };
      if (name === "ws_flex") {
        const k = said.k ?? Math.min(DEFAULTS.source.k, source.n);
        if (k > source.n) ignored.push(`k, ${k}, is more than n; ${source.n} was taken`);
        Object.assign(source, { k: Math.min(k, source.n), p: said.p ?? 0, seed: said.start ?? 1 });
      }
      return { source, graph: graphOf(source) };
    } else {
      const preset = data.presets.find(({ key }) => key === name);
      if (preset) return { source: presetSource(preset), graph: graphOf(presetSource(preset)) };
      ignored.push(`the graph ${quoted(name)}, which this page does not have`);
    }
  } catch (problem) {
    if (!(problem instanceof RangeError)) throw problem;
    ignored.push(`the graph: ${problem.message.replace(/\.$/, "")}`);
  }
  return { source: { ...DEFAULTS.source }, graph: graphOf(DEFAULTS.source) };
}

function numberOf(text, { low, high, whole, what }, ignored) {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value) || (whole && !Number.isInteger(value))) {
    ignored.push(`${what}, which is not a ${whole ? "whole " : ""}number`);
    return undefined;
  }
  if (value >= low && value <= high) return value;
  const taken = value < low ? low : high;
  ignored.push(`${what}, ${value}, is outside what this page takes, ${low} to ${high}; ${taken} was taken`);
  return taken;
}

const quoted = (text) => `“${text.length > 20 ? `${text.slice(0, 20)}…` : text}”`;

// The place on a slider that is nearest to what a link says.
function offered(values, name, said, ignored) {
  const wanted = said[name] ?? DEFAULTS[name];
  const near = values.reduce((best, value) => (Math.abs(value - wanted) < Math.abs(best - wanted) ? value : best));
  if (near !== wanted) ignored.push(`${LINK_NUMBERS[name].what}, ${wanted}, has no place on its slider; ${near} was taken`);
  return near;
}

// Packing --------------------------------------------------------------------------------------

const toText = (bytes) =>
  btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");

function toBytes(text) {
  try {
    return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  } catch {
    return null;
  }
}

// One byte says whether the graph is directed, then one bit a pair u < v, or two: u -> v, v -> u.
function packEdges(graph) {
  const bits = [], directed = graph.isDirected;
  for (let u = 0; u < graph.n; u++) {
    for (let v = u + 1; v < graph.n; v++) {
      bits.push(graph.hears(v, u));
      if (directed) bits.push(graph.hears(u, v));
    }
  }
  const bytes = new Uint8Array(1 + Math.ceil(bits.length / 8));
  bytes[0] = directed ? 1 : 0;
  bits.forEach((bit, k) => { if (bit) bytes[1 + (k >> 3)] |= 128 >> (k & 7); });
  return toText(bytes);
}

function unpackEdges(text, n) {
  const bytes = toBytes(text);
  if (!bytes || n < 1 || bytes.length < 1 || bytes[0] > 1) return null;
  const directed = bytes[0] === 1, count = ((n * (n - 1)) / 2) * (directed ? 2 : 1);
  if (bytes.length !== 1 + Math.ceil(count / 8)) return null;
  const graph = new RelationalGraph(n);
  let k = 0;
  const bit = () => (bytes[1 + (k >> 3)] >> (7 - (k++ & 7))) & 1;
  for (let u = 0; u < n; u++) {
    for (let v = u + 1; v < n; v++) {
      const forward = bit();
      graph.set(u, v, forward);
      graph.set(v, u, directed ? bit() : forward);
    }
  }
  return graph;
}

const packPlaces = (places) => toText(Uint8Array.from(places.flat(), (v) => Math.round(v * 255)));

function unpackPlaces(text, n) {
  const bytes = toBytes(text);
  if (!bytes || bytes.length !== 2 * n) return null;
  return Array.from({ length: n }, (_, i) => [bytes[2 * i] / 255, bytes[2 * i + 1] / 255]);
}
