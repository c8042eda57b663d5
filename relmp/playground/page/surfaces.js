// Decision surfaces: what each network says of every place in the plane, computed in slices.

const FIELDS = 48; // along either side
const CHUNK = 96; // places at a time
const SURFACE_SLICE = 4; // milliseconds of a frame for both surfaces

const surfaces = {};

function startSurfaces() {
  for (const name of ["yours", "complete"]) {
    const picture = document.createElement("canvas");
    picture.width = picture.height = FIELDS;
    surfaces[name] = { picture, margins: new Float64Array(FIELDS ** 2), next: 0, of: -1 };
    painters[`surface-${name}`] = () => paintSurface(name);
  }
  at("surface-yours").addEventListener("click", choosePoint);
  at("surface-yours").addEventListener("keydown", movePoint);
  const anew = () => {
    for (const name in surfaces) Object.assign(surfaces[name], { next: 0, of: -1 });
    running.add(surfaceSlice);
    repaint("surface-yours", "surface-complete");
  };
  for (const change of ["network", "theme", "size"]) on(change, anew);
  on("trained", () => running.add(surfaceSlice));
  on("point", () => repaint("surface-yours", "surface-complete"));
}

function surfaceSlice() {
  const end = performance.now() + (slow() ? 0.3 : 1) * SURFACE_SLICE;
  let busy = true;
  while (busy && performance.now() < end) {
    busy = false;
    for (const name in surfaces) busy = surfaceChunk(name) || busy;
  }
  if (!busy) running.delete(surfaceSlice);
}

// Whether there is more to do. A surface that is finished is shown, and begun anew if it is old.
function surfaceChunk(name) {
  const surface = surfaces[name], network = trainer[name];
  if (surface.next === 0 && surface.of === network.steps) return false;
  if (surface.next === 0) surface.begun = network.steps;
  const points = new Float64Array(2 * CHUNK);
  for (let b = 0; b < CHUNK; b++) {
    const field = surface.next + b;
    points[b] = (2 * ((field % FIELDS) + 0.5)) / FIELDS - 1;
    points[CHUNK + b] = 1 - (2 * (Math.floor(field / FIELDS) + 0.5)) / FIELDS;
  }
  const scores = network.forward(points, CHUNK);
  for (let b = 0; b < CHUNK; b++) surface.margins[surface.next + b] = scores[CHUNK + b] - scores[b];
  surface.next += CHUNK;
  if (surface.next === FIELDS ** 2) {
    Object.assign(surface, { next: 0, of: surface.begun });
    fillSurface(surface);
    repaint(`surface-${name}`);
    return network.steps !== surface.of;
  }
  return true;
}

function fillSurface({ picture, margins }) {
  const context = picture.getContext("2d"), image = context.createImageData(FIELDS, FIELDS);
  margins.forEach((margin, field) => {
    const share = 2 * sigmoid(margin) - 1;
    image.data.set([...signed(share * 0.62, colours.panel), 255], 4 * field);
  });
  context.putImageData(image, 0, 0);
}

function paintSurface(name) {
  const { context, width, height } = sharpContext(at(`surface-${name}`));
  context.imageSmoothingEnabled = true;
  context.drawImage(surfaces[name].picture, 0, 0, width, height);
  const { points, labels, count } = trainer.points, radius = width > 150 ? 2.4 : 1.8;
  context.lineWidth = 0.8;
  context.strokeStyle = css(colours.panel, 0.9);
  const place = (x, y) => [((x + 1) / 2) * width, ((1 - y) / 2) * height];
  for (let b = 0; b < count; b++) {
    context.beginPath();
    context.arc(...place(points[b], points[count + b]), radius, 0, 2 * Math.PI);
    context.fillStyle = css(labels[b] ? colours.positive : colours.negative);
    context.fill();
    context.stroke();
  }
  if (name === "yours" && player.phase >= 0) {
    context.beginPath();
    context.arc(...place(...chosenPoint()), 6, 0, 2 * Math.PI);
    context.lineWidth = 2.5;
    context.strokeStyle = css(colours.accent);
    context.stroke();
  }
}

// A click on your surface chooses the point whose round is played.
function choosePoint(event) {
  const box = event.currentTarget.getBoundingClientRect();
  player.point = [
    (2 * (event.clientX - box.left)) / box.width - 1,
    1 - (2 * (event.clientY - box.top)) / box.height,
  ];
  emit("point");
}

function movePoint(event) {
  const arrow = ARROWS[event.key];
  if (!arrow) return;
  event.preventDefault();
  const within = (value) => Math.min(1, Math.max(-1, value));
  const [x, y] = chosenPoint();
  player.point = [within(x + 0.05 * arrow[0]), within(y - 0.05 * arrow[1])];
  say(`Point ${player.point.map(short).join(", ")}.`);
  emit("point");
}
