// What training has found: curves of the loss, the table beside them, and the runs so far.

function startResults() {
  painters.losses = paintLosses;
  painters.results = paintResults;
  for (const change of ["network", "trained", "theme", "size"]) on(change, () => repaint("losses", "results"));
  on("running", () => {
    at("train").textContent = trainer.running ? "Pause" : "Train";
    repaint("results");
  });
  on("runs", paintRuns);
}

function paintLosses() {
  const { context, width, height } = sharpContext(at("losses"));
  const left = 34, right = width - 74, top = 8, bottom = height - 20;
  const rows = trainer.history.filter(({ yours, complete }) => Number.isFinite(yours.loss + complete.loss));
  const last = Math.max(trainer.steps, 100);
  const highest = Math.max(0.8, Math.min(2, ...rows.slice(0, 1).map((row) => Math.max(row.yours.loss, row.complete.loss))));
  const x = (step) => left + ((right - left) * step) / last;
  const y = (loss) => bottom - ((bottom - top) * Math.min(loss, highest)) / highest;
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "middle";
  context.textAlign = "right";
  context.lineWidth = 1;
  for (let tick = 0; tick <= highest; tick += highest > 1 ? 0.5 : 0.2) {
    context.strokeStyle = css(colours.line);
    context.beginPath();
    context.moveTo(left, y(tick));
    context.lineTo(right, y(tick));
    context.stroke();
    context.fillStyle = css(colours.soft);
    context.fillText(tick.toFixed(1), left - 6, y(tick));
  }
  context.clearRect(right - 30, top, 30, 14); // no line through the name
  context.fillText("loss", right, top + 6);
  context.fillText(`step ${last}`, right, bottom + 12);
  for (const [name, colour, dash] of [["complete", colours.soft, [5, 3]], ["yours", colours.accent, []]]) {
    context.setLineDash(dash);
    context.strokeStyle = css(colour);
    context.lineWidth = 2;
    context.beginPath();
    const stride = Math.max(1, Math.floor(rows.length / 400));
    rows.forEach((row, r) => {
      if (r % stride === 0 || r === rows.length - 1) context.lineTo(x(row.step), y(row[name].loss));
    });
    context.stroke();
  }
  context.setLineDash([]);
  labelLosses(context, rows.at(-1), x, y);
}

// The names stand at the ends of their curves, far enough apart to be read.
function labelLosses(context, row, x, y) {
  if (!row?.step) return;
  const both = [["yours", "yours", colours.accent], ["complete", "complete", colours.soft]]
    .map(([name, text, colour]) => ({ text, colour, y: y(row[name].loss) }))
    .sort((a, b) => a.y - b.y);
  if (both[1].y - both[0].y < 13) {
    const middle = (both[0].y + both[1].y) / 2;
    both[0].y = middle - 6.5;
    both[1].y = middle + 6.5;
  }
  context.textAlign = "left";
  context.font = "600 11px system-ui, sans-serif";
  for (const each of both) {
    context.fillStyle = css(each.colour);
    context.fillText(each.text, x(row.step) + 6, each.y);
  }
}

function paintResults() {
  const last = trainer.history.at(-1), both = [trainer.yours, trainer.complete];
  at("steps").textContent = trainer.steps;
  at("yours-score").textContent = percent(last.yours.accuracy);
  at("complete-score").textContent = percent(last.complete.accuracy);
  const rows = [
    ["Width (channels)", ...both.map((network) => String(network.width))],
    ["FLOPs for one point", ...both.map((network) => network.flops.toLocaleString("en-GB"))],
    ["Loss", last.yours.loss.toFixed(3), last.complete.loss.toFixed(3)],
    ["Accuracy, training points", percent(last.yours.accuracy), percent(last.complete.accuracy)],
    ["Accuracy, new points", percent(trainer.generalised.yours), percent(trainer.generalised.complete)],
    [`Step that reached ${percent(LEARNED)}`, trainer.reached.yours ?? "–", trainer.reached.complete ?? "–"],
  ];
  const body = at("results").tBodies[0];
  while (body.rows.length < rows.length) {
    const row = make("tr", {}, body);
    make("th", { scope: "row" }, row);
    make("td", {}, row);
    make("td", {}, row);
  }
  rows.forEach((cells, r) => cells.forEach((cell, c) => {
    const place = body.rows[r].cells[c];
    if (place.textContent !== String(cell)) place.textContent = cell;
  }));
}

function paintRuns() {
  at("runs").hidden = runs.length === 0;
  const body = at("runs-table").tBodies[0];
  body.replaceChildren();
  const steps = (run, name) => run[name] ?? `not in ${run.steps}`;
  for (const run of runs) {
    const row = make("tr", {}, body);
    make("small", {}, make("td", {}, row, TASKS[run.task].title), run.graph);
    for (const cell of [run.seed, run.rate, run.scale, run.width, steps(run, "yours"), steps(run, "complete")]) {
      make("td", {}, row, cell);
    }
  }
  at("runs-text").textContent = countedRuns();
}

// Who was first, over the runs of the latest run's graph and task: others are another question.
function countedRuns() {
  const [latest] = runs, time = (run, name) => run[name] ?? Infinity;
  const alike = runs.filter((run) => run.python === latest.python && run.task === latest.task);
  if (alike.length < 2) return "";
  const count = (which) => alike.filter(which).length;
  const yours = count((run) => time(run, "yours") < time(run, "complete"));
  const complete = count((run) => time(run, "complete") < time(run, "yours"));
  const neither = count((run) => !run.yours && !run.complete);
  const together = alike.length - yours - complete - neither;
  return `${TASKS[latest.task].title}, ${latest.graph}, ${alike.length} runs. First at ${percent(LEARNED)}: your graph in ${yours}, the complete graph in ${complete}; both at once in ${together}, neither in ${neither}. One seed alone tells nothing.`;
}
