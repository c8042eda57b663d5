"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const config = { responsive: true, displaylogo: false };
  const at = (id) => document.getElementById(id);
  const make = (tag, text, parent) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (parent) parent.append(element);
    return element;
  };
  const show = (value) => {
    if (value === null || value === undefined) return "";
    if (typeof value === "number") return Number.isInteger(value) ? String(value) : value.toFixed(4);
    if (typeof value === "boolean") return value ? "yes" : "no";
    return Array.isArray(value) ? value.map(show).join(", ") : String(value);
  };

  // Graphs ---------------------------------------------------------------------------------

  // [n][n] of booleans: node i (row) listens to node j (column).
  function adjacency(graph) {
    const bytes = Uint8Array.from(atob(graph.edges), (c) => c.charCodeAt(0));
    const bit = (k) => (bytes[k >> 3] >> (7 - (k & 7))) & 1;
    const n = graph.nodes;
    const rows = Array.from({ length: n }, () => new Array(n).fill(false));
    let k = 0;
    for (let i = 0; i < n; i++) {
      for (let j = graph.directed ? 0 : i + 1; j < n; j++) {
        const linked = bit(k++) === 1;
        rows[i][j] = linked;
        if (!graph.directed) rows[j][i] = linked;
      }
    }
    return rows;
  }

  function draw(rows) {
    const n = rows.length, svg = at("drawing");
    const place = (i) => [100 + 92 * Math.sin((2 * Math.PI * i) / n), 100 - 92 * Math.cos((2 * Math.PI * i) / n)];
    let lines = "", edges = 0;
    for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) if (rows[i][j] || rows[j][i]) {
      lines += `M${place(i).map((v) => v.toFixed(1))}L${place(j).map((v) => v.toFixed(1))}`;
      edges++;
    }
    svg.setAttribute("viewBox", "0 0 200 200");
    svg.dataset.edges = edges;
    const width = Math.max(0.15, Math.min(1, 150 / Math.max(edges, 1)));
    svg.innerHTML = `<path stroke-width="${width}" d="${lines}"/>` +
      rows.map((_, i) => `<circle r="2.2" cx="${place(i)[0].toFixed(1)}" cy="${place(i)[1].toFixed(1)}"/>`).join("");
  }

  function fill(rows) {
    const n = rows.length, canvas = at("matrix");
    canvas.width = canvas.height = n;
    const context = canvas.getContext("2d"), image = context.createImageData(n, n);
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) {
      const colour = i === j ? [180, 64, 46] : rows[i][j] ? [51, 96, 140] : [255, 255, 255];
      image.data.set([...colour, 255], 4 * (i * n + j));
    }
    context.putImageData(image, 0, 0);
  }

  function open(number) {
    const graph = data.graphs[number];
    at("graph").dataset.number = number;
    at("graph-name").textContent = graph.short;
    at("graph-call").hidden = graph.short === graph.name;
    at("graph-call").firstChild.textContent = graph.name;
    at("graph-call").lastChild.dataset.text = graph.name;
    at("pictures").hidden = !graph.edges;
    at("no-edges").hidden = Boolean(graph.edges);
    if (graph.edges) {
      const rows = adjacency(graph);
      draw(rows);
      fill(rows);
    }
    const table = at("measures");
    table.replaceChildren();
    const facts = {
      error: `${graph.mean.toFixed(2)} ± ${graph.deviation.toFixed(2)} (n = ${graph.n})`,
      "in the sweet spot": graph.in_spot,
      ...graph.measures,
    };
    for (const [seed, error] of Object.entries(graph.errors)) facts[`error, seed ${seed}`] = error;
    for (const [name, value] of Object.entries(facts)) {
      const row = make("tr", undefined, table);
      make("th", name.replaceAll("_", " "), row);
      make("td", show(value), row);
    }
    curves(graph.curves);
  }

  function curves(values) {
    at("curves").hidden = !values;
    if (!values) return;
    const traces = Object.keys(values).filter((name) => name !== "epoch" && values[name].some((v) => v !== null))
      .map((name) => ({ x: values.epoch, y: values[name], name, mode: "lines+markers" }));
    Plotly.react("curves", traces, {
      template: data.figures.map.layout.template, margin: { l: 50, r: 10, t: 30, b: 40 },
      xaxis: { title: { text: "epoch" } }, yaxis: { title: { text: "error" } }, legend: { orientation: "h", y: 1.2 },
    }, config);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.copy");
    if (!button) return;
    const said = (text) => { button.textContent = text; setTimeout(() => { button.textContent = "copy"; }, 1500); };
    const select = () => { // where a page has no clipboard
      const box = make("textarea", button.dataset.text, document.body);
      box.select();
      said(document.execCommand("copy") ? "copied" : button.dataset.text);
      box.remove();
    };
    if (navigator.clipboard) navigator.clipboard.writeText(button.dataset.text).then(() => said("copied"), select);
    else select();
  });

  // Figures --------------------------------------------------------------------------------

  function plot(div, figure) {
    return Plotly.newPlot(div, figure.data, figure.layout, config).then(() => {
      div.on("plotly_click", (event) => {
        const point = event.points.find((p) => typeof p.customdata === "number");
        if (point) open(point.customdata);
      });
    });
  }

  const map = data.figures.map;
  const drawn = plot(at("map"), map);
  map.data.forEach((trace, index) => {
    if (trace.type !== "heatmap") return;
    const option = make("option", trace.name, at("under"));
    option.value = String(index);
  });
  at("under").addEventListener("change", (event) => {
    map.data.forEach((trace, index) => {
      if (trace.type === "heatmap") Plotly.restyle("map", { visible: String(index) === event.target.value }, [index]);
    });
  });
  // The other figures are drawn when they come into view, or when the page is printed.
  const waiting = new Map();
  const drawWaiting = (div) => {
    if (!waiting.has(div)) return;
    plot(div, waiting.get(div));
    waiting.delete(div);
  };
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) drawWaiting(entry.target);
  }, { rootMargin: "200px" });
  for (const [name, figure] of Object.entries(data.figures)) {
    if (name === "map") continue;
    const div = make("div", undefined, at("figures"));
    div.className = "figure";
    div.id = `figure-${name}`;
    waiting.set(div, figure);
    watcher.observe(div);
  }
  addEventListener("beforeprint", () => {
    at("conclusions").open = true;
    for (const div of [...waiting.keys()]) drawWaiting(div); });

  // Tables ---------------------------------------------------------------------------------

  function sortable(title, rows, opens) {
    if (!rows.length) return;
    make("h2", title, at("tables"));
    const table = make("table", undefined, at("tables"));
    table.dataset.title = title;
    const head = make("tr", undefined, make("thead", undefined, table));
    const body = make("tbody", undefined, table);
    const columns = Object.keys(rows[0]).filter((column) => column !== "number");
    let order = rows.slice(), shown = 50;
    const more = make("button", undefined, at("tables"));
    more.className = "more";
    more.addEventListener("click", () => { shown = Infinity; render(); });
    function render() {
      body.replaceChildren();
      for (const row of order.slice(0, shown)) {
        const line = make("tr", undefined, body);
        for (const column of columns) make("td", show(row[column]), line);
        if (!opens) continue;
        line.className = "opens";
        line.tabIndex = 0;
        line.addEventListener("click", () => open(row.number));
        line.addEventListener("keydown", (event) => { if (event.key === "Enter") open(row.number); });
      }
      more.hidden = order.length <= shown;
      more.textContent = `Show all ${order.length} rows`;
    }
    for (const column of columns) {
      const cell = make("th", undefined, head);
      make("button", column.replaceAll("_", " "), cell).addEventListener("click", () => {
        const up = cell.getAttribute("aria-sort") !== "ascending";
        for (const other of head.children) other.removeAttribute("aria-sort");
        cell.setAttribute("aria-sort", up ? "ascending" : "descending");
        // Empty cells stay at the end either way.
        const empty = (v) => v === null || v === undefined;
        order.sort((a, b) => {
          const [x, y] = [a[column], b[column]];
          if (empty(x) || empty(y)) return empty(x) - empty(y);
          const way = typeof x === "string" ? x.localeCompare(y) : x - y;
          return up ? way : -way;
        });
        render();
      });
    }
    render();
  }

  const listed = data.graphs.map((graph, number) => ({
    graph: graph.short, ...graph.measures, error: graph.mean, deviation: graph.deviation, n: graph.n,
    in_spot: graph.in_spot, number,
  }));
  sortable("Graphs", listed.sort((a, b) => a.error - b.error), true);
  for (const [title, rows] of Object.entries(data.tables)) sortable(title, rows, false);

  const lowest = data.graphs.reduce((best, graph, i) => (graph.mean < data.graphs[best].mean ? i : best), 0);
  open(lowest);
  drawn.then(() => { document.body.dataset.ready = String(Math.round(performance.now())); });
})();
