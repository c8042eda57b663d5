// The network: a stem, three rounds over the graph, a head; as relmp's MLP without batch norm.
// All numbers are 64-bit. States are kept channel by channel, each a row of the batch.

const ROUNDS = 3;
const INPUTS = 2;
const CLASSES = 2;

// How many channels each node holds: as even as possible, the larger ones in a fixed permutation.
function nodeSizes(n, channels) {
  const small = Math.floor(channels / n), larger = channels % n;
  return numpyPermutation(1, Array.from({ length: n }, (_, i) => small + (i < larger ? 1 : 0)));
}

function roundFlops(graph, inChannels, outChannels) {
  const heard = nodeSizes(graph.n, inChannels), told = nodeSizes(graph.n, outChannels);
  let total = 0;
  for (let i = 0; i < graph.n; i++) {
    for (let j = 0; j < graph.n; j++) if (graph.hears(i, j)) total += told[i] * heard[j];
  }
  return total;
}

// Multiply-adds of one point; graph null is the dense network, which the complete graph equals.
function networkFlops(graph, stemWidth, width) {
  const round = (a, b) => (graph ? roundFlops(graph, a, b) : a * b);
  const inner = round(stemWidth, width) + (ROUNDS - 1) * round(width, width);
  return INPUTS * stemWidth + inner + width * CLASSES;
}

// The smallest width that costs no less than the complete graph at width `baseline`.
function matchedWidth(graph, baseline) {
  const budget = networkFlops(null, baseline, baseline);
  const enough = (width) => networkFlops(graph, baseline, width) >= budget;
  let low = baseline - 1, high = baseline;
  while (!enough(high)) [low, high] = [high, high * 2];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (enough(middle)) high = middle;
    else low = middle;
  }
  return high;
}

// One linear map with bias. A round holds only the weights of its edges: row by row, and in a
// row the channels that the row's node hears, in ascending order.
class LinearMap {
  constructor(inChannels, outChannels, graph = null) {
    Object.assign(this, { inChannels, outChannels, graph });
    this.inSizes = graph ? nodeSizes(graph.n, inChannels) : [inChannels];
    this.outSizes = graph ? nodeSizes(graph.n, outChannels) : [outChannels];
    const starts = startsOf(this.inSizes), heard = [], rows = [0];
    this.outSizes.forEach((size, i) => {
      const sources = graph ? graph.heardBy(i) : [0];
      const channels = sources.flatMap((j) =>
        Array.from({ length: this.inSizes[j] }, (_, d) => starts[j] + d));
      for (let c = 0; c < size; c++) {
        for (const channel of channels) heard.push(channel);
        rows.push(heard.length);
      }
    });
    this.rows = Int32Array.from(rows);
    this.columns = Int32Array.from(heard);
    this.weight = new Parameter(heard.length);
    this.bias = new Parameter(outChannels);
  }

  // He's deviation for the channels that a row hears, times a scale; no bias at first.
  draw(rng, scale) {
    const { rows, weight } = this;
    for (let c = 0; c < this.outChannels; c++) {
      const deviation = scale * Math.sqrt(2 / Math.max(rows[c + 1] - rows[c], 1));
      for (let e = rows[c]; e < rows[c + 1]; e++) weight.value[e] = deviation * rng.normal();
    }
  }

  forward(x, out, batch) {
    const { rows, columns } = this, weight = this.weight.value, bias = this.bias.value;
    for (let c = 0; c < this.outChannels; c++) {
      const to = c * batch;
      out.fill(bias[c], to, to + batch);
      const end = rows[c + 1];
      let e = rows[c];
      for (; e + 3 < end; e += 4) { // four at a time, so that `out` is read and written less often
        const w0 = weight[e], w1 = weight[e + 1], w2 = weight[e + 2], w3 = weight[e + 3];
        const x0 = columns[e] * batch, x1 = columns[e + 1] * batch;
        const x2 = columns[e + 2] * batch, x3 = columns[e + 3] * batch;
        for (let b = 0; b < batch; b++) {
          out[to + b] += w0 * x[x0 + b] + w1 * x[x1 + b] + w2 * x[x2 + b] + w3 * x[x3 + b];
        }
      }
      for (; e < end; e++) {
        const from = columns[e] * batch, w = weight[e];
        for (let b = 0; b < batch; b++) out[to + b] += w * x[from + b];
      }
    }
  }

  // Adds to the gradients of weight and bias; writes that of the input unless it is null.
  backward(x, gradient, inputGradient, batch) {
    const { rows, columns } = this, weight = this.weight.value;
    if (inputGradient) inputGradient.fill(0, 0, this.inChannels * batch);
    for (let c = 0; c < this.outChannels; c++) {
      const to = c * batch;
      let sum = 0;
      for (let b = 0; b < batch; b++) sum += gradient[to + b];
      this.bias.gradient[c] += sum;
      for (let e = rows[c]; e < rows[c + 1]; e++) {
        const from = columns[e] * batch, w = weight[e];
        let product = 0;
        if (inputGradient) {
          for (let b = 0; b < batch; b++) {
            const g = gradient[to + b];
            product += g * x[from + b];
            inputGradient[from + b] += w * g;
          }
        } else for (let b = 0; b < batch; b++) product += gradient[to + b] * x[from + b];
        this.weight.gradient[e] += product;
      }
    }
  }
}

const startsOf = (sizes) => {
  let at = 0;
  return sizes.map((size) => (at += size) - size);
};

// Numbers that are learned, and what Adam remembers of their gradients.
class Parameter {
  constructor(size) {
    this.value = new Float64Array(size);
    this.gradient = new Float64Array(size);
    this.mean = new Float64Array(size);
    this.square = new Float64Array(size);
  }

  // One step of Adam (Kingma and Ba, 2015) with PyTorch's defaults.
  step(rate, number) {
    const { value, gradient, mean, square } = this;
    const forMean = 1 - 0.9 ** number, forSquare = Math.sqrt(1 - 0.999 ** number);
    for (let e = 0; e < value.length; e++) {
      mean[e] += 0.1 * (gradient[e] - mean[e]);
      square[e] = 0.999 * square[e] + 0.001 * gradient[e] * gradient[e];
      value[e] -= ((rate / forMean) * mean[e]) / (Math.sqrt(square[e]) / forSquare + 1e-8);
    }
  }
}

class Network {
  constructor(graph, stemWidth, width) {
    Object.assign(this, { graph, stemWidth, width, steps: 0 });
    this.maps = [new LinearMap(INPUTS, stemWidth)];
    for (let r = 0; r < ROUNDS; r++) {
      this.maps.push(new LinearMap(r ? width : stemWidth, width, graph));
    }
    this.maps.push(new LinearMap(width, CLASSES));
    this.rounds = this.maps.slice(1, -1);
  }

  // The stem is drawn first, so that networks of one seed start behind the same stem.
  draw(seed, scale) {
    const rng = new PythonRandom(seed);
    for (const map of this.maps) map.draw(rng, scale);
  }

  get flops() {
    return this.maps.reduce((sum, map) => sum + map.columns.length, 0);
  }

  // A row of the batch for every channel of every layer, kept for each size of batch in use.
  buffers(kind, batch) {
    this.kept ??= new Map();
    const name = `${kind} ${batch}`;
    if (!this.kept.has(name)) {
      this.kept.set(name, this.maps.map((map) => new Float64Array(map.outChannels * batch)));
    }
    return this.kept.get(name);
  }

  // Points [2][batch] -> scores [2][batch]; the state behind every layer stays in `states`.
  forward(points, batch) {
    this.states = this.buffers("states", batch);
    let x = points;
    this.maps.forEach((map, layer) => {
      const out = this.states[layer];
      map.forward(x, out, batch);
      if (layer < this.maps.length - 1) for (let e = 0; e < out.length; e++) if (!(out[e] > 0)) out[e] = 0;
      x = out;
    });
    return x;
  }

  // Mean cross-entropy; fills the gradients of all parameters.
  backward(points, labels) {
    const batch = labels.length, scores = this.forward(points, batch);
    const gradients = this.buffers("gradients", batch);
    const last = this.maps.length - 1, gradient = gradients[last];
    let loss = 0;
    for (let b = 0; b < batch; b++) {
      const margin = scores[batch + b] - scores[b], sign = labels[b] ? 1 : -1;
      loss += softplus(-sign * margin) / batch;
      const slope = (sigmoid(margin) - labels[b]) / batch;
      gradient[b] = -slope;
      gradient[batch + b] = slope;
    }
    for (const map of this.maps) {
      map.weight.gradient.fill(0);
      map.bias.gradient.fill(0);
    }
    for (let layer = last; layer >= 0; layer--) {
      const below = layer ? gradients[layer - 1] : null;
      const x = layer ? this.states[layer - 1] : points;
      this.maps[layer].backward(x, gradients[layer], below, batch);
      if (below) for (let e = 0; e < below.length; e++) if (!(x[e] > 0)) below[e] = 0;
    }
    return loss;
  }

  trainStep(points, labels, rate) {
    const loss = this.backward(points, labels);
    this.steps += 1;
    for (const map of this.maps) {
      map.weight.step(rate, this.steps);
      map.bias.step(rate, this.steps);
    }
    return loss;
  }
}

const sigmoid = (x) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));
const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

// Loss and accuracy of a network on points, without changing it.
function evaluate(network, points, labels) {
  const batch = labels.length, scores = network.forward(points, batch);
  let loss = 0, right = 0;
  for (let b = 0; b < batch; b++) {
    const margin = (scores[batch + b] - scores[b]) * (labels[b] ? 1 : -1);
    loss += softplus(-margin) / batch;
    if (margin > 0) right++;
  }
  return { loss, accuracy: right / batch };
}
