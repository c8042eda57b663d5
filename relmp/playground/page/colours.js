// The page's colours, for canvases, and the light and dark theme.

const colours = {};

function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["paper", "panel", "line", "ink", "soft", "faint", "accent", "tint", "edge", "node", "positive", "negative", "empty"]) {
    colours[name] = rgb(style.getPropertyValue(`--${name}`).trim());
  }
}

const rgb = (hex) => [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16));
const css = (colour, alpha = 1) => `rgb(${colour.map(Math.round).join(" ")} / ${alpha})`;
const mix = (from, to, share) => from.map((value, c) => value + (to[c] - value) * share);

// From `middle` at 0 to the colour of negative or positive numbers at -1 or 1.
const signed = (value, middle) =>
  mix(middle, value < 0 ? colours.negative : colours.positive, Math.min(Math.abs(value), 1));

function startTheme() {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const show = (isDark) => {
    document.documentElement.dataset.theme = isDark ? "dark" : "light";
    at("theme").setAttribute("aria-pressed", String(isDark));
    readColours();
    emit("theme");
  };
  dark.addEventListener("change", () => show(dark.matches));
  at("theme").addEventListener("click", () => show(document.documentElement.dataset.theme !== "dark"));
  show(dark.matches);
}
