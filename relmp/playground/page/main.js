// The page starts, and its link follows what happens on it.

function openLink() {
  const { settings, ignored } = readLink(location.hash);
  Object.assign(state, settings);
  if (ignored.length) notify(`Not all of this link was taken: ${ignored.join("; ")}.`);
  else notify("");
}

let writing = null;

function followLink() {
  clearTimeout(writing);
  writing = setTimeout(() => {
    try {
      history.replaceState(null, "", writeLink(state));
    } catch {
      // A page that may not rewrite its address still has the button that copies the link.
    }
  }, 250);
}

function start() {
  at("unsupported").hidden = true;
  at("page").hidden = false;
  openLink();
  startMap();
  startControls();
  startEditor();
  startMatrices();
  startSurfaces();
  startPlayer();
  startResults();
  startTrainer();
  startTheme();
  emit("graph");
  startHints();
  for (const change of ["graph", "settings", "places", "node", "link"]) on(change, followLink);
  window.addEventListener("hashchange", () => {
    if (location.hash === writeLink(state)) return;
    openLink();
    emit("graph");
    emit("settings");
  });
  new ResizeObserver(() => {
    emit("size");
    repaint("drawing");
  }).observe(document.querySelector("main"));
  document.body.dataset.ready = "true";
}

// For the console, and for those who check the page against Python.
window.relmp = {
  state, trainer, runs, PythonRandom, RelationalGraph, Network, LinearMap, GENERATORS, nodeSizes, matchedWidth,
  pythonLines, readLink, writeLink, samplePoints, evaluate, resetTraining, trainOnce, setGraph,
};
start();
