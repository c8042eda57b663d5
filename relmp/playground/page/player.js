// One round, step by step: states, messages, aggregation, update.

const TRAVEL = 1100; // milliseconds that messages take
const READING = 2200; // milliseconds between steps of "Play"
const STOP = 0.62; // where on its edge a message can be read

const player = { phase: -1, began: 0, point: null, playing: null };

const chosenPoint = () => {
  const { points, count } = trainer.points;
  return player.point ?? [points[0], points[count]];
};

// What happens at the chosen node in the chosen round, for the chosen point.
function playRound() {
  const network = trainer.yours, map = network.rounds[state.round], node = state.node;
  network.forward(Float64Array.from(chosenPoint()), 1);
  const states = network.states[state.round], inStarts = startsOf(map.inSizes);
  const first = startsOf(map.outSizes)[node], channels = map.outSizes[node];
  const sources = state.graph.heardBy(node);
  const messages = sources.map(() => new Array(channels).fill(0));
  for (let c = 0; c < channels; c++) {
    let e = map.rows[first + c];
    sources.forEach((j, s) => {
      for (let d = 0; d < map.inSizes[j]; d++, e++) messages[s][c] += map.weight.value[e] * states[map.columns[e]];
    });
  }
  const bias = Array.from(map.bias.value.subarray(first, first + channels));
  const sum = bias.map((value, c) => messages.reduce((total, message) => total + message[c], value));
  return {
    node, sources, messages, bias, sum,
    states: sources.map((j) => Array.from(states.subarray(inStarts[j], inStarts[j] + map.inSizes[j]))),
    update: sum.map((value) => Math.max(value, 0)),
  };
}

// For the drawing: every node's mean state, the largest being 1; null where no round is played.
function roundStates() {
  if (player.phase < 0) return null;
  const network = trainer.yours, layer = state.round + (player.phase === 3 ? 1 : 0);
  network.forward(Float64Array.from(chosenPoint()), 1);
  const sizes = layer ? network.rounds[layer - 1].outSizes : network.rounds[0].inSizes;
  const starts = startsOf(sizes), states = network.states[layer];
  const means = sizes.map((size, i) => {
    let sum = 0;
    for (let c = 0; c < size; c++) sum += states[starts[i] + c];
    return sum / size;
  });
  const largest = Math.max(...means, 1e-12);
  return means.map((mean) => mean / largest);
}

// Messages on their way ------------------------------------------------------------------------

function drawMessages(context, places, now, labels) {
  if (player.phase !== 1 && player.phase !== 2) return;
  const passed = calm() ? 1 : Math.min((now - player.began) / TRAVEL, 1);
  const eased = passed < 0.5 ? 2 * passed ** 2 : 1 - 2 * (1 - passed) ** 2;
  const along = player.phase === 1 ? STOP * eased : STOP + (1 - STOP) * eased;
  if (passed < 1) repaint("drawing");
  if (player.phase === 2 && passed === 1) return;
  const { sources, messages } = player.shown;
  const size = (message) => Math.hypot(...message);
  const largest = Math.max(...messages.map(size), 1e-12);
  if (!labels) drawOtherMessages(context, places, along);
  const reach = nodeRadius(state.graph.n) + 2;
  const taken = labels ? places.map(([x, y]) => [x - reach, x + reach, y - reach, y + reach]) : [];
  const bySize = [...sources.keys()].sort((a, b) => size(messages[b]) - size(messages[a]));
  for (const s of bySize) {
    const j = sources[s];
    const [x, y] = messagePlace(places, j, state.node, along), message = messages[s];
    const colour = silent(message) ? colours.faint : message[0] < 0 ? colours.negative : colours.positive;
    if (!labels) {
      context.beginPath();
      context.arc(x, y, 3 + 4 * (size(message) / largest), 0, 2 * Math.PI);
      context.fillStyle = css(colour);
      context.fill();
    } else if (player.phase === 1 && !(silent(message) && sources.length > 10)) drawNumber(context, x, y, message, colour, taken);
  }
}

// Everybody speaks at once: the messages to the other nodes, without numbers.
function drawOtherMessages(context, places, along) {
  const edges = state.graph.edges();
  if (edges.length > 1500) return;
  context.fillStyle = css(colours.soft, 0.55);
  for (const [source, target] of edges) {
    if (target === state.node) continue;
    const [x, y] = messagePlace(places, source, target, along);
    context.fillRect(x - 1.5, y - 1.5, 3, 3);
  }
}

// What a node says to itself goes out and comes back.
function messagePlace(places, source, target, along) {
  const [x, y] = places[target];
  if (source !== target) return [places[source][0] + (x - places[source][0]) * along, places[source][1] + (y - places[source][1]) * along];
  const reach = nodeRadius(state.graph.n) + 11, fade = along > STOP ? (1 - along) / (1 - STOP) : 1;
  return [x + reach * fade, y - reach * fade * 0.4];
}

// A number stands where it covers neither a node nor a larger message's, or not at all.
function drawNumber(context, x, y, message, colour, taken) {
  const more = message.length > 2 ? " …" : "";
  const text = silent(message) ? "0" : message.slice(0, 2).map(short).join("  ") + more;
  context.font = "600 11px system-ui, sans-serif";
  context.textAlign = "left";
  context.textBaseline = "middle";
  const width = context.measureText(text).width;
  const places = [[x + 10, y], [x - 10 - width, y], [x - width / 2, y - 16], [x - width / 2, y + 16]];
  const free = ([left, middle]) =>
    left > 3 && left + width + 3 < context.canvas.clientWidth && middle > 9 &&
    !taken.some(([l, r, t, b]) => left - 3 < r && left + width + 3 > l && middle - 8 < b && middle + 8 > t);
  const place = places.find(free);
  if (!place) return;
  const [left, middle] = place;
  taken.push([left - 3, left + width + 3, middle - 8, middle + 8]);
  context.fillStyle = css(colours.panel, 0.88);
  context.fillRect(left - 3, middle - 8, width + 6, 16);
  context.fillStyle = css(mix(colour, colours.ink, 0.25));
  context.fillText(text, left, middle);
}

const short = (value) => {
  const digits = Math.abs(value).toFixed(2);
  return value < 0 && digits !== "0.00" ? `−${digits}` : digits;
};
const silent = (message) => message.every((value) => Math.abs(value) < 0.005);

// Steps and words ------------------------------------------------------------------------------

function showPhase(phase) {
  player.phase = phase;
  player.began = performance.now();
  refreshRound();
  emit("phase");
}

function refreshRound() {
  if (trainer.graph !== state.graph) return; // the networks follow with the next frame
  player.shown = playRound();
  const { phase } = player;
  [...at("phases").children].forEach((item, p) => {
    item.className = p === phase ? "now" : p < phase ? "done" : "";
  });
  at("round-step").textContent = phase < 0 ? "Begin" : phase < 3 ? "Next" : state.round < ROUNDS - 1 ? "Next round" : "End";
  at("round-text").textContent = phraseOf(phase, player.shown);
  fillRoundTable(phase, player.shown);
  at("round-node").value = String(state.node);
  at("round-number").value = String(state.round + 1);
  repaint("drawing", "surface-yours");
}

function phraseOf(phase, { node, sources, sum, update, bias }) {
  const point = `(${chosenPoint().map(short).join(", ")})`, vector = (values) => (silent(values) ? "0 in every channel" : `(${listed(values)})`);
  const hears = sources.length === 1 ? "only itself" : `${sources.length} nodes, itself included`;
  switch (phase) {
    case 0: return `A point ${point} is in the network. Each node holds a few numbers, its channels; node ${node} will hear ${hears}.`;
    case 1: return `All nodes speak at once. Each message to node ${node} is the speaker’s state times the weights of the edge, and has a number for each of its ${bias.length} channels.`;
    case 2: return `Node ${node} adds up what it hears, and its bias: ${vector(sum)}.`;
    case 3: return `The update, ReLU, keeps what is positive: the new state of node ${node} is ${vector(update)}.`;
    default: return `Follow node ${node}: it hears ${hears}. A click on your decision surface chooses the point that goes in.`;
  }
}

const brief = (values) => (silent(values) ? "0" : listed(values));
const listed = (values) => values.slice(0, 3).map(short).join(", ") + (values.length > 3 ? " …" : "");

function fillRoundTable(phase, { node, sources, states, messages, bias, sum, update }) {
  const table = at("round-table");
  table.replaceChildren();
  if (phase < 0) return;
  const head = make("tr", {}, make("thead", {}, table)), body = make("tbody", {}, table);
  for (const title of ["From", "State", `Message to ${node}`]) make("th", { scope: "col" }, head, title);
  const line = (name, state_, message, kind = "") => {
    const row = make("tr", { class: kind }, body);
    make("th", { scope: "row" }, row, name);
    make("td", {}, row, state_);
    make("td", {}, row, message);
  };
  sources.forEach((j, s) => line(j === node ? `${j} (itself)` : j, brief(states[s]), phase > 0 ? brief(messages[s]) : "·"));
  if (phase > 1) {
    line("Bias", "", brief(bias));
    line("Sum", "", brief(sum), "sum");
  }
  if (phase > 2) line("ReLU", "", brief(update), "sum");
  at("round-scroll").scrollTop = phase > 1 ? at("round-scroll").scrollHeight : 0;
}

function nextPhase() {
  if (player.phase < 3) return showPhase(player.phase + 1);
  if (state.round < ROUNDS - 1) {
    state.round += 1;
    emit("round");
    return showPhase(0);
  }
  stopPlaying();
  return showPhase(-1);
}

function stopPlaying() {
  clearInterval(player.playing);
  player.playing = null;
  at("round-play").textContent = "Play";
  at("round-play").setAttribute("aria-pressed", "false");
}

function startPlayer() {
  at("round-step").addEventListener("click", () => {
    stopPlaying();
    nextPhase();
  });
  at("round-play").addEventListener("click", () => {
    if (player.playing) return stopPlaying();
    player.playing = setInterval(nextPhase, READING);
    at("round-play").textContent = "Stop";
    at("round-play").setAttribute("aria-pressed", "true");
    return nextPhase();
  });
  at("round-node").addEventListener("change", (event) => choose(Number(event.target.value)));
  at("round-number").addEventListener("change", (event) => {
    state.round = Number(event.target.value) - 1;
    emit("round");
  });
  on("network", () => {
    const nodes = Array.from({ length: state.graph.n }, (_, i) => `<option>${i}</option>`).join("");
    if (at("round-node").length !== state.graph.n) at("round-node").innerHTML = nodes;
    refreshRound();
  });
  on("running", () => at("round-text").setAttribute("aria-live", trainer.running ? "off" : "polite"));
  for (const change of ["node", "point", "round"]) on(change, refreshRound);
  on("trained", () => { if (player.phase >= 0 && (isEvaluated() || !trainer.running)) refreshRound(); });
}
