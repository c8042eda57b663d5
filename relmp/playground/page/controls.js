// Presets, sliders, explanations and buttons for copying.

const READY = [
  { key: "ring", title: "Ring", make: (n, k) => ({ name: "ws_flex", n, k, p: 0, seed: 1 }) },
  { key: "small-world", title: "Small world", make: (n, k) => ({ name: "ws_flex", n, k, p: 0.15, seed: 1 }) },
  { key: "random", title: "Random", make: (n, k) => ({ name: "ws_flex", n, k, p: 1, seed: 1 }) },
  { key: "complete", title: "Complete", make: (n) => ({ name: "complete", n }) },
  { key: "star", title: "Star", make: (n) => ({ name: "star", n }) },
  { key: "empty", title: "No edges", make: () => ({ name: "edited" }) },
];

function startControls() {
  for (const ready of READY) addPreset(ready.key, ready.title, () => {
    const n = state.source.n ?? state.graph.n, k = Math.min(state.source.k ?? 4, n);
    if (ready.key === "empty") setGraph(ready.make(), new RelationalGraph(state.graph.n), ringPlaces(state.graph.n));
    else generate(ready.make(n >= 3 ? n : 3, k));
  });
  for (const preset of data.presets) addPreset(preset.key, preset.title, () => generate(presetSource(preset)));
  for (const [key, { title }] of Object.entries(TASKS)) {
    const button = make("button", { type: "button", id: `task-${key}` }, at("tasks"), title);
    button.addEventListener("click", () => {
      state.task = key;
      player.point = null;
      emit("settings");
    });
  }
  generatorSlider("n", (n) => ({ n, k: Math.min(state.source.k ?? 4, n) }));
  generatorSlider("k", (k) => ({ k }));
  generatorSlider("p", (p) => ({ p }));
  generatorSlider("graph-seed", (seed) => ({ seed }));
  settingSlider("rate", (place) => ({ rate: RATES[place] }), "rate");
  settingSlider("scale", (place) => ({ scale: SCALES[place] }));
  settingSlider("seed", (seed) => ({ seed }));
  settingSlider("width", (width) => ({ width }));
  for (const button of document.querySelectorAll("button.explain")) startExplanation(button);
  copies("copy-python", () => pythonLines(state.source, state.graph));
  copies("copy-link", () => `${location.href.split("#")[0]}${writeLink(state)}`);
  at("copy-link").addEventListener("click", () => {
    if (location.protocol === "file:") notify("This link leads to the file on this computer. From # on, it works in every copy of the page.");
  });
  for (const change of ["graph", "settings"]) on(change, showControls);
}

function addPreset(key, title, choosePreset) {
  make("button", { type: "button", id: `preset-${key}` }, at("presets"), title).addEventListener("click", choosePreset);
}

// The number in a control, within its bounds; null where there is none.
function numberIn(input) {
  if (input.value.trim() === "" || !Number.isFinite(Number(input.value))) return null;
  const value = Math.min(Number(input.max), Math.max(Number(input.min), Number(input.value)));
  return input.type === "number" ? Math.round(value) : value;
}

// A slider moves the generator at hand; the star and the complete graph have n only.
function generatorSlider(id, changed) {
  at(id).addEventListener("input", () => {
    const value = numberIn(at(id));
    if (value === null) return undefined;
    const { source } = state;
    const plain = source.name === "star" || source.name === "complete";
    if (plain && id === "n") return generate({ name: source.name, n: value });
    const before = source.name === "ws_flex" ? source : { n: Math.max(state.graph.n, 3), k: Math.min(4, state.graph.n), p: 0, seed: 1 };
    return generate({ ...before, name: "ws_flex", ...changed(value) });
  });
}

function settingSlider(id, changed, change = "settings") {
  at(id).addEventListener("input", () => {
    const value = numberIn(at(id));
    if (value === null) return;
    Object.assign(state, changed(value));
    if (change === "rate") { // the run goes on at another rate
      showControls();
      emit("link");
    } else emit(change);
  });
}

function showControls() {
  const { source, graph } = state, flexible = source.name === "ws_flex";
  const set = (id, value, text) => {
    if (document.activeElement !== at(id) || at(id).type !== "number") at(id).value = value;
    const output = at(`${id}-value`);
    if (output) output.textContent = text ?? value;
    if (output) at(id).setAttribute("aria-valuetext", text ?? value);
  };
  at("n").max = MAX_NODES;
  at("k").max = graph.n;
  set("n", graph.n);
  set("k", flexible ? source.k : graph.measures.degree, round2(flexible ? source.k : graph.measures.degree));
  set("p", flexible ? source.p : 0, flexible ? round2(source.p) : "–");
  set("graph-seed", flexible ? source.seed : 1);
  for (const id of ["k", "p", "graph-seed"]) at(id).closest("label").classList.toggle("off", !flexible);
  set("rate", RATES.indexOf(state.rate), state.rate);
  set("scale", SCALES.indexOf(state.scale), state.scale);
  set("seed", state.seed);
  at("width").min = Math.ceil(Math.max(8, graph.n) / 4) * 4;
  set("width", baselineWidth());
  at("graph-note").textContent = source.note ?? "";
  at("graph-note").hidden = !source.note;
  at("python").textContent = pythonLines(source, graph);
  const pressed = pressedPreset();
  for (const button of at("presets").children) button.setAttribute("aria-pressed", String(button.id === `preset-${pressed}`));
  for (const button of at("tasks").children) button.setAttribute("aria-pressed", String(button.id === `task-${state.task}`));
}

function pressedPreset() {
  const { source } = state;
  if (source.name !== "ws_flex") return source.name;
  return source.p === 0 ? "ring" : source.p === 1 ? "random" : source.p <= 0.3 ? "small-world" : "";
}

function startExplanation(button) {
  const text = button.closest(".panel").querySelector(".explanation");
  text.id = `${button.closest(".panel").id}-explanation`;
  button.setAttribute("aria-controls", text.id);
  button.setAttribute("aria-expanded", "false");
  button.addEventListener("click", () => {
    text.hidden = !text.hidden;
    button.setAttribute("aria-expanded", String(!text.hidden));
    if (!text.hidden) say(text.textContent);
  });
}

// Copying --------------------------------------------------------------------------------------

function copies(id, textOf) {
  const button = at(id), name = button.textContent;
  button.addEventListener("click", async () => {
    const copied = await copyText(textOf());
    button.textContent = copied ? "Copied" : "Not copied";
    say(copied ? "Copied." : "This browser does not let the page copy.");
    setTimeout(() => { button.textContent = name; }, 1500);
  });
}

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Older browsers, and pages that were opened from a file.
    const area = make("textarea", { readonly: "" }, document.body);
    area.value = text;
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    return copied;
  }
}
