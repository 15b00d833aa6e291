/** What mask-cleanup does, by loops over numbers: no labels that point to each other, but floods. */

const grid = (height: number, width: number) => {
  const inside = (y: number, x: number) => y >= 0 && x >= 0 && y < height && x < width;
  const around = (y: number, x: number, reach = 1) => {
    const found: [number, number][] = [];
    for (let v = y - reach; v <= y + reach; v++) for (let u = x - reach; u <= x + reach; u++) found.push([v, u]);
    return found;
  };
  return { inside, around, at: (y: number, x: number) => y * width + x };
};

/** Closing by a 3 x 3 square on a plane that is empty outside of the picture. */
function closed(mask: readonly boolean[], height: number, width: number): boolean[] {
  const { inside, around, at } = grid(height, width);
  const grown = (y: number, x: number) => around(y, x).some(([v, u]) => inside(v, u) && mask[at(v, u)]);
  return mask.map((_, i) => around(Math.floor(i / width), i % width).every(([y, x]) => grown(y, x)));
}

/** All pixels of `mask` that a flood reaches from `start`. */
function flood(mask: readonly boolean[], start: number, height: number, width: number, diagonal: boolean): number[] {
  const { inside, around, at } = grid(height, width);
  const seen = new Set([start]);
  for (const i of seen) {
    const [y, x] = [Math.floor(i / width), i % width];
    for (const [v, u] of around(y, x)) {
      if (inside(v, u) && mask[at(v, u)] && (diagonal || v === y || u === x)) seen.add(at(v, u));
    }
  }
  return [...seen];
}

/** Places that no path of 4 neighbours joins to the border are set too. */
function filled(mask: readonly boolean[], height: number, width: number): boolean[] {
  const empty = mask.map(v => !v);
  const outside = new Set<number>();
  empty.forEach((open, i) => {
    const [y, x] = [Math.floor(i / width), i % width];
    const border = y === 0 || x === 0 || y === height - 1 || x === width - 1;
    if (open && border && !outside.has(i)) for (const j of flood(empty, i, height, width, false)) outside.add(j);
  });
  return mask.map((_, i) => !outside.has(i));
}

/** Components of 8 neighbours with less than 3/20 of the largest one's pixels are dropped. */
function withoutSpecks(mask: readonly boolean[], height: number, width: number): boolean[] {
  const sizes = new Array<number>(mask.length).fill(0);
  mask.forEach((set, i) => {
    if (!set || sizes[i] > 0) return;
    const component = flood(mask, i, height, width, true);
    for (const j of component) sizes[j] = component.length;
  });
  const largest = Math.max(...sizes);
  return sizes.map(size => size > 0 && 20 * size >= 3 * largest);
}

/** The clean mask as zeros and ones; with `lift` max(D, F, mean of F within 3 x 3 / 2), its edge repeated. */
export function cleanMask(
  map: ArrayLike<number>,
  o: { height: number; width: number; threshold?: number; lift?: boolean },
): Float64Array {
  const { height, width, threshold = 0.5, lift = false } = o;
  const { around, at } = grid(height, width);
  const hard = Array.from(map, v => v > threshold);
  const clean = withoutSpecks(filled(closed(hard, height, width), height, width), height, width);
  return Float64Array.from(clean, (set, i) => {
    const own = Number(set);
    if (!lift) return own;
    const within = (v: number, size: number) => Math.min(size - 1, Math.max(0, v));
    const sum = around(Math.floor(i / width), i % width)
      .map(([y, x]): number => Number(clean[at(within(y, height), within(x, width))]))
      .reduce((a, b) => a + b, 0);
    return Math.max(map[i], own, (0.5 * sum) / 9);
  });
}
