// The paper's map: clustering C across, path length L up; a point opens its graph.

const MAP = { left: 34, right: 350, top: 10, bottom: 218, longest: 4.5 };

const mapX = (C) => MAP.left + (MAP.right - MAP.left) * C;
const mapY = (L) => MAP.bottom - ((MAP.bottom - MAP.top) * (Math.min(L, MAP.longest) - 1)) / (MAP.longest - 1);

function startMap() {
  const svg = at("map"), [cLow, cHigh] = data.spot.clustering, [lLow, lHigh] = data.spot.path_length;
  make("rect", {
    class: "spot", rx: 3, x: mapX(cLow), width: mapX(cHigh) - mapX(cLow),
    y: mapY(lHigh), height: mapY(lLow) - mapY(lHigh),
  }, svg);
  make("text", { class: "spot-name", x: mapX(cLow), y: mapY(lHigh) - 6 }, svg, "sweet spot");
  drawAxes(svg);
  const points = make("g", { role: "listbox", "aria-label": "The 52 graphs of the paper; arrows move, Enter opens" }, svg);
  data.paper.forEach((row, number) => drawPaperPoint(points, row, number));
  points.addEventListener("keydown", (event) => {
    const all = [...points.children], now = all.indexOf(document.activeElement);
    const arrow = ARROWS[event.key];
    if (event.key === "Enter" || event.key === " ") openPaperGraph(data.paper[now]);
    else if (arrow) focusPoint(all, (now + arrow[0] + arrow[1] + all.length) % all.length);
    else return;
    event.preventDefault();
  });
  make("circle", { class: "here", id: "here", r: 6.5, cx: 0, cy: 0 }, svg);
  make("text", { class: "here-name", id: "here-name", x: 0, y: 0 }, svg, "your graph");
  on("graph", showPlace);
}

function drawAxes(svg) {
  for (const C of [0, 0.25, 0.5, 0.75, 1]) {
    make("line", { class: "axis", x1: mapX(C), x2: mapX(C), y1: MAP.top, y2: MAP.bottom }, svg);
    make("text", { x: mapX(C), y: MAP.bottom + 14, "text-anchor": "middle" }, svg, String(C));
  }
  for (const L of [1, 2, 3, 4]) {
    make("line", { class: "axis", x1: MAP.left, x2: MAP.right, y1: mapY(L), y2: mapY(L) }, svg);
    make("text", { x: MAP.left - 8, y: mapY(L) + 3.5, "text-anchor": "end" }, svg, String(L));
  }
  make("text", { x: MAP.right, y: MAP.bottom + 28, "text-anchor": "end" }, svg, "clustering C →");
  make("text", { x: 0, y: 0, transform: `translate(10 ${MAP.top + 4}) rotate(-90)`, "text-anchor": "end" }, svg, "path length L →");
}

function drawPaperPoint(parent, row, number) {
  const point = make("circle", {
    class: "paper", r: 3.2, cx: mapX(row.clustering), cy: mapY(row.path_length), role: "option",
    tabindex: number ? -1 : 0,
    "aria-label": `C ${row.clustering.toFixed(2)}, L ${row.path_length.toFixed(2)}: 64 nodes, k ${row.k.toFixed(1)}, p ${row.p.toFixed(2)}`,
  }, parent);
  point.addEventListener("click", () => openPaperGraph(row));
}

function focusPoint(all, number) {
  all.forEach((point, p) => point.setAttribute("tabindex", p === number ? 0 : -1));
  all[number].focus();
}

function openPaperGraph({ k, p, seed }) {
  generate({ name: "ws_flex", n: 64, k, p, seed });
}

function showPlace() {
  const { clustering, pathLength, density } = state.graph.measures;
  const connected = Number.isFinite(pathLength);
  at("clustering").textContent = clustering.toFixed(3);
  at("path-length").textContent = connected ? pathLength.toFixed(3) : "∞";
  at("density").textContent = density.toFixed(3);
  const x = mapX(clustering), y = mapY(pathLength), right = x > 270;
  at("here").setAttribute("cx", x);
  at("here").setAttribute("cy", y);
  at("here-name").setAttribute("x", right ? x - 11 : x + 11);
  at("here-name").setAttribute("y", y + 4);
  at("here-name").setAttribute("text-anchor", right ? "end" : "start");
  at("map-note").textContent = placeInWords(clustering, pathLength);
}

function placeInWords(C, L) {
  if (!Number.isFinite(L)) return "The graph falls apart: from some node there is no way to some other, so L is infinite and the graph lies above the map.";
  if (L > MAP.longest) return `L = ${L.toFixed(1)} lies above the map.`;
  const inside = (value, [low, high]) => value >= low && value <= high;
  const spot = inside(C, data.spot.clustering) && inside(L, data.spot.path_length);
  return `${spot ? "Inside" : "Outside"} the sweet spot, where the paper’s networks of 64 nodes erred least on CIFAR-10. Grey: 52 of its graphs; a click opens one.`;
}
