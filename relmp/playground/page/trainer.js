// Training your graph beside the complete graph, a slice of work in every frame.

const BATCH = 24;
const EVALUATE_EVERY = 10; // steps; so what is found at which step depends on no clock
const NEW_POINTS_EVERY = 50;
const STEPS_A_FRAME = 2; // so that an eye can follow
const SLICE = 9; // milliseconds of a frame that training may take
const LEARNED = 0.95;
const DONE = 0.995; // of both: training pauses by itself
const LAST_STEP = 3000;

const trainer = { steps: 0 };

// The complete graph gives every node at least one channel, and so has at least n.
const baselineWidth = () => Math.max(state.width, state.graph.n);

function resetTraining() {
  if (trainer.steps) keepRun();
  const baseline = baselineWidth();
  trainer.yours = new Network(state.graph, baseline, matchedWidth(state.graph, baseline));
  trainer.complete = new Network(null, baseline, baseline);
  for (const network of [trainer.yours, trainer.complete]) network.draw(state.seed, state.scale);
  trainer.points = samplePoints(state.task, TRAIN_POINTS, state.seed);
  trainer.fresh = samplePoints(state.task, NEW_POINTS, state.seed + 10_000);
  trainer.rng = new PythonRandom(state.seed + 20_000);
  trainer.order = Array.from({ length: TRAIN_POINTS }, (_, i) => i);
  trainer.next = TRAIN_POINTS;
  trainer.graph = state.graph;
  trainer.settings = {
    graph: graphTitle(state.source, state.graph), python: pythonLines(state.source, state.graph),
    task: state.task, seed: state.seed, rate: state.rate, scale: state.scale, width: baseline,
  };
  Object.assign(trainer, {
    steps: 0, run: null, rested: false, history: [], reached: { yours: null, complete: null },
  });
  evaluateBoth();
  at("results-text").textContent = "";
  emit("network");
}

function nextBatch() {
  const { points, order } = trainer, batch = new Float64Array(2 * BATCH), labels = new Uint8Array(BATCH);
  if (trainer.next + BATCH > TRAIN_POINTS) {
    trainer.rng.shuffle(order);
    trainer.next = 0;
  }
  for (let b = 0; b < BATCH; b++) {
    const i = order[trainer.next++];
    batch[b] = points.points[i];
    batch[BATCH + b] = points.points[TRAIN_POINTS + i];
    labels[b] = points.labels[i];
  }
  return [batch, labels];
}

function trainOnce() {
  if (!trainer.steps) trainer.settings.rate = state.rate;
  else if (trainer.settings.rate !== state.rate) trainer.settings.rate = "varied";
  const [batch, labels] = nextBatch();
  trainer.yours.trainStep(batch, labels, state.rate);
  trainer.complete.trainStep(batch, labels, state.rate);
  trainer.steps += 1;
  if (isEvaluated()) evaluateBoth();
}

const isEvaluated = () => trainer.steps % EVALUATE_EVERY === 0;

function evaluateBoth() {
  const row = { step: trainer.steps };
  for (const name of ["yours", "complete"]) {
    const { points, labels } = trainer.points;
    row[name] = evaluate(trainer[name], points, labels);
    if (row[name].accuracy >= LEARNED && trainer.steps && isEvaluated()) trainer.reached[name] ??= trainer.steps;
  }
  trainer.history.push(row);
  if (trainer.steps % NEW_POINTS_EVERY === 0) evaluateNewPoints();
  const { yours, complete } = row;
  if (!Number.isFinite(yours.loss + complete.loss)) {
    pause();
    notify("The weights have grown without bound. Choose a smaller learning rate or smaller initial weights, and press Reset.");
  } else if (trainer.steps && trainer.steps % LAST_STEP === 0) {
    pause();
    keepRun();
  } else if (!trainer.rested && Math.min(yours.accuracy, complete.accuracy) >= DONE) {
    trainer.rested = true; // who presses Train again wants more
    pause();
  }
  if (learned()) keepRun();
}

function evaluateNewPoints() {
  const { points, labels } = trainer.fresh;
  trainer.generalised = {
    yours: evaluate(trainer.yours, points, labels).accuracy,
    complete: evaluate(trainer.complete, points, labels).accuracy,
  };
}

function trainSlice() {
  const end = performance.now() + SLICE;
  const steps = slow() ? 1 : STEPS_A_FRAME;
  for (let step = 0; step < steps && trainer.running; step++) {
    trainOnce();
    if (performance.now() > end) break;
  }
  emit("trained");
}

function play() {
  if (trainer.running) return;
  trainer.running = true;
  running.add(trainSlice);
  emit("running");
  say("Training.");
  repaint();
}

function pause() {
  if (!trainer.running) return;
  trainer.running = false;
  running.delete(trainSlice);
  evaluateNewPoints();
  emit("running");
  at("results-text").textContent = result();
}

// To a tenth: 227 of 240 points are not yet the 95 % that count as learned.
const percent = (share) => `${Number((100 * share).toFixed(1))} %`;

// What was found, in a sentence; differences of a few steps are not called a win.
function result() {
  const { yours, complete } = trainer.reached, last = trainer.history.at(-1);
  const now = `After ${trainer.steps} steps your graph has ${percent(last.yours.accuracy)} of the points right, the complete graph ${percent(last.complete.accuracy)}.`;
  if (!yours && !complete) return now;
  const when = (step) => (step ? `at step ${step}` : "not yet");
  return `${now} ${percent(LEARNED)} were reached ${when(yours)} by yours, ${when(complete)} by the complete graph.`;
}

// Runs -----------------------------------------------------------------------------------------

const runs = [];
const SHORTEST_RUN = 100; // steps after which a run that has not learned is listed

const learned = () => Boolean(trainer.reached.yours && trainer.reached.complete);

// A run that learned is listed at once, any other when it ends; if it goes on, its row follows.
function keepRun() {
  const { steps, reached } = trainer;
  if (trainer.run?.learned || (steps < SHORTEST_RUN && !learned())) return;
  if (!trainer.run) {
    trainer.run = { ...trainer.settings };
    runs.unshift(trainer.run);
    runs.length = Math.min(runs.length, 50);
  }
  Object.assign(trainer.run, trainer.settings, reached, { steps, learned: learned() });
  emit("runs");
}

function startTrainer() {
  at("train").addEventListener("click", () => (trainer.running ? pause() : play()));
  at("train-step").addEventListener("click", () => {
    pause();
    trainOnce();
    if (!isEvaluated()) evaluateBoth();
    evaluateNewPoints();
    emit("trained");
    at("results-text").textContent = result();
  });
  at("reset").addEventListener("click", () => {
    pause();
    resetTraining();
    say("Reset to step 0.");
  });
  at("next-seed").addEventListener("click", () => {
    state.seed = (state.seed + 1) % 10_000;
    emit("settings");
    play();
  });
  // Networks are built once a frame, however often a slider moved in it.
  painters.networks = resetTraining;
  for (const change of ["graph", "settings"]) on(change, () => {
    if (trainer.yours) repaint("networks");
    else resetTraining();
  });
}
