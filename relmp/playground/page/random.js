// Random numbers, word for word those of Python's random.Random and of NumPy's RandomState: the
// same call draws the same graph here and there. Both are the Mersenne Twister MT19937.

class MersenneTwister {
  constructor(seed) {
    this.words = new Uint32Array(624);
    this.words[0] = seed >>> 0;
    for (let i = 1; i < 624; i++) {
      const last = this.words[i - 1] ^ (this.words[i - 1] >>> 30);
      this.words[i] = Math.imul(1812433253, last) + i;
    }
    this.next = 624;
  }

  static fromKey(key) {
    const twister = new MersenneTwister(19650218), { words } = twister;
    let i = 1, j = 0;
    const advance = () => {
      if (++i < 624) return;
      words[0] = words[623];
      i = 1;
    };
    for (let k = Math.max(624, key.length); k > 0; k--) {
      const last = words[i - 1] ^ (words[i - 1] >>> 30);
      words[i] = (words[i] ^ Math.imul(last, 1664525)) + key[j] + j;
      j = (j + 1) % key.length;
      advance();
    }
    for (let k = 623; k > 0; k--) {
      const last = words[i - 1] ^ (words[i - 1] >>> 30);
      words[i] = (words[i] ^ Math.imul(last, 1566083941)) - i;
      advance();
    }
    words[0] = 0x80000000;
    return twister;
  }

  word() {
    if (this.next === 624) this.twist();
    let y = this.words[this.next++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  twist() {
    const { words } = this;
    for (let i = 0; i < 624; i++) {
      const y = (words[i] & 0x80000000) | (words[(i + 1) % 624] & 0x7fffffff);
      words[i] = words[(i + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.next = 0;
  }
}

// random.Random(seed) for whole seeds: random(), choice() and shuffle() draw what Python's do.
class PythonRandom {
  constructor(seed) {
    const whole = Math.abs(Math.trunc(seed));
    const high = Math.floor(whole / 2 ** 32);
    this.twister = MersenneTwister.fromKey(high ? [whole >>> 0, high] : [whole >>> 0]);
  }

  random() {
    const a = this.twister.word() >>> 5, b = this.twister.word() >>> 6;
    return (a * 67108864 + b) / 9007199254740992;
  }

  below(n) {
    const bits = 32 - Math.clz32(n);
    for (;;) {
      const drawn = this.twister.word() >>> (32 - bits);
      if (drawn < n) return drawn;
    }
  }

  choice(items) {
    return items[this.below(items.length)];
  }

  shuffle(items) {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [items[i], items[j]] = [items[j], items[i]];
    }
    return items;
  }

  // A standard normal number by Box and Muller; Python's own gauss() is not needed here.
  normal() {
    const radius = Math.sqrt(-2 * Math.log(1 - this.random()));
    return radius * Math.cos(2 * Math.PI * this.random());
  }
}

// numpy.random.RandomState(seed).permutation(items).
function numpyPermutation(seed, items) {
  const twister = new MersenneTwister(seed), result = Array.from(items);
  for (let i = result.length - 1; i > 0; i--) {
    const mask = 2 ** (32 - Math.clz32(i)) - 1;
    let j;
    do j = (twister.word() & mask) >>> 0; while (j > i);
    [result[i], result[j]] = [result[j], result[i]];
  }
  return result;
}
