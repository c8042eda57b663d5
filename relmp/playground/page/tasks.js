// Toy data in the plane: points in the square from -1 to 1, in two classes.

const TRAIN_POINTS = 240;
const NEW_POINTS = 240;

const TASKS = {
  circles: {
    title: "Circles",
    place(label, rng) {
      const radius = label ? 0.75 + 0.06 * rng.normal() : 0.45 * Math.sqrt(rng.random());
      const angle = 2 * Math.PI * rng.random();
      return [radius * Math.cos(angle), radius * Math.sin(angle)];
    },
  },
  spiral: {
    title: "Spiral",
    place(label, rng) {
      const along = Math.sqrt(0.01 + 0.99 * rng.random());
      const angle = 4 * Math.PI * along + (label ? Math.PI : 0);
      const noise = 0.015;
      return [
        0.92 * along * Math.cos(angle) + noise * rng.normal(),
        0.92 * along * Math.sin(angle) + noise * rng.normal(),
      ];
    },
  },
  checkerboard: {
    title: "Checkerboard",
    place(label, rng) {
      const margin = 0.04;
      for (;;) {
        const x = 2 * rng.random() - 1, y = 2 * rng.random() - 1;
        const across = 2 * (x + 1), up = 2 * (y + 1); // four fields along either axis
        const field = (Math.floor(across) + Math.floor(up)) % 2;
        const near = Math.min(...[across, up].map((v) => Math.abs(v - Math.round(v))));
        if (field === label && near > margin) return [x * 0.95, y * 0.95];
      }
    },
  },
};

// {points [2][count], labels}; the classes take turns.
function samplePoints(task, count, seed) {
  const rng = new PythonRandom(seed);
  const points = new Float64Array(2 * count), labels = new Uint8Array(count);
  for (let b = 0; b < count; b++) {
    labels[b] = b % 2;
    const [x, y] = TASKS[task].place(labels[b], rng);
    points[b] = x;
    points[count + b] = y;
  }
  return { points, labels, count };
}
