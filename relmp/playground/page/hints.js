// Hints: from the open page to a learned spiral, and to the question whether it was luck.

const HINTS = [
  {
    target: "preset-small-world",
    text: () => `This ring is one layer of a network: ${state.graph.n} nodes, and who listens to whom. Press <b>Small world</b> to rewire a few edges, and watch it move on the map.`,
    done: () => state.source.name !== "ws_flex" || state.source.p > 0,
  },
  {
    target: "task-spiral",
    text: () => "The network has to tell two classes of points apart. Press <b>Spiral</b>, the hardest.",
    done: () => state.task === "spiral",
  },
  {
    target: "train",
    text: () => "Press <b>Train</b>. Your graph learns beside the complete graph, which costs the same FLOPs.",
    done: () => trainer.running || trainer.steps > 0,
  },
  {
    target: "surface-yours",
    text: () => "Training. The colours are what each network says of every place, the curves its loss. At 95 % of the points we call it learned.",
    done: () => runs.length > 0,
  },
  {
    target: "next-seed",
    text: () => `${runs[0].learned ? "Learned" : "Not learned by both"}: your graph ${reachedAt(runs[0].yours)}, the complete graph ${reachedAt(runs[0].complete)}. Is that the graph, or luck? Press <b>Next seed</b> a few times.`,
    done: () => runs.length >= 3,
  },
  {
    target: "scale",
    text: () => "Now lower or raise the <b>initial weights</b> or the <b>learning rate</b> and train again. Does the order of the two hold?",
    done: () => runs.some((run) => run.scale !== runs[0].scale || run.rate !== runs[0].rate),
  },
  {
    target: "round-step",
    text: () => "What does a layer do? Press <b>Begin</b> in “One round”, and follow its messages in the drawing.",
    block: "end", // where panels lie one below the other, the drawing stays in sight
    done: () => player.phase >= 3,
  },
];

const reachedAt = (step) => (step ? `at step ${step}` : "not yet");

const hints = { now: 0, hidden: false, shown: "" };

function startHints() {
  at("hint-show").addEventListener("click", () => {
    const { target: id, block = "center" } = HINTS[hints.now], target = at(id);
    target.scrollIntoView({ block, behavior: calm() ? "auto" : "smooth" });
    if (target.tabIndex >= 0) target.focus({ preventScroll: true });
  });
  at("hint-hide").addEventListener("click", () => {
    hints.hidden = true;
    showHint();
    at("drawing").focus({ preventScroll: true });
  });
  for (const change of ["graph", "settings", "network", "running", "trained", "runs", "phase"]) on(change, followHints);
  followHints();
  showHint();
}

function followHints() {
  if (hints.hidden || !trainer.yours) return;
  while (hints.now < HINTS.length && HINTS[hints.now].done()) hints.now += 1;
  showHint();
}

function showHint() {
  for (const marked of document.querySelectorAll(".hinted")) marked.classList.remove("hinted");
  const hint = HINTS[hints.now];
  at("hint").hidden = hints.hidden || !hint;
  if (hints.hidden || !hint) return;
  at("hint-count").textContent = `Hint ${hints.now + 1} of ${HINTS.length}`;
  const text = hint.text();
  if (text !== hints.shown) at("hint-text").innerHTML = text; // else it would be read aloud again
  hints.shown = text;
  at(hint.target).classList.add("hinted");
}
